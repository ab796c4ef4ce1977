"""The only Dagster code: assets, checks, sensors and jobs that translate the stages' answers."""
