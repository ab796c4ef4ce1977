"""The asset ``label_partitions``."""

import dagster as dg

from ml_data_platform.defs.daily import Events, build_partition, daily_asset
from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.storage.table_store import PartitionRef


def label_partitions(daily: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Define the asset."""

    @daily_asset(daily, group="training")
    def label_partitions(
        context: dg.AssetExecutionContext, platform: PlatformResource, session_features: PartitionRef
    ) -> Events:
        """The mature rows of the day in one file per label: `label=positive` and `label=negative`.

        Key: `event_id`; each mature row is in exactly one file, and both files exist also when empty. The label is in
        the path, as Hive partitions have it. What the checks of `date_partitions` refuse is not published here either.
        """
        yield from build_partition(context, platform, {"session_features": session_features})

    return label_partitions
