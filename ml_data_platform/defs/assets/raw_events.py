"""The asset ``raw_events``."""

import dagster as dg

from ml_data_platform.defs.daily import Events, build_partition, daily_asset
from ml_data_platform.defs.resources import PlatformResource


def raw_events(daily: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Define the asset."""

    @daily_asset(daily, group="events", after=["landed_files"])
    def raw_events(context: dg.AssetExecutionContext, platform: PlatformResource) -> Events:
        """One row per landed row whose event time falls on the day, values as landed, with file and row.

        Key and order: `source`, `source_file` (SHA-256 of the landed file; its bytes are kept in `raw/`),
        `source_row`. Partition: UTC day of the event time, whatever file a row came in. Rows without a usable day
        are in `data/undated_rows`, one file per landed file.
        """
        yield from build_partition(context, platform, {})

    return raw_events
