"""The assets ``validated_events`` and ``quarantined_events``."""

import dagster as dg

from ml_data_platform.defs.daily import Events, build_partition, daily_asset
from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.storage.table_store import PartitionRef

QUARANTINED_EVENTS = """One row per raw row of the day that is not in `validated_events`, with the reason.

`disposition=rejected` holds rows that broke rules, with the rules' names; `disposition=duplicate` holds the repeats of
an event, with the file and row of the one that was kept. Published also when the day itself is refused. Key and
order: `source`, `source_file`, `source_row`.
"""


def validated_events(daily: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Define the assets."""

    @daily_asset(
        daily,
        group="events",
        kinds=("greatexpectations", "duckdb", "parquet"),
        also_writes={"quarantined_events": QUARANTINED_EVENTS},
    )
    def validated_events(
        context: dg.AssetExecutionContext, platform: PlatformResource, raw_events: PartitionRef
    ) -> Events:
        """One row per valid event of the day, in the current schema, typed, each event once.

        Key: `event_id`. Order: `event_timestamp`, `sequence`, `event_id`; where the producer gives no `sequence` it is the
        row's place in its file. A day in which more rows break rules than tolerated is refused: its last good
        generation stays, its checks are red. Rejected and duplicate rows are in `quarantined_events`: raw = published +
        duplicates + rejected, always.
        """
        yield from build_partition(context, platform, {"raw_events": raw_events})

    return validated_events
