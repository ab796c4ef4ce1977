"""The asset ``session_features``."""

import dagster as dg

from ml_data_platform.defs.daily import Events, build_partition, daily_asset
from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.storage.table_store import PartitionRef


def session_features(daily: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Define the asset."""

    @daily_asset(daily, group="features")
    def session_features(
        context: dg.AssetExecutionContext, platform: PlatformResource, validated_events: PartitionRef
    ) -> Events:
        """One row per valid event of the day: what was known of its session at that event, and its label.

        Features look back 24 hours, over midnight; none knows anything after its event. The label (a purchase of the
        same session in the following 24 hours, or the producer's own) is null until it is mature. Before and later go by
        the order of `validated_events`, so that events of one instant follow one another. Key: `event_id`.
        Order: `event_timestamp`, `event_id`. Reads `validated_events` of the day before, the day and the day after.
        """
        yield from build_partition(context, platform, {"validated_events": validated_events})

    return session_features
