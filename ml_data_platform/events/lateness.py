"""When a day is complete, a row late and a label mature: watermarks.

Belongs here: pure arithmetic on event time, arrival time and the clock. Does not belong here: reading a clock, a
ledger, or the name of a file (``file_times``).

A watermark of a source is the instant up to which its events have arrived, as far as is known. A day is open until
the watermark passes its end, then complete, and frozen a grace period later. That is said per source, so that none
holds others back, and it decides two things: how far labels are known, and what becomes of rows that come later.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from ml_data_platform.events.contract_parts import Lateness
from ml_data_platform.events.file_times import nominal_time

ONE_DAY = dt.timedelta(days=1)


class DayState(StrEnum):
    """How far a day of one source is."""

    OPEN = "open"
    COMPLETE = "complete"
    FROZEN = "frozen"


def start_of_day(day: dt.date) -> dt.datetime:
    """Return the first instant of a UTC day."""
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)


def end_of_day(day: dt.date) -> dt.datetime:
    """Return the first instant after a UTC day."""
    return start_of_day(day) + ONE_DAY


def is_complete(day: dt.date, watermark: dt.datetime) -> bool:
    """Tell whether all events of ``day`` are expected to have arrived."""
    return watermark >= end_of_day(day)


def day_state(day: dt.date, watermark: dt.datetime | None, grace: dt.timedelta) -> DayState:
    """Return how far a day is.

    Args:
        day: UTC day.
        watermark: The source's watermark, aware; None for a source that has none yet.
        grace: How long after its completion a day is frozen.
    """
    if watermark is None or not is_complete(day, watermark):
        return DayState.OPEN
    return DayState.FROZEN if is_complete(day, watermark - grace) else DayState.COMPLETE


def clock_watermark(now: dt.datetime, max_delay: dt.timedelta) -> dt.datetime:
    """Return the instant up to which a source's events are expected to have arrived.

    Args:
        now: The clock, aware.
        max_delay: How long an event may take from happening to landing.
    """
    return now - max_delay


@dataclass(frozen=True)
class Admission:
    """What was decided about the rows of a content when it was landed first; it holds for ever.

    It is stated as bounds, so that it says something also about days that a later contract finds in the file.

    Attributes:
        strategy: What the watermark followed, see ``Lateness.watermark``.
        arrived_at: When the file arrived: when it was landed, or when its name says; ISO-8601 with an offset.
        watermark: The source's watermark before the landing, ISO-8601 with an offset; none where it had none.
        late_before: Rows of days before this one are late; none where none are.
        too_late_before: Rows of days before this one are kept apart until they are replayed; none where none are.
        is_historical: The load was said not to be late.
    """

    strategy: str
    arrived_at: str
    watermark: str | None = None
    late_before: str | None = None
    too_late_before: str | None = None
    is_historical: bool = False

    def is_late(self, day: str) -> bool:
        """Tell whether rows of a day, ``YYYY-MM-DD``, came after the day was complete."""
        return self.late_before is not None and day < self.late_before

    def is_too_late(self, day: str) -> bool:
        """Tell whether rows of a day, ``YYYY-MM-DD``, came after it was frozen, under a policy that keeps them apart."""
        return self.too_late_before is not None and day < self.too_late_before


def decide_admission(
    said: Lateness, name: str, now: dt.datetime, watermark: dt.datetime | None, *, is_historical: bool = False
) -> Admission:
    """Decide what becomes of the rows of a file that is landed for the first time.

    Args:
        said: The contract's section.
        name: The file's path below the folder of its source.
        now: When it is landed, aware.
        watermark: The source's watermark before the landing run, aware; None where it has none.
        is_historical: The load is not late, whatever days it has rows of.
    """
    arrived = now
    if said.file_time is not None:
        arrived = min(nominal_time(name, said.file_time) or now, now)
    arrived_at = arrived.astimezone(dt.UTC).isoformat()
    noted = watermark.astimezone(dt.UTC).isoformat() if watermark else None
    if is_historical or watermark is None:
        return Admission(said.watermark, arrived_at, noted, is_historical=is_historical)
    frozen_up_to = watermark - dt.timedelta(hours=said.grace_period_hours)
    return Admission(
        strategy=said.watermark,
        arrived_at=arrived_at,
        watermark=noted,
        late_before=watermark.astimezone(dt.UTC).date().isoformat(),
        too_late_before=frozen_up_to.astimezone(dt.UTC).date().isoformat()
        if said.late_policy == "quarantine"
        else None,
    )


@dataclass(frozen=True)
class Arrival:
    """What one landed file says about its source's watermark.

    Attributes:
        name: The file's path below the folder of its source.
        ingested_at: When it was landed, aware.
        event_time: The event time that stands for its rows, aware; none without dated rows.
        admission: What was decided at its landing; none where nothing was noted.
    """

    name: str
    ingested_at: dt.datetime
    event_time: dt.datetime | None = None
    admission: Admission | None = None


def source_watermark(said: Lateness, arrivals: Iterable[Arrival], now: dt.datetime) -> dt.datetime | None:
    """Return the watermark of a source.

    No instant after a file's landing counts for it, so that a producer whose clock runs ahead cannot freeze days that
    have not begun; nor does what was decided while the machine's own clock ran ahead, which landings later than now show. The watermark never goes back, except where the clock or the contract does: it is a maximum over
    files, and over the watermarks by which files were judged.

    Args:
        said: The contract's section.
        arrivals: All files that were ever landed of the source, in any order.
        now: The clock, aware.

    Returns:
        The watermark; None for a source that does not follow the clock and of which no file says anything yet.
    """
    if said.watermark == "clock":
        return clock_watermark(now, dt.timedelta(hours=said.max_delay_hours))
    every = list(arrivals)
    landed = [arrival for arrival in every if arrival.ingested_at <= now]
    slack = dt.timedelta(hours=said.max_out_of_orderness_hours)
    told = [(_told_by(said, arrival), min(arrival.ingested_at, now)) for arrival in every]
    known = [min(instant, ingested_at) - slack for instant, ingested_at in told if instant is not None]
    known += [
        dt.datetime.fromisoformat(arrival.admission.watermark)
        for arrival in landed
        if arrival.admission and arrival.admission.watermark and arrival.admission.strategy == said.watermark
    ]
    idle_after = dt.timedelta(hours=said.idle_after_hours)
    if landed and now - max(arrival.ingested_at for arrival in landed) >= idle_after:
        known.append(clock_watermark(now, max(dt.timedelta(hours=said.max_delay_hours), idle_after)))
    return max(known, default=None)


def _told_by(said: Lateness, arrival: Arrival) -> dt.datetime | None:
    if said.watermark == "file_time":
        return nominal_time(arrival.name, said.file_time) if said.file_time else None
    return arrival.event_time


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
