"""The ledger: what was landed, as immutable records that only grow.

Belongs here: one record per landed content, source and routing; the names it was seen under; files that
could not be landed. Does not belong here: reading landed files, or deciding which days are dirty.

Whoever reads a record builds on it, so that it must outlast a power cut: who wrote it may have died before it was
flushed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from ml_data_platform.errors import PlatformError
from ml_data_platform.events.parsing import IN_THE_FUTURE
from ml_data_platform.storage.decisions import Decisions
from ml_data_platform.storage.landed_notes import Decided, Failure, LandedName
from ml_data_platform.storage.layout import FAILURES_FOLDER, LEDGER_FOLDER, Layout, check_name
from ml_data_platform.storage.ledger_record import LedgerRecord, routing_through
from ml_data_platform.storage.object_store import ObjectStore, Version
from ml_data_platform.storage.record_cache import RecordCache
from ml_data_platform.storage.records import check_instant
from ml_data_platform.storage.records_of_before import RecordsOfBefore, note_birth

__all__ = ["Failure", "Ledger", "LedgerRecord"]


class Ledger:
    """The ledger under one root.

    Attributes:
        objects: The bytes under the root.
        decisions: What people decided about landed contents.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self.objects = objects
        self.decisions = Decisions(objects)
        self.noted = RecordsOfBefore(objects)
        self._known: RecordCache[LedgerRecord] = RecordCache()
        self._is_begun = False

    def append(self, record: LedgerRecord) -> bool:
        """Add a record.

        Returns:
            False when this content was recorded under this routing before; the older record stays.

        Raises:
            PlatformError: The record contradicts itself, see `LedgerRecord.check`.
        """
        record.check()
        if not self._is_begun:
            note_birth(self.objects)
            self._is_begun = True
        return self.objects.put_if_absent(record.key, record.to_json())

    def record(self, source: str, sha256: str, routing_hash: str) -> LedgerRecord | None:
        """Return the record of a content under a routing; None where it was not landed so.

        Raises:
            RecordError: The record cannot be read.
        """
        key = Layout.ledger_key(source, sha256, routing_hash)
        if not self.objects.exists(key):
            return None
        self.objects.settle(Layout.ledger_folder(source))
        return self._read(key)

    def newest_reading(self, source: str, sha256: str, routing_hash: str) -> LedgerRecord | None:
        """Return the record of a content under a routing that dates most rows; None where it was not landed so.

        Raises:
            RecordError: A record cannot be read.
        """
        record = self.record(source, sha256, routing_hash)
        if record is not None and IN_THE_FUTURE not in record.undated:
            return record
        readings = [each for each in self.readings(source, sha256) if _is_of(each, routing_hash)]
        return max(readings, key=_dated_through, default=None)

    def first_record(self, source: str, sha256: str) -> LedgerRecord | None:
        """Return the earliest record of a content under any routing; None where it was never landed.

        Raises:
            RecordError: A record cannot be read.
        """
        readings = self.readings(source, sha256)
        return min(readings, key=lambda record: datetime.fromisoformat(record.ingested_at), default=None)

    def readings(self, source: str, sha256: str) -> list[LedgerRecord]:
        """Return all records of a content, of any routing.

        Raises:
            RecordError: A record cannot be read.
        """
        names = [name for name in self.objects.names(Layout.ledger_folder(source)) if name.startswith(f"{sha256}.")]
        routings = [name.removesuffix(".json").partition(".")[2] for name in names if name.endswith(".json")]
        return [found for routing in routings if (found := self.record(source, sha256, routing)) is not None]

    def decided(self, source: str, sha256: str) -> Decided | None:
        """Return what landing decided about a content; of a lost record what its names bear witness to; None where nothing does.

        Raises:
            RecordError: A record cannot be read.
        """
        record = self.first_record(source, sha256)
        if record is not None:
            return Decided.of(record)
        names = sorted(self.landed_names(source, sha256), key=lambda each: check_instant(each.seen_at))
        told = [each.decided for each in names if each.decided is not None]
        if told or not names:
            return told[0] if told else None
        # A name of before tells when, and not what was decided about late rows.
        return Decided(names[0].name, names[0].seen_at, 0, None, None, {}, None)

    def records(self, routing_hashes: Mapping[str, str] | None = None) -> tuple[LedgerRecord, ...]:
        """Return the current record of each content of each source, by source and hash.

        Args:
            routing_hashes: By source, the routing whose record is current where there is one. Otherwise
                the one ingested last is, and of two at once the one with the greater routing hash. Of several
                readings under one routing the one that dates most rows is.

        Raises:
            RecordError: A record cannot be read.
        """
        wanted = routing_hashes or {}
        current: dict[tuple[str, str], LedgerRecord] = {}
        for source in self.sources():
            keys = self.record_keys(source).items()
            for record in self.objects.each(lambda known: self._known.get(*known, self._read_version), keys):
                kept = current.get((source, record.sha256))
                if kept is None or _rank(record, wanted.get(source)) > _rank(kept, wanted.get(source)):
                    current[source, record.sha256] = record
        return tuple(current[key] for key in sorted(current))

    def every_record(self) -> Iterator[LedgerRecord]:
        """Yield the records of all contents under all routings.

        Raises:
            RecordError: A record cannot be read.
        """
        for source in self.sources():
            keys = self.record_keys(source).items()
            yield from self.objects.each(lambda known: self._known.get(*known, self._read_version), keys)

    def sources(self) -> list[str]:
        """Return the sources that have a folder in the ledger, in order; foreign names are ignored."""
        return [name for name in sorted(self.objects.names(LEDGER_FOLDER)) if _is_source(name)]

    def note_name(self, record: LedgerRecord, name: str, seen_at: str) -> bool:
        """Record that a content was seen under a file name; False when that was known."""
        check_instant(seen_at)
        noted = LandedName(record.source, record.sha256, name, seen_at, Decided.of(record))
        return self.objects.put_if_absent(noted.key, noted.to_json())

    def names(self, source: str, sha256: str) -> tuple[str, ...]:
        """Return the file names that a content was seen under, in order.

        Raises:
            RecordError: A record cannot be read.
        """
        return tuple(sorted(each.name for each in self.landed_names(source, sha256)))

    def landed_names(self, source: str, sha256: str) -> tuple[LandedName, ...]:
        """Return what was noted with each name of a content, by key.

        Raises:
            RecordError: A record cannot be read.
        """
        keys = [key for key in self.objects.list(Layout.names_folder(source, sha256)) if key.endswith(".json")]
        return tuple(LandedName.from_json(self.objects.read_bytes(key), where=key, noted=self.noted) for key in keys)

    def note_failure(self, source: str, path: str, reason: str, at: str) -> bool:
        """Record that a file could not be landed; False when that was known for the same reason."""
        check_instant(at)
        failure = Failure(source, path, reason, at)
        return self.objects.put_if_absent(failure.key, failure.to_json())

    def forget_failures(self, source: str, path: str) -> int:
        """Remove what was noted of a file that could be read after all; returns the number of notes."""
        gone = [each for each in self.failures(source) if each.path == path]
        for failure in gone:
            self.objects.delete(failure.key)
        flush = self.objects.flush if gone else self.objects.settle
        flush(Layout.failures_folder(source))
        return len(gone)

    def failures(self, source: str | None = None) -> tuple[Failure, ...]:
        """Return the files, of one source or all, that could not be landed, by source, path and reason.

        Raises:
            RecordError: A record cannot be read.
        """
        folder = FAILURES_FOLDER if source is None else Layout.failures_folder(source)
        keys = [key for key in self.objects.list(folder) if key.endswith(".json")]
        found = [Failure.from_json(self.objects.read_bytes(key), where=key, noted=self.noted) for key in keys]
        return tuple(sorted(found, key=lambda failure: (failure.source, failure.path, failure.reason)))

    def record_keys(self, source: str) -> dict[str, Version]:
        """Return the keys of a source's records, of all routings, in order, each with its version."""
        folder = Layout.ledger_folder(source)
        versions = sorted(self.objects.versions(folder).items())
        self.objects.settle(folder)
        return {f"{folder}/{name}": version for name, version in versions if name.endswith(".json")}

    def _read(self, key: str) -> LedgerRecord:
        return LedgerRecord.from_json(self.objects.read_bytes(key), where=key, noted=self.noted)

    def _read_version(self, key: str, version: Version) -> LedgerRecord:
        return LedgerRecord.from_json(self.objects.read_version(key, version), where=key, noted=self.noted)


def _rank(record: LedgerRecord, wanted: str | None) -> tuple[bool, datetime, datetime, str]:
    is_wanted = wanted is not None and _is_of(record, wanted)
    return is_wanted, check_instant(record.ingested_at), _dated_through(record), record.routing_hash


def _is_of(record: LedgerRecord, routing_hash: str) -> bool:
    return record.routing_hash == routing_through(routing_hash, record.dated_through)


def _dated_through(record: LedgerRecord) -> datetime:
    return check_instant(record.dated_through or record.ingested_at)


def _is_source(name: str) -> bool:
    try:
        check_name(name, "source")
    except PlatformError:
        return False
    return True
