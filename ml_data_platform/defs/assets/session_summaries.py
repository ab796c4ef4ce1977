"""The asset ``session_summaries``."""

import dagster as dg

from ml_data_platform.defs.daily import Events, build_partition, daily_asset
from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.storage.table_store import PartitionRef


def session_summaries(daily: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Define the asset."""

    @daily_asset(daily, group="features")
    def session_summaries(
        context: dg.AssetExecutionContext, platform: PlatformResource, validated_events: PartitionRef
    ) -> Events:
        """One row per session and day: number of events, duration in seconds, purchases and spend in cents.

        It knows how the session ended that day: for reports and labels, never a feature. Key: `session_uuid`.
        """
        yield from build_partition(context, platform, {"validated_events": validated_events})

    return session_summaries
