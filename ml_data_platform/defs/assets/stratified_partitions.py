"""The asset ``stratified_partitions``."""

import dagster as dg

from ml_data_platform.defs.daily import Events, build_partition, daily_asset
from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.storage.table_store import PartitionRef


def stratified_partitions(daily: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Define the asset."""

    @daily_asset(daily, group="training")
    def stratified_partitions(
        context: dg.AssetExecutionContext, platform: PlatformResource, session_features: PartitionRef
    ) -> Events:
        """The mature rows of the day in one file per fold: `fold=0` to `fold=k-1`.

        Key: `event_id`. A user's fold is a hash of the user: the same on every day, so that nothing leaks across
        folds. All files exist, also when empty.
        """
        yield from build_partition(context, platform, {"session_features": session_features})

    return stratified_partitions
