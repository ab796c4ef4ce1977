"""Tests of the tree: layers, names, packaging, and what Dagster loads."""
