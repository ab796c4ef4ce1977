"""What became of landed rows: published, pinned by a version, kept as a duplicate, rejected, too late, or without a day.

Belongs here: finding rows by event id or by their place in a landed file, in as few files as the records leave open. Does
not belong here: what they were made from (``origins``), and which versions hold them (``containment``).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import duckdb

from ml_data_platform.datasets.origins import Origins
from ml_data_platform.datasets.snapshots import read_snapshot
from ml_data_platform.events.schemas import QUARANTINED_EVENTS, VALIDATED_EVENTS
from ml_data_platform.storage import duck
from ml_data_platform.storage.layout import LANDED_FILES, UNDATED_ROWS, Layout
from ml_data_platform.storage.ledger import LedgerRecord

Fate = Literal["event", "duplicate row", "rejected row", "too late row", "row without a day"]
EVENTS = VALIDATED_EVENTS.name
_ROW_COLUMNS = "source, source_file, source_row"
_AT_EVENT = "strftime(event_timestamp, '%Y-%m-%dT%H:%M:%S.%fZ')"
_AT_ROW = "strftime(event_time, '%Y-%m-%dT%H:%M:%S.%fZ')"


@dataclass(frozen=True)
class FoundRow:
    """One landed row.

    Attributes:
        fate: What became of it.
        source: Source name.
        sha256: Hash of the landed file.
        row: Number of the row in it, from 1 on.
        day: UTC day; empty where it has none.
        event_id: The event's id; empty where it has none.
        content: Content of the partition that holds it; empty where none does.
        is_published: The partition is the newest generation of its day.
        facts: What else is known.
    """

    fate: Fate
    source: str
    sha256: str
    row: int
    day: str
    event_id: str
    content: str
    is_published: bool
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Place:
    """A row of a landed file: source, hash of the file, number from 1 on."""

    source: str
    sha256: str
    row: int


@dataclass(frozen=True)
class _File:
    day: str
    content: str
    is_published: bool
    fate: Fate


class RowSearch:
    """A search among the rows of one root.

    Args:
        origins: Its records.
        connection: Made by ``storage.duck.connect``; reaches the root's objects.
    """

    def __init__(self, origins: Origins, connection: duckdb.DuckDBPyConnection) -> None:
        self.origins, self.connection = origins, connection
        self.store = origins.store

    def by_id(self, ids: Sequence[str], days: Collection[str] | None) -> list[FoundRow]:
        """Return the rows of events: first those that are or were published, newest last, then what is kept of others.

        Args:
            ids: Ids of events.
            days: UTC days to look at; none for all. Of published events only their own days are looked at further.
        """
        found = list(self._events(self._event_files(days), "list_contains($wanted, event_id)", list(ids)))
        near = days if not found else {each.day for each in found}
        return found + list(self._quarantined(near, "list_contains($wanted, event_id)", list(ids)))

    def by_place(self, place: Place) -> list[FoundRow]:
        """Return what became of a row of a landed file; looks at the days that the ledger has for the file."""
        record = self.origins.landed[place.source, place.sha256]
        days = {*record.rows_per_day, *record.too_late}
        here = "source_file = $wanted[1] AND source = $wanted[2] AND source_row = CAST($wanted[3] AS BIGINT)"
        wanted = [place.sha256, place.source, str(place.row)]
        found = [
            *self._events(self._event_files(days), here, wanted),
            *self._quarantined(days, here, wanted),
        ]
        return found or [each for each in self._kept_apart([record], "") if each.row == place.row]

    def by_text(self, landed_id: str) -> list[FoundRow]:
        """Return rows that came too late or have no day, and in whose landed text a value is this one."""
        records = [record for record in self.origins.landed.values() if record.too_late or any(record.undated.values())]
        return list(self._kept_apart(records, landed_id))

    def has_user(self, user: str) -> bool:
        """Tell whether any event of a user is or was published."""
        return any(True for _ in self._events(self._event_files(None), "list_contains($wanted, user_id)", [user]))

    def _event_files(self, days: Collection[str] | None) -> dict[str, _File]:
        """Return the files with published or pinned events; published ones last."""
        found: dict[str, _File] = {}
        for version in self.origins.repository.versions():
            pinned = read_snapshot(self.store, version.snapshot_id)["partitions"].get(EVENTS, {})
            for day, entry in pinned.items():
                if days is None or day in days:
                    for path in self.stored(EVENTS, entry["files"].values()):
                        found[path] = _File(day, entry["content"], False, "event")
        for day, head in self.store.heads(EVENTS).items() if days is None else self._heads(EVENTS, days):
            for path in self.stored(EVENTS, [file.sha256 for file in head.files if file.rows]):
                found.pop(path, None)
                found[path] = _File(day, head.content, True, "event")
        return found

    def _heads(self, asset: str, days: Iterable[str]) -> Iterator[tuple[str, Any]]:
        for day in sorted(days):
            head = self.store.head(asset, day)
            if head is not None:
                yield day, head

    def stored(self, asset: str, hashes: Iterable[str]) -> list[str]:
        """Return the local paths of those objects of an asset that are there."""
        keys = [Layout.object_key(asset, sha256) for sha256 in dict.fromkeys(hashes)]
        return [str(self.store.objects.local_path(key)) for key in keys if self.store.objects.exists(key)]

    def _events(self, files: Mapping[str, _File], condition: str, wanted: list[str]) -> Iterator[FoundRow]:
        columns = f"{_ROW_COLUMNS}, event_id, {_AT_EVENT}, user_id, session_uuid"
        for file, row in self._rows(files, columns, condition, wanted):
            facts = {"event_timestamp": row[4], "user_id": row[5], "session_uuid": row[6]}
            yield FoundRow("event", row[0], row[1], row[2], file.day, row[3], file.content, file.is_published, facts)

    def _quarantined(self, days: Collection[str] | None, condition: str, wanted: list[str]) -> Iterator[FoundRow]:
        name = QUARANTINED_EVENTS.name
        files: dict[str, _File] = {}
        for day, head in self.store.heads(name).items() if days is None else self._heads(name, days):
            for entry in head.files:
                fate: Fate = "rejected row" if "rejected" in entry.name else "duplicate row"
                for path in self.stored(name, [entry.sha256]) if entry.rows else ():
                    files[path] = _File(day, head.content, True, fate)
        columns = (
            f"{_ROW_COLUMNS}, coalesce(event_id, ''), {_AT_ROW}, array_to_string(rules, ', '), "
            "kept_source_file, kept_source_row"
        )
        for file, row in self._rows(files, columns, condition, wanted):
            facts = {"event_timestamp": row[4], "rules": row[5]}
            if row[6]:
                kept = self.origins.of_landed_file(row[0], row[6])
                facts["kept_row"] = f"{kept.name} row {row[7]}"
            yield FoundRow(file.fate, row[0], row[1], row[2], file.day, row[3], file.content, True, facts)

    def _rows(
        self, files: Mapping[str, _File], columns: str, condition: str, wanted: list[str]
    ) -> list[tuple[_File, tuple[Any, ...]]]:
        if not files:
            return []
        relation = duck.parquet(self.connection, list(files), has_file_names=True)
        query = f"SELECT filename, {columns} FROM {relation} WHERE {condition}"
        rows = self.connection.execute(query, {"wanted": wanted}).fetchall()
        place = {path: number for number, path in enumerate(files)}
        ordered = sorted(rows, key=lambda row: (place[row[0]], row[1:4]))
        return [(files[row[0]], row[1:]) for row in ordered]

    def _kept_apart(self, records: Iterable[LedgerRecord], text: str) -> Iterator[FoundRow]:
        """Yield rows that came too late or have no day, those with a text in them where one is given."""
        # JSON keeps no blank around a value of text; a number stands bare.
        texts = [json.dumps(text), json.dumps(text, ensure_ascii=False), f":{text},", f":{text}}}"] if text else [""]
        condition = "len(list_filter($wanted, lambda each: contains(landed, each))) > 0"
        for record in records:
            fates: tuple[tuple[Fate, str, str | None, str], ...] = (
                ("too late row", LANDED_FILES, record.fragment if record.too_late else None, _AT_ROW),
                ("row without a day", UNDATED_ROWS, record.undated_fragment, "coalesce(event_time_landed, '')"),
            )
            for fate, asset, fragment, instant in fates:
                files = {
                    path: _File("", "", False, fate) for path in self.stored(asset, [fragment] if fragment else [])
                }
                reason = "reason" if asset == UNDATED_ROWS else "'too_late'"
                columns = f"source_row, {instant}, {reason}"
                for _, (row, at, why) in self._rows(files, columns, condition, texts):
                    day = at[:10] if fate == "too late row" else ""
                    if not day or day in record.too_late:
                        facts = {"event_timestamp": at, "reason": why}
                        yield FoundRow(fate, record.source, record.sha256, row, day, "", "", False, facts)
