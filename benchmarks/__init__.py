"""Measurements over real data, run by hand."""
