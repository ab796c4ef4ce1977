"""How late the rows of each day came, and how far each day is.

Belongs here: adding up what the ledger says about arrivals, per day. Does not belong here: what late is
(``events.lateness``). Nothing of this enters the bytes or the inputs of a partition: the same rows in another order
of landing make the same tables.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.delays import Delays, merged
from ml_data_platform.events.lateness import DayState, day_state
from ml_data_platform.storage.ledger import LedgerRecord

STATES = (DayState.OPEN, DayState.COMPLETE, DayState.FROZEN)
"""From the least to the furthest."""


@dataclass(frozen=True)
class DayLateness:
    """One day over all sources with rows on it.

    Attributes:
        rows: Landed rows of the day, without those that are too late.
        late_rows: Rows that came after the day was complete for their source, too late or not.
        too_late_rows: Rows that are kept apart until they are replayed.
        reopening_rows: Late rows of files that were landed after their source's first files of the day.
        delays: From event to arrival; without historical loads.
        states: Source to how far its day is.
        watermarks: Source to watermark, aware; sources that have none are left out.
    """

    rows: int = 0
    late_rows: int = 0
    too_late_rows: int = 0
    reopening_rows: int = 0
    delays: Delays = field(default_factory=Delays)
    states: Mapping[str, DayState] = field(default_factory=dict)
    watermarks: Mapping[str, dt.datetime] = field(default_factory=dict)

    @property
    def state(self) -> DayState | None:
        """How far the day is for the source that is least far; none where no source has rows."""
        return min(self.states.values(), key=STATES.index, default=None)

    @property
    def watermark(self) -> dt.datetime | None:
        """The least watermark of the sources; none where one has none yet."""
        return min(self.watermarks.values()) if self.states and len(self.watermarks) == len(self.states) else None

    @property
    def metrics(self) -> dict[str, float | int | None]:
        """What the table rules about arrivals read."""
        share = self.reopening_rows / self.rows if self.rows else None
        return {"too_late_rows": self.too_late_rows, "reopening_share": share}

    @property
    def seconds(self) -> dict[str, float]:
        """The median, the 99th percentile and the maximum of the delays; empty where there are none."""
        found = {
            "lateness_p50_seconds": self.delays.quantile(0.5),
            "lateness_p99_seconds": self.delays.quantile(0.99),
            "lateness_max_seconds": self.delays.max_seconds,
        }
        return {name: round(value, 3) for name, value in found.items() if value is not None}

    @property
    def facts(self) -> dict[str, int | float | str]:
        """All of it under stable keys, for people and plots."""
        return {
            "late_rows": self.late_rows,
            "too_late_rows": self.too_late_rows,
            **self.seconds,
            "watermark": self.watermark.isoformat(timespec="seconds") if self.watermark else "none",
            "day_state": self.state.value if self.state else "none",
        }


NOTHING_LANDED = DayLateness()


def lateness_of_days(
    records: Iterable[LedgerRecord],
    watermarks: Mapping[str, dt.datetime],
    contracts: Mapping[str, SourceContract],
    days: Collection[dt.date] | None = None,
) -> dict[dt.date, DayLateness]:
    """Add up what came when, per day.

    Args:
        records: The records that count, as they count now.
        watermarks: Source to watermark, aware; without sources that have none.
        contracts: Source to contract.
        days: Only these; by default all with rows, in order.
    """
    wanted = None if days is None else {day.isoformat() for day in days}
    of_day: dict[str, list[LedgerRecord]] = {}
    for record in records:
        for key in record.rows_per_day.keys() | record.too_late.keys():
            if wanted is None or key in wanted:
                of_day.setdefault(key, []).append(record)
    return {
        dt.date.fromisoformat(key): _lateness_of_day(key, found, watermarks, contracts)
        for key, found in sorted(of_day.items())
    }


def _lateness_of_day(
    key: str,
    records: Collection[LedgerRecord],
    watermarks: Mapping[str, dt.datetime],
    contracts: Mapping[str, SourceContract],
) -> DayLateness:
    first: dict[str, str] = {}
    for record in records:
        first[record.source] = min(record.ingested_at, first.get(record.source, record.ingested_at))
    day, known = dt.date.fromisoformat(key), sorted(first.keys() & contracts.keys())
    grace = {source: dt.timedelta(hours=contracts[source].lateness.grace_period_hours) for source in known}
    return DayLateness(
        rows=sum(record.rows_per_day.get(key, 0) for record in records),
        late_rows=sum(record.late.get(key, 0) for record in records),
        too_late_rows=sum(record.too_late.get(key, 0) for record in records),
        reopening_rows=sum(
            record.rows_per_day.get(key, 0)
            for record in records
            if key in record.late and record.ingested_at > first[record.source]
        ),
        delays=merged(Delays.of_text(record.delays[key]) for record in records if key in record.delays),
        states={source: day_state(day, watermarks.get(source), grace[source]) for source in known},
        watermarks={source: watermarks[source] for source in known if source in watermarks},
    )
