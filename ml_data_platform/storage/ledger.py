"""The ledger: what was landed, as immutable records that only grow.

Belongs here: one record per landed content, source and routing; the names it was seen under; files that
could not be landed. Does not belong here: reading landed files, or deciding which days are dirty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from ml_data_platform.errors import PlatformError, RecordError, StageFailedError
from ml_data_platform.storage.layout import (
    FAILURES_FOLDER,
    LEDGER_FOLDER,
    Layout,
    check_name,
    check_sha256,
    parse_day,
)
from ml_data_platform.storage.object_store import LocalObjectStore
from ml_data_platform.storage.records import canonical_json, check_instant, read_fields

FORMAT = 1
STATUSES = frozenset({"landed", "empty", "header_only", "rejected"})


@dataclass(frozen=True)
class LedgerRecord:
    """One landed content of one source, as one routing saw it.

    Instants are ISO-8601 text with an offset.

    Attributes:
        source: Source name.
        sha256: Hash of the landed bytes, hex.
        routing_hash: Hash of the part of the contract (and of the platform) that decides on days, hex.
        contract_hash: Hash of the whole contract, hex.
        name: File name it was landed under first.
        size_bytes: Size of the landed bytes.
        status: ``landed``, ``empty``, ``header_only`` or ``rejected``.
        reason: Why it was rejected.
        rows: Rows in the file.
        rows_per_day: Rows by UTC day ``YYYY-MM-DD``.
        undated: Rows that belong to no day, by reason.
        min_event_time: Earliest event time.
        max_event_time: Latest event time.
        ingested_at: When it was landed.
        fragment: Hash of the object that holds its dated rows.
        undated_fragment: Hash of the object that holds its undated rows.
        key_id: The key that its user ids are hashed with.
    """

    source: str
    sha256: str
    routing_hash: str
    contract_hash: str
    name: str
    size_bytes: int
    status: str
    reason: str | None
    rows: int
    rows_per_day: Mapping[str, int]
    undated: Mapping[str, int]
    min_event_time: str | None
    max_event_time: str | None
    ingested_at: str
    fragment: str | None
    undated_fragment: str | None
    key_id: str | None

    @property
    def key(self) -> str:
        """Where the record is stored."""
        return Layout.ledger_key(self.source, self.sha256, self.routing_hash)

    def to_json(self) -> bytes:
        """Return the record as it is stored: JSON with sorted keys."""
        return canonical_json({"format": FORMAT, **asdict(self)}) + b"\n"

    @classmethod
    def from_json(cls, data: bytes, *, where: str) -> LedgerRecord:
        """Read a stored record.

        Args:
            data: Its bytes.
            where: Its key, for the message.

        Raises:
            RecordError: It is no record of the form that `to_json` writes, or belongs under another key.
        """
        record = cls(**read_fields(data, where=where, types=_FIELD_TYPES, form=FORMAT))
        try:
            record.check()
            key = record.key
        except PlatformError as error:
            raise RecordError("A ledger record is malformed.", file=where, got=error) from error
        if key != where:
            raise RecordError("A ledger record belongs elsewhere.", file=where, got=key)
        return record

    def check(self) -> None:
        """Check what the types do not say.

        Raises:
            PlatformError: A day, hash, instant or status is none, or a landed file's rows do not add up.
        """
        for instant in (self.ingested_at, self.min_event_time, self.max_event_time):
            if instant is not None:
                check_instant(instant)
        for day in self.rows_per_day:
            parse_day(day)
        for fragment in (self.fragment, self.undated_fragment):
            if fragment is not None:
                check_sha256(fragment)
        counts = [*self.rows_per_day.values(), *self.undated.values()]
        if self.status not in STATUSES or any(type(count) is not int for count in counts):
            raise RecordError("A ledger record has an unknown status or odd counts.", got=self.status)
        if self.status == "landed" and sum(counts) != self.rows:
            raise StageFailedError(
                "A landed file's rows are not accounted for.", source=self.source, expected=self.rows, got=sum(counts)
            )


@dataclass(frozen=True)
class Failure:
    """One file that could not be landed: its source, path, the reason and when it was first seen."""

    source: str
    path: str
    reason: str
    at: str


_TEXT: tuple[type, ...] = (str,)
_TEXT_OR_NONE: tuple[type, ...] = (str, type(None))
_FIELD_TYPES: dict[str, tuple[type, ...]] = {
    "source": _TEXT,
    "sha256": _TEXT,
    "routing_hash": _TEXT,
    "contract_hash": _TEXT,
    "name": _TEXT,
    "size_bytes": (int,),
    "status": _TEXT,
    "reason": _TEXT_OR_NONE,
    "rows": (int,),
    "rows_per_day": (dict,),
    "undated": (dict,),
    "min_event_time": _TEXT_OR_NONE,
    "max_event_time": _TEXT_OR_NONE,
    "ingested_at": _TEXT,
    "fragment": _TEXT_OR_NONE,
    "undated_fragment": _TEXT_OR_NONE,
    "key_id": _TEXT_OR_NONE,
}
_NAME_TYPES: dict[str, tuple[type, ...]] = {"name": _TEXT, "seen_at": _TEXT}
_FAILURE_TYPES: dict[str, tuple[type, ...]] = {"source": _TEXT, "path": _TEXT, "reason": _TEXT, "at": _TEXT}


class Ledger:
    """The ledger under one root."""

    def __init__(self, objects: LocalObjectStore) -> None:
        self.objects = objects

    def append(self, record: LedgerRecord) -> bool:
        """Add a record.

        Returns:
            False when this content was recorded under this routing before; the older record stays.

        Raises:
            PlatformError: The record contradicts itself, see `LedgerRecord.check`.
        """
        record.check()
        return self.objects.put_if_absent(record.key, record.to_json())

    def record(self, source: str, sha256: str, routing_hash: str) -> LedgerRecord | None:
        """Return the record of a content under a routing; None where it was not landed so.

        Raises:
            RecordError: The record cannot be read.
        """
        key = Layout.ledger_key(source, sha256, routing_hash)
        return self._read(key) if self.objects.exists(key) else None

    def records(self, routing_hashes: Mapping[str, str] | None = None) -> tuple[LedgerRecord, ...]:
        """Return the current record of each content of each source, by source and hash.

        Args:
            routing_hashes: By source, the routing whose record is current where there is one. Otherwise
                the one ingested last is, and of two at once the one with the greater routing hash.

        Raises:
            RecordError: A record cannot be read.
        """
        wanted = routing_hashes or {}
        current: dict[tuple[str, str], LedgerRecord] = {}
        for source in self.sources():
            for key in self._record_keys(source):
                record = self._read(key)
                kept = current.get((source, record.sha256))
                if kept is None or _rank(record, wanted.get(source)) > _rank(kept, wanted.get(source)):
                    current[source, record.sha256] = record
        return tuple(current[key] for key in sorted(current))

    def sources(self) -> list[str]:
        """Return the sources that have a folder in the ledger, in order; foreign names are ignored."""
        return [name for name in sorted(self.objects.names(LEDGER_FOLDER)) if _is_source(name)]

    def note_name(self, source: str, sha256: str, name: str, seen_at: str) -> bool:
        """Record that a content was seen under a file name; False when that was known."""
        check_instant(seen_at)
        key = Layout.name_key(source, sha256, name)
        return self.objects.put_if_absent(key, canonical_json({"format": FORMAT, "name": name, "seen_at": seen_at}))

    def names(self, source: str, sha256: str) -> tuple[str, ...]:
        """Return the file names that a content was seen under, in order.

        Raises:
            RecordError: A record cannot be read.
        """
        keys = self.objects.list(Layout.names_folder(source, sha256))
        return tuple(sorted(self._fields(key, _NAME_TYPES)["name"] for key in keys if key.endswith(".json")))

    def note_failure(self, source: str, path: str, reason: str, at: str) -> bool:
        """Record that a file could not be landed; False when that was known for the same reason."""
        check_instant(at)
        fields = {"format": FORMAT, "source": source, "path": path, "reason": reason, "at": at}
        return self.objects.put_if_absent(Layout.failure_key(source, path, reason), canonical_json(fields))

    def failures(self) -> tuple[Failure, ...]:
        """Return the files that could not be landed, by source, path and reason.

        Raises:
            RecordError: A record cannot be read.
        """
        keys = [key for key in self.objects.list(FAILURES_FOLDER) if key.endswith(".json")]
        found = [Failure(**self._fields(key, _FAILURE_TYPES)) for key in keys]
        return tuple(sorted(found, key=lambda failure: (failure.source, failure.path, failure.reason)))

    def _record_keys(self, source: str) -> list[str]:
        folder = Layout.ledger_folder(source)
        return [f"{folder}/{name}" for name in sorted(self.objects.names(folder)) if name.endswith(".json")]

    def _read(self, key: str) -> LedgerRecord:
        return LedgerRecord.from_json(self.objects.read_bytes(key), where=key)

    def _fields(self, key: str, types: Mapping[str, tuple[type, ...]]) -> dict[str, Any]:
        return read_fields(self.objects.read_bytes(key), where=key, types=types, form=FORMAT)


def _rank(record: LedgerRecord, wanted: str | None) -> tuple[bool, datetime, str]:
    return record.routing_hash == wanted, check_instant(record.ingested_at), record.routing_hash


def _is_source(name: str) -> bool:
    try:
        check_name(name, "source")
    except PlatformError:
        return False
    return True
