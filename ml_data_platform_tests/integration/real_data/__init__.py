"""Runs over real event logs that nobody here wrote."""
