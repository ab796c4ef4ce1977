"""Files to ledger and fragments: what a producer dropped is kept, read, and routed to event days."""
