"""Rows of each source on the days before one, for checks that compare a day with them.

Belongs here: counting them. Does not belong here: judging (``stages.result``, ``validation``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

from ml_data_platform.events.lateness import ONE_DAY
from ml_data_platform.events.schemas import VALIDATED_EVENTS
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.result import DAYS_OF_HISTORY
from ml_data_platform.storage import duck
from ml_data_platform.storage.ledger import LedgerRecord

SourceHistory = Mapping[str, Mapping[dt.date, int]]
"""Source to its rows per day; days without rows of it are absent."""


def landed_rows(records: Sequence[LedgerRecord]) -> SourceHistory:
    """Return the landed rows of all days.

    Args:
        records: Current ledger records.
    """
    rows: dict[str, dict[dt.date, int]] = {}
    for record in records:
        of_source = rows.setdefault(record.source, {})
        for day, count in record.rows_per_day.items():
            key = dt.date.fromisoformat(day)
            of_source[key] = of_source.get(key, 0) + count
    return rows


def published_rows(
    platform: Platform, records: Sequence[LedgerRecord], day: dt.date, scratch: Path
) -> dict[str, dict[dt.date, int]]:
    """Return the published events of the 7 days before a day.

    Days of a single source are told by the log; only where several landed rows the events are counted.

    Args:
        platform: The opened root.
        records: Current ledger records: they tell whose rows a day has.
        day: UTC day.
        scratch: Private folder for temporary files.

    Returns:
        As `SourceHistory`; a source whose landed rows were all refused has 0 on that day.
    """
    landed = landed_rows(records)
    store, found = platform.store, {source: dict[dt.date, int]() for source in landed}
    mixed: list[dt.date] = []
    for earlier in (day - back * ONE_DAY for back in range(1, DAYS_OF_HISTORY + 1)):
        head = store.head(VALIDATED_EVENTS.name, earlier)
        sources = [source for source, rows in landed.items() if rows.get(earlier)]
        if head is None or not sources:
            continue
        found |= {source: found[source] | {earlier: head.rows if len(sources) == 1 else 0} for source in sources}
        if len(sources) > 1 and head.rows:
            mixed.append(earlier)
    if mixed:
        ref = store.ref(VALIDATED_EVENTS.name, mixed)
        with duck.connect(scratch, **platform.engine.options(store)) as connection:
            files = duck.parquet(connection, ref.paths())
            counts = connection.execute(
                f"SELECT CAST(timezone('UTC', event_timestamp) AS DATE), source, count(*) FROM {files} GROUP BY ALL"
            ).fetchall()
        for of, source, rows in counts:
            found.setdefault(source, {})[of] = rows
    return found
