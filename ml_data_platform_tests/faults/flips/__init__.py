"""Single bits that turn over in stored bytes: what is built on them, what `verify` finds, and what can be had again."""
