"""Tests of the whole flow, from landed files to training partitions, through the real Dagster job."""
