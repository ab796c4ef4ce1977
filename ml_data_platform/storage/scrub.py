"""Reading every stored byte again: the tables, their log and their view.

Belongs here: comparing objects, records and views with each other. Does not belong here: what was landed
(``scrub_landed``), mending (``mending``).

Others may write meanwhile. So what looks wrong is looked at again, from the newest record on, before it is reported.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from ml_data_platform.errors import PlatformError, bounded
from ml_data_platform.storage.collection import hashes_below
from ml_data_platform.storage.commit_log import CommitLog, FileEntry, LogRecord
from ml_data_platform.storage.defects import Defect, Kind
from ml_data_platform.storage.durability import file_sha256
from ml_data_platform.storage.layout import SNAPSHOTS_FOLDER, STORE, Layout, check_name
from ml_data_platform.storage.object_store import ObjectStore, Stored
from ml_data_platform.storage.staging import commit_id

_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EIO})

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Content:
    """What an object holds: the hash of its bytes, hex, their number, and its rows where it is Parquet."""

    sha256: str
    size_bytes: int
    rows: int | None


@dataclass
class Scrub:
    """One look at everything under a root.

    Attributes:
        objects: The bytes.
        log: The commit log.
        threads: Files read at once.
        on_progress: Called with what is read, how many are done and how many there are.
        found: The contents of the objects that were read, by key.
        unreadable: What the system said of those that it does not let read, by key.
        counts: What was looked at.
        lost: The generations that are noted as lost and have no record since, by asset and day.
        histories: The readable generations of the tables that were looked at, by asset and day.
    """

    objects: ObjectStore
    log: CommitLog
    threads: int = 2
    on_progress: Progress = lambda _what, _done, _total: None
    found: dict[str, Content] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    histories: dict[str, dict[str, list[LogRecord]]] = field(default_factory=dict)
    lost: dict[str, dict[str, set[int]]] = field(default_factory=dict)

    def assets(self) -> list[str]:
        """Return the assets that have objects or a log, in order."""
        names = []
        for name in sorted(self.objects.names(STORE)):
            try:
                if {"objects", "log"} & set(self.objects.names(f"{STORE}/{check_name(name, 'asset')}")):
                    names.append(name)
            except PlatformError:
                continue
        return names

    def read(self, what: str, keys: Iterable[str]) -> dict[str, Content]:
        """Read objects again from their medium; one that vanishes meanwhile is left out."""
        wanted = sorted(set(keys))
        self.on_progress(what, 0, len(wanted))
        with ThreadPoolExecutor(self.threads) as pool:
            for done, (key, content) in enumerate(zip(wanted, pool.map(self._content, wanted), strict=True), 1):
                if content is not None:
                    self.found[key] = content
                    self.count("objects_read")
                    self.count("bytes_read", content.size_bytes)
                self.on_progress(what, done, len(wanted))
        return {key: self.found[key] for key in wanted if key in self.found}

    def count(self, what: str, number: int = 1) -> None:
        """Add to what was looked at."""
        self.counts[what] = self.counts.get(what, 0) + number

    def table(self, asset: str) -> Iterator[Defect]:
        """Compare an asset's objects, log and view."""
        stored = self.objects.stored(Layout.objects_folder(asset))
        named = {key for key in stored if _is_object(asset, key)}
        contents = self.read(f"objects of {asset}", named)
        histories, defects = self._histories(asset)
        self.histories[asset] = histories
        yield from defects
        # Where the newest record cannot be read nobody can say what the day consists of.
        unreadable = {defect.day for defect in defects if defect.kind is Kind.RECORD_DAMAGED}
        pinned = hashes_below(self.objects, SNAPSHOTS_FOLDER)
        users = _users(histories, pinned)
        for key, content in contents.items():
            if content.sha256 != _name(key):
                day = users.get(_name(key), "")
                yield Defect(Kind.OBJECT_ALTERED, key, asset, day, f"its bytes hash to {content.sha256}")
        for day, history in histories.items():
            yield from self._contradictions(history, contents)
            yield from self._missing(asset, day, history, pinned, has_head=day not in unreadable)
        yield from self._views(asset, histories, stored, unreadable)

    def _content(self, key: str) -> Content | None:
        try:
            with self.objects.fetched(key) as path:
                try:
                    rows = pq.read_metadata(path).num_rows if key.endswith(".parquet") else None
                except (pa.ArrowException, OSError, ValueError):
                    rows = None
                return Content(file_sha256(path), path.stat().st_size, rows)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in _DENIED:
                raise
            self.unreadable[key] = str(error.strerror)
            return None

    def unread(self) -> Iterator[Defect]:
        """Yield the files that the system did not let read."""
        for key, why in sorted(self.unreadable.items()):
            asset = key.split("/")[1] if key.startswith((f"{STORE}/", "data/")) else ""
            yield Defect(Kind.FILE_UNREADABLE, key, asset, detail=why)

    def _histories(self, asset: str) -> tuple[dict[str, list[LogRecord]], list[Defect]]:
        histories: dict[str, list[LogRecord]] = {}
        defects: list[Defect] = []
        generations = self.log.generations(asset)
        self.lost[asset] = self._noted_as_lost(asset, generations)
        for day, versions in generations.items():
            noted = self.lost[asset].get(day, set())
            for missing in sorted(set(range(1, max(versions))) - set(versions) - noted):
                key = Layout.log_key(asset, day, missing)
                defects.append(Defect(Kind.LOG_GAP, key, asset, day, f"the newest generation is {max(versions)}"))
            for generation in versions:
                key = Layout.log_key(asset, day, generation)
                self.count("records_read")
                try:
                    record = self.log.read(asset, day, generation)
                except PlatformError as error:
                    defects.append(Defect(Kind.RECORD_DAMAGED, key, asset, day, bounded(error.what)))
                    continue
                if not is_own(record):
                    detail = "its identity is not that of what it says"
                    defects.append(Defect(Kind.RECORD_DAMAGED, key, asset, day, detail))
                histories.setdefault(day, []).append(record)
        return histories, defects

    def _noted_as_lost(self, asset: str, generations: Mapping[str, Collection[int]]) -> dict[str, set[int]]:
        """Return by day the generations that are noted as lost, and have no record since."""
        found: dict[str, set[int]] = {}
        for key in self.objects.list(Layout.log_root(asset)):
            folder, _, name = key.rpartition("/")
            generation = Layout.gap_in(name)
            day = folder.rpartition("dt=")[2]
            if generation is not None and generation not in generations.get(day, ()):
                found.setdefault(day, set()).add(generation)
                self.count("generations_lost")
        return found

    def _contradictions(self, history: list[LogRecord], contents: Mapping[str, Content]) -> Iterator[Defect]:
        for record in history:
            for file in record.files:
                content = contents.get(Layout.object_key(record.asset, file.sha256))
                if content is None or content.sha256 != file.sha256:
                    continue
                if (content.size_bytes, content.rows) != (file.size_bytes, file.rows):
                    yield Defect(
                        Kind.RECORD_CONTRADICTS_OBJECT,
                        Layout.log_key(record.asset, record.day, record.generation),
                        record.asset,
                        record.day,
                        f"{file.name} has {content.size_bytes} bytes and {content.rows} rows, recorded are "
                        f"{file.size_bytes} and {file.rows}",
                    )

    def _missing(
        self, asset: str, day: str, history: list[LogRecord], pinned: Collection[str], *, has_head: bool
    ) -> Iterator[Defect]:
        """Find files that are gone and needed: those of the newest generation, and single files that a snapshot pins."""
        wanted = {
            file.sha256: (file.name, record.generation)
            for record in history
            for file in record.files
            if file.sha256 in pinned or (has_head and record is history[-1])
        }
        for sha256, (name, generation) in wanted.items():
            key = Layout.object_key(asset, sha256)
            if key not in self.found and not self.objects.exists(key):
                yield Defect(Kind.OBJECT_MISSING, key, asset, day, f"{name} of generation {generation}")

    def _views(
        self,
        asset: str,
        histories: Mapping[str, list[LogRecord]],
        stored: Mapping[str, Stored],
        unreadable: Collection[str],
    ) -> Iterator[Defect]:
        shown = self.objects.stored(Layout.view_root(asset))
        self.count("view_files_checked", len(shown))
        # Of what is noted as lost the view shows the last state until the day is built again.
        newest = {day: history[-1].generation for day, history in histories.items()}
        unsure = {day for day, lost in self.lost[asset].items() if max(lost) > newest.get(day, 0)} | set(unreadable)
        expected: set[str] = set()
        for day, history in histories.items():
            keys = {Layout.view_key(asset, day, file.name): file for file in history[-1].files}
            older = {Layout.view_key(asset, day, file.name) for record in history for file in record.files}
            expected |= older
            if day in unsure:
                continue
            if any(not self._is_shown(asset, key, file, shown, stored) for key, file in keys.items()):
                yield from self._view_again(asset, day, history)
            for key in sorted((older - keys.keys()) & shown.keys()):
                yield Defect(Kind.VIEW_STALE, key, asset, day, "the newest generation has no such file")
        unknown = tuple(f"{Layout.view_folder(asset, day)}/" for day in unsure)
        for key in sorted(key for key in shown.keys() - expected if not key.startswith(unknown)):
            yield Defect(Kind.FOREIGN_FILE, key, asset)

    def _is_shown(
        self, asset: str, key: str, file: FileEntry, shown: Mapping[str, Stored], stored: Mapping[str, Stored]
    ) -> bool:
        there, wanted = shown.get(key), stored.get(Layout.object_key(asset, file.sha256))
        if there is None:
            return False
        # One inode, or one entity tag: the object was read already.
        if wanted is not None and there.version == wanted.version:
            return True
        content = self._content(key)
        return content is not None and content.sha256 == file.sha256

    def _view_again(self, asset: str, day: str, history: list[LogRecord]) -> Iterator[Defect]:
        with self.objects.lock(Layout.lock_key(asset, day)):
            head = self.log.head(asset, day) or history[-1]
            earlier = {file.sha256 for record in history[:-1] for file in record.files}
            named = {file.sha256 for each in self.histories[asset].values() for record in each for file in record.files}
            for file in head.files:
                key = Layout.view_key(asset, day, file.name)
                content = self._content(key)
                if key in self.unreadable:
                    continue
                if content is None:
                    yield Defect(Kind.VIEW_MISSING, key, asset, day, f"generation {head.generation}")
                elif content.sha256 not in {*named, file.sha256} and (
                    Layout.object_key(asset, content.sha256) in self.found
                ):
                    # It was published, and no record says so any more.
                    lost = Layout.log_key(asset, day, head.generation + 1)
                    yield Defect(Kind.LOG_GAP, lost, asset, day, f"{key} shows a generation that no record tells")
                    return
                elif content.sha256 != file.sha256:
                    kind = Kind.VIEW_STALE if content.sha256 in earlier else Kind.VIEW_ALTERED
                    yield Defect(
                        kind, key, asset, day, f"its bytes hash to {content.sha256}, published is {file.sha256}"
                    )


def is_own(record: LogRecord) -> bool:
    """Tell whether a record's identity is that of what it says, onto any earlier head."""
    return any(
        record.commit_id
        == commit_id(
            record.asset,
            record.day,
            record.content,
            record.inputs,
            code_version=record.code_version,
            verdict=record.verdict,
            expected_generation=expected,
        )
        for expected in reversed(range(record.generation))
    )


def _users(histories: Mapping[str, list[LogRecord]], pinned: Collection[str]) -> dict[str, str]:
    """Return by hash the first day that needs the file: its newest generation has it, or a snapshot pins it."""
    needed = [
        (file.sha256, day)
        for day, history in sorted(histories.items(), reverse=True)
        for record in history
        for file in record.files
        if record is history[-1] or file.sha256 in pinned
    ]
    return dict(needed)


def _name(key: str) -> str:
    return key.rpartition("/")[2].partition(".")[0]


def _is_object(asset: str, key: str) -> bool:
    try:
        return key == Layout.object_key(asset, _name(key))
    except PlatformError:
        return False
