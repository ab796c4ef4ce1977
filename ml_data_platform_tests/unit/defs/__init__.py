"""Tests of the Dagster shell's own decisions."""
