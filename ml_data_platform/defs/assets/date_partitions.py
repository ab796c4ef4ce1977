"""The asset ``date_partitions``."""

import dagster as dg

from ml_data_platform.defs.daily import Events, build_partition, daily_asset
from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.storage.table_store import PartitionRef


def date_partitions(daily: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Define the asset."""

    @daily_asset(daily, group="training")
    def date_partitions(
        context: dg.AssetExecutionContext, platform: PlatformResource, session_features: PartitionRef
    ) -> Events:
        """One row per event of the day whose label is mature: keys, features and label.

        Key: `event_id`. Rows whose label is not mature yet are counted and follow once it is.
        """
        yield from build_partition(context, platform, {"session_features": session_features})

    return date_partitions
