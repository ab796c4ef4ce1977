"""When a day is complete and a label mature: watermarks.

Belongs here: pure arithmetic on event time, ingestion time and the clock. Does not belong here: reading a
clock or a ledger.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

ONE_DAY = dt.timedelta(days=1)


def start_of_day(day: dt.date) -> dt.datetime:
    """Return the first instant of a UTC day."""
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)


def end_of_day(day: dt.date) -> dt.datetime:
    """Return the first instant after a UTC day."""
    return start_of_day(day) + ONE_DAY


def clock_watermark(now: dt.datetime, max_delay: dt.timedelta) -> dt.datetime:
    """Return the instant up to which a source's events are expected to have arrived.

    Args:
        now: The clock, aware.
        max_delay: How long an event may take from happening to landing.
    """
    return now - max_delay


def is_complete(day: dt.date, watermark: dt.datetime) -> bool:
    """Tell whether all events of ``day`` are expected to have arrived."""
    return watermark >= end_of_day(day)


def mature_through(
    day: dt.date, watermarks: Mapping[str, dt.datetime], *, next_day_is_built: bool
) -> dict[str, dt.datetime]:
    """Return per source the instant up to which purchases that follow events of ``day`` are known.

    A label of an event at ``t`` is mature when ``t + 24 h`` is not after this instant. The instant is clipped to
    the end of the following day, beyond which no label of ``day`` looks: a watermark that moves on later changes
    nothing any more.

    Args:
        day: The day of the events; its own ``validated_events`` are published.
        watermarks: Watermark per source, aware.
        next_day_is_built: Whether ``validated_events`` of the following day are published.

    Returns:
        Source to instant, never after the end of the following day.
    """
    known = end_of_day(day + ONE_DAY) if next_day_is_built else end_of_day(day)
    return {source: min(watermark, known) for source, watermark in sorted(watermarks.items())}
