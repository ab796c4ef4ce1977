"""The commit log: which bytes each partition consists of, one immutable record per generation.

Belongs here: what a record says, how it is read and checked, and finding the newest. Does not belong here:
deciding whether to commit, or showing a generation in the view.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ml_data_platform.errors import (
    CommitStateUnknownError,
    MissingPartitionError,
    PlatformError,
    RecordError,
)
from ml_data_platform.storage.layout import Layout, check_sha256, day_key
from ml_data_platform.storage.object_store import ObjectStore, Version
from ml_data_platform.storage.record_cache import RecordCache
from ml_data_platform.storage.records import Noted, check_fields, check_instant, form_of, read_fields, sealed
from ml_data_platform.storage.records_of_before import RecordsOfBefore

FORMAT = 2
_FORMAT_WITHOUT_DIGEST = 1


@dataclass(frozen=True)
class FileEntry:
    """One file of a generation: its name in the partition, hash, size in bytes and rows."""

    name: str
    sha256: str
    size_bytes: int
    rows: int


@dataclass(frozen=True)
class LogRecord:
    """One generation of one partition.

    Attributes:
        asset: Asset name.
        day: UTC day, ``YYYY-MM-DD``.
        generation: 1 for the first, then one more each time.
        commit_id: Identity of the commit, the same when it is retried.
        files: The partition's files by name.
        inputs: What it was computed from: input name to content hash.
        code_version: Version of the stage that computed it.
        schema_version: Version of the table's columns.
        run_id: The run that committed it.
        committed_at: Instant in ISO-8601, UTC.
        verdict: What validation said, as JSON; None where nothing is validated.
    """

    asset: str
    day: str
    generation: int
    commit_id: str
    files: tuple[FileEntry, ...]
    inputs: Mapping[str, str]
    code_version: str
    schema_version: int
    run_id: str
    committed_at: str
    verdict: Mapping[str, Any] | None

    @property
    def content(self) -> str:
        """Hash of the names and bytes of all files, hex."""
        return content_hash((file.name, file.sha256) for file in self.files)

    @property
    def rows(self) -> int:
        """Rows of all files together."""
        return sum(file.rows for file in self.files)

    def to_json(self) -> bytes:
        """Return the record as it is stored: JSON with sorted keys, and a digest of all the rest."""
        fields = asdict(self)
        return sealed(fields, form=FORMAT)

    @classmethod
    def from_json(cls, data: bytes, *, where: str, noted: Noted | None = None) -> LogRecord:
        """Read a stored record.

        Args:
            data: Its bytes.
            where: Its key, for the message.
            noted: Asked about a record without a digest.

        Raises:
            RecordError: It is no record of the form that `to_json` writes, or was changed after.
        """
        fields = _read(data, where, noted)
        try:
            files = tuple(_file_entry(entry, where) for entry in fields.pop("files"))
            day_key(fields["day"])
            check_instant(fields["committed_at"])
        except PlatformError as error:
            raise RecordError("A commit record is malformed.", file=where, got=error) from error
        if not files or not all(isinstance(value, str) for value in fields["inputs"].values()):
            raise RecordError("A commit record has no files, or inputs that are no text.", file=where)
        return cls(files=files, **fields)


def _read(data: bytes, where: str, noted: Noted | None) -> dict[str, Any]:
    if form_of(data) == _FORMAT_WITHOUT_DIGEST:
        return read_fields(data, where=where, types=_FIELD_TYPES, form=_FORMAT_WITHOUT_DIGEST, noted=noted)
    return read_fields(data, where=where, types=_FIELD_TYPES, form=FORMAT)


_TEXT: tuple[type, ...] = (str,)
_FIELD_TYPES: dict[str, tuple[type, ...]] = {
    "asset": _TEXT,
    "day": _TEXT,
    "generation": (int,),
    "commit_id": _TEXT,
    "files": (list,),
    "inputs": (dict,),
    "code_version": _TEXT,
    "schema_version": (int,),
    "run_id": _TEXT,
    "committed_at": _TEXT,
    "verdict": (dict, type(None)),
}
_FILE_TYPES: dict[str, tuple[type, ...]] = {"name": _TEXT, "sha256": _TEXT, "size_bytes": (int,), "rows": (int,)}


def _file_entry(entry: Any, where: str) -> FileEntry:
    fields = check_fields(entry, where=where, types=_FILE_TYPES)
    return FileEntry(
        Layout.file_name(fields["name"]), check_sha256(fields["sha256"]), fields["size_bytes"], fields["rows"]
    )


def content_hash(files: Iterable[tuple[str, str]]) -> str:
    """Return the identity of a set of files: SHA-256 over their sorted (name, hash) pairs, hex."""
    lines = "".join(f"{sha256} {name}\n" for name, sha256 in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()


class CommitLog:
    """Read and extend the logs of all partitions under one root."""

    def __init__(self, objects: ObjectStore) -> None:
        self.objects, self.noted = objects, RecordsOfBefore(objects)
        self._known: RecordCache[LogRecord] = RecordCache()

    def head(self, asset: str, day: str) -> LogRecord | None:
        """Return the newest generation; None for a partition that was never published."""
        versions = self.objects.versions(Layout.log_folder(asset, day))
        generations = {generation: name for name in versions if (generation := Layout.generation(name))}
        if not generations:
            return None
        newest = max(generations)
        return self.at(asset, day, newest, versions[generations[newest]])

    def heads(self, asset: str) -> dict[str, LogRecord]:
        """Return the newest generation of every published day, by day in order."""
        return self.heads_of([asset])[asset]

    def heads_of(self, assets: Sequence[str]) -> dict[str, dict[str, LogRecord]]:
        """Return by asset the newest generation of every published day, by day in order; all are asked for at once."""
        listed = zip(assets, self.objects.each(self.generations, assets), strict=True)
        newest = [
            (asset, day, max(versions), versions[max(versions)])
            for asset, days in listed
            for day, versions in days.items()
        ]
        found: dict[str, dict[str, LogRecord]] = {asset: {} for asset in assets}
        for record in self.objects.each(lambda one: self.at(*one), newest):
            found[record.asset][record.day] = record
        return found

    def at(self, asset: str, day: str, generation: int, version: Version) -> LogRecord:
        """Return one generation, read only where ``version``, from a listing, is not the one read before."""
        key = Layout.log_key(asset, day, generation)
        return self._known.get(
            key,
            version,
            lambda key, version: self._parsed(asset, day, generation, self.objects.read_version(key, version)),
        )

    def histories(self, asset: str) -> dict[str, tuple[LogRecord, ...]]:
        """Return every generation of every published day, by day in order, oldest first."""
        return self._read_all(asset, self.generations(asset))

    def generations(self, asset: str) -> dict[str, dict[int, Version]]:
        """Return by day, in order, the generations that have a record, each with its version; without reading any."""
        found: dict[str, dict[int, Version]] = {}
        prefix = f"{Layout.log_root(asset)}/"
        for key, stored in self.objects.stored(Layout.log_root(asset)).items():
            folder, _, name = key.removeprefix(prefix).partition("/")
            day, generation = _day_of(folder), Layout.generation(name)
            if day and generation:
                found.setdefault(day, {})[generation] = stored.version
        return {day: dict(sorted(found[day].items())) for day in sorted(found)}

    def days(self, asset: str) -> list[str]:
        """Return the days that have a log folder, in order; foreign names are ignored."""
        return sorted(filter(None, map(_day_of, self.objects.names(Layout.log_root(asset)))))

    def read(self, asset: str, day: str, generation: int) -> LogRecord:
        """Return one generation.

        Raises:
            MissingPartitionError: There is no such generation.
            RecordError: Its record cannot be read, or is not of this partition and generation.
        """
        key = Layout.log_key(asset, day, generation)
        try:
            data = self.objects.read_bytes(key)
        except FileNotFoundError:
            raise MissingPartitionError(
                "The partition has no such generation.", asset=asset, partition=day, generation=generation
            ) from None
        return self._parsed(asset, day, generation, data)

    def _parsed(self, asset: str, day: str, generation: int, data: bytes) -> LogRecord:
        key = Layout.log_key(asset, day, generation)
        record = LogRecord.from_json(data, where=key, noted=self.noted)
        if (record.asset, record.day, record.generation) != (asset, day, generation):
            got = f"{record.asset} {record.day} generation {record.generation}"
            raise RecordError("A commit record belongs elsewhere.", file=key, got=got)
        return record

    def append(self, record: LogRecord) -> bool:
        """Write a record: the commit point.

        Returns:
            False when its generation exists already.

        Raises:
            OSError: Nothing was written.
            CommitStateUnknownError: It was written, but may not survive a power cut; or a bucket did not answer.
        """
        key, data = Layout.log_key(record.asset, record.day, record.generation), record.to_json()
        try:
            return self.objects.put_if_absent(key, data)
        except OSError as error:
            if self._is_written(key, data, error):
                return True
            raise CommitStateUnknownError(
                "Whether a commit record was written could not be made certain.",
                asset=record.asset,
                partition=record.day,
                generation=record.generation,
                got=error,
            ) from error

    def _is_written(self, key: str, data: bytes, error: OSError) -> bool:
        """Tell whether a record that could not be written is there and will stay; False where nobody can tell.

        Raises:
            OSError: ``error``: nothing was written, and nothing will be.
        """
        if error.errno == errno.EACCES:
            raise error
        try:
            is_there = self.objects.read_bytes(key) == data
        except FileNotFoundError:
            is_there = False
        except OSError:
            # The one who knows does not answer.
            return False
        if self.objects.is_remote:
            # What can be read from a bucket is durable; what cannot may be under way.
            return is_there
        if not is_there:
            raise error
        # A local record that was not flushed is lost by a power cut.
        return False

    def history(self, asset: str, day: str) -> tuple[LogRecord, ...]:
        """Return every generation, oldest first."""
        versions = self.objects.versions(Layout.log_folder(asset, day)).items()
        found = {generation: version for name, version in versions if (generation := Layout.generation(name))}
        return self._read_all(asset, {day: dict(sorted(found.items()))})[day]

    def _read_all(self, asset: str, wanted: Mapping[str, Mapping[int, Version]]) -> dict[str, tuple[LogRecord, ...]]:
        every = [(day, number, version) for day, versions in wanted.items() for number, version in versions.items()]
        records = self.objects.each(lambda one: self.at(asset, *one), every)
        found: dict[str, tuple[LogRecord, ...]] = dict.fromkeys(wanted, ())
        for record in records:
            found[record.day] += (record,)
        return found


def _day_of(folder: str) -> str:
    """Return the day of a log folder; empty for a foreign one."""
    try:
        return day_key(folder.removeprefix("dt=")) if folder.startswith("dt=") else ""
    except PlatformError:
        return ""
