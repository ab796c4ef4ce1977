"""One module per asset: inputs to a staged table and its check results, without Dagster."""
