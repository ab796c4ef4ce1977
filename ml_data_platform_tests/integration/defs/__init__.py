"""Dagster's own files under a root."""
