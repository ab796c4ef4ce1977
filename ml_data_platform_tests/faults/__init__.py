"""Kills and injected errors."""
