"""Synthetic shop events with planted faults, and the truth about what was planted."""
