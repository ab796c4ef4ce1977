"""Partitions: UTC days, and which neighbours a day reads.

Belongs here: partition definitions and mappings. Does not belong here: which days are due (``events.planning``).
"""

import datetime as dt
import warnings

import dagster as dg


def daily_partitions(start_date: dt.date) -> dg.DailyPartitionsDefinition:
    """Return the UTC days from ``start_date`` to today, today included."""
    return dg.DailyPartitionsDefinition(start_date=start_date.isoformat(), timezone="UTC", end_offset=1)


def neighbouring_days() -> dg.TimeWindowPartitionMapping:
    """Return the mapping of a day to the day before, the day itself and the day after."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=1, allow_nonexistent_upstream_partitions=True)
