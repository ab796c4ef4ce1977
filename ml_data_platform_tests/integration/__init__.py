"""Tests that run real engines: DuckDB, Great Expectations, Dagster, DVC."""
