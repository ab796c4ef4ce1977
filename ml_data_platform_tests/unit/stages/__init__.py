"""Stages without a disk."""
