"""Quarantined rows, read one by one: what was landed, why it is not published, and where it came from.

Belongs here: reading a bounded number of them. Does not belong here: counting them (``stages.quarantine``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import duckdb

from ml_data_platform.events.schemas import QUARANTINED_EVENTS
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.quarantine import (
    TOO_LATE,
    UNDATED,
    Wanted,
    files_of_days,
    open_engine,
    place_of,
)
from ml_data_platform.stages.state import current_records
from ml_data_platform.storage import duck
from ml_data_platform.storage.layout import LANDED_FILES, UNDATED_ROWS, Layout
from ml_data_platform.storage.ledger import LedgerRecord

INSTANT = "strftime(event_time, '%Y-%m-%dT%H:%M:%S.%fZ')"


@dataclass(frozen=True)
class Row:
    """One quarantined row.

    Attributes:
        kind: As in `Group`.
        reasons: The rules that it broke, or the one reason.
        source: Source name.
        day: UTC day, ``YYYY-MM-DD``; empty where it has none.
        event_time: ISO-8601, UTC, or the landed text where that names no instant; empty where there is none.
        file: Name under which its file was landed first.
        source_file: Hash of that file, hex.
        source_row: Number of the row in it, from 1 on.
        event_id: The event's id; empty where it has none.
        kept: For a duplicate: hash of the file and number of the row that was kept.
        landed: The row as it was landed.
        where: Where plain readers find it, relative to the root.
    """

    kind: str
    reasons: tuple[str, ...]
    source: str
    day: str
    event_time: str
    file: str
    source_file: str
    source_row: int
    event_id: str
    kept: str
    landed: str
    where: str

    def to_json(self) -> dict[str, object]:
        """Return plain values for scripts."""
        empty = {name: None for name in ("day", "event_time", "event_id", "kept") if not getattr(self, name)}
        return asdict(self) | {"reasons": list(self.reasons)} | empty


def show_quarantine(platform: Platform, wanted: Wanted, limit: int) -> list[Row]:
    """Read quarantined rows: of days, oldest day first, then too late, then without a day; at most ``limit``."""
    records = current_records(platform)
    rows: list[Row] = []
    with platform.store.scratch() as scratch, open_engine(platform, scratch) as engine:
        search = Search(platform, engine, records, wanted)
        readers: tuple[Callable[[int], Iterator[Row]], ...] = (
            search.rows_of_days,
            search.too_late_rows,
            search.undated_rows,
        )
        for read in readers:
            if len(rows) < limit:
                rows += read(limit - len(rows))
    return rows


@dataclass(frozen=True)
class Search:
    """A search for quarantined rows.

    Attributes:
        platform: The opened root.
        engine: Within its bounds.
        records: Current ledger records.
        wanted: What is searched for.
    """

    platform: Platform
    engine: duckdb.DuckDBPyConnection
    records: tuple[LedgerRecord, ...]
    wanted: Wanted

    def rows_of_days(self, limit: int) -> Iterator[Row]:
        """Return rows that broke rules or repeat an event, by day."""
        names = {(record.source, record.sha256): record.name for record in self.records}
        for head, kind, path in files_of_days(self.platform, self.wanted):
            conditions = {"source = $source": ("source", self.wanted.source)} if self.wanted.source else {}
            if self.wanted.reason not in {"", kind}:
                conditions["list_contains(rules, $reason)"] = ("reason", self.wanted.reason)
            found = self._read(
                path, f"* REPLACE ({INSTANT} AS event_time)", conditions, QUARANTINED_EVENTS.order_by, limit
            )
            for row in found:
                kept = f"{row['kept_source_file']} row {row['kept_source_row']}" if row["kept_source_file"] else ""
                yield Row(
                    kind=kind,
                    reasons=tuple(row["rules"]),
                    source=row["source"],
                    day=head.day,
                    event_time=row["event_time"],
                    file=names.get((row["source"], row["source_file"]), ""),
                    source_file=row["source_file"],
                    source_row=row["source_row"],
                    event_id=row["event_id"] or "",
                    kept=kept,
                    landed=row["landed"],
                    where=place_of(head.day, kind),
                )
            limit -= len(found)
            if limit <= 0:
                return

    def too_late_rows(self, limit: int) -> Iterator[Row]:
        """Return rows that came too late for their days and were not admitted, by file."""
        for record in self.records:
            days = [day for day in record.too_late if self.wanted.takes_day(day)]
            if (
                not days
                or not record.fragment
                or not self.wanted.takes(TOO_LATE, TOO_LATE, record.source)
                or limit <= 0
            ):
                continue
            path = self._path(LANDED_FILES, record.fragment)
            of_days = {"list_contains($days, strftime(event_time, '%Y-%m-%d'))": ("days", days)}
            found = self._read(path, f"*, {INSTANT} AS instant", of_days, "source_row", limit)
            where = Layout.too_late_view_key(record.source, record.sha256)
            for row in found:
                yield self._of_file(
                    record, row, reason=TOO_LATE, where=where, day=row["instant"][:10], time=row["instant"]
                )
            limit -= len(found)

    def undated_rows(self, limit: int) -> Iterator[Row]:
        """Return rows without a usable day, by file."""
        for record in self.records:
            reasons = [reason for reason, rows in record.undated.items() if rows]
            chosen = [reason for reason in reasons if self.wanted.takes(UNDATED, reason, record.source)]
            if record.undated_fragment is None or not chosen or not self.wanted.takes_day(None) or limit <= 0:
                continue
            path = self._path(UNDATED_ROWS, record.undated_fragment)
            of_reasons = {"list_contains($reasons, reason)": ("reasons", chosen)}
            found = self._read(path, "*", of_reasons, "source_row", limit)
            where = Layout.undated_view_key(record.source, record.sha256)
            for row in found:
                yield self._of_file(record, row, reason=row["reason"], where=where, time=row["event_time_landed"] or "")
            limit -= len(found)

    def _path(self, asset: str, sha256: str) -> str:
        return str(self.platform.store.objects.local_path(Layout.object_key(asset, sha256)))

    def _read(
        self, path: str, columns: str, conditions: Mapping[str, tuple[str, object]], order: str, limit: int
    ) -> list[dict[str, Any]]:
        """Return rows of a file that meet conditions; each names one value that is bound."""
        cursor = self.engine.execute(
            f"""SELECT {columns} FROM {duck.parquet(self.engine, [path])} WHERE {" AND ".join(["TRUE", *conditions])}
            ORDER BY {order} LIMIT {limit}""",
            dict(conditions.values()),
        )
        names = [str(column[0]) for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    @staticmethod
    def _of_file(
        record: LedgerRecord, row: dict[str, Any], *, reason: str, where: str, day: str = "", time: str = ""
    ) -> Row:
        return Row(
            kind=TOO_LATE if reason == TOO_LATE else UNDATED,
            reasons=(reason,),
            source=record.source,
            day=day,
            event_time=time,
            file=record.name,
            source_file=record.sha256,
            source_row=row["source_row"],
            event_id="",
            kept="",
            landed=row["landed"],
            where=where,
        )
