"""Fault lanes: what is done to storage, what must hold after it, and how each lane is known to notice."""
