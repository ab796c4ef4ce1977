"""Bytes under keys of a bucket, with put-if-absent and a view that never goes back.

Belongs here: every operation whose atomicity rests on conditional requests. Does not belong here: sending them
(``s3_requests``), what the bytes mean.

Machines share nothing but the bucket. So what must happen once is a conditional ``PutObject``: a record is put if
absent; a file of the view replaces what is there only if that is still what was looked at, and of an older generation.
Objects are named by their content, so that writing one twice is harmless. Scratch, locks and a cache of what was read
are local; engines read the cache.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from ml_data_platform.errors import ConditionFailedError, StorageKeyError, VerificationError
from ml_data_platform.locations import S3Location
from ml_data_platform.storage.compared_files import missing_object, require_own_bytes
from ml_data_platform.storage.layout import PROBE_KEY
from ml_data_platform.storage.local_objects import LocalObjectStore
from ml_data_platform.storage.object_cache import ObjectCache
from ml_data_platform.storage.object_store import (
    GRACE,
    READ_ONLY,
    Item,
    Many,
    Names,
    ObjectStore,
    Result,
    Stored,
    Version,
    check_key,
)
from ml_data_platform.storage.record_files import RecordFiles
from ml_data_platform.storage.root_identity import CACHE_FOLDER, RootIdentity
from ml_data_platform.storage.s3_client import S3Connection
from ml_data_platform.storage.s3_conditions import ABSENT, GENERATION, SHA256, is_as_new, require_conditions
from ml_data_platform.storage.s3_parts import S3Parts, expected_etag
from ml_data_platform.storage.s3_requests import S3Requests

RECORDS_FOLDER = "records"
# One PutObject takes 5 GB; beyond a part, parts are cheaper to repeat than the whole.
LARGEST_SINGLE_PUT_BYTES = 64 << 20
LARGEST_VIEW_PUT_BYTES = 5_000_000_000
MAX_ROUNDS = 100


class S3ObjectStore(ObjectStore):
    """Objects below one prefix of a bucket.

    Args:
        location: The bucket and the prefix.
        local_folder: Folder of this machine for scratch, locks and the cache.
        connection: How the store is reached.
        cache_bytes: What the cache may take.
    """

    is_remote = True

    def __init__(
        self,
        location: S3Location,
        local_folder: Path,
        connection: S3Connection,
        *,
        cache_bytes: int = 20 * 10**9,
    ) -> None:
        self.location = location
        self.requests = S3Requests(location.bucket, connection)
        self.parts = S3Parts(self.requests)
        self.local = LocalObjectStore(local_folder)
        self.cache = ObjectCache(local_folder / CACHE_FOLDER, cache_bytes, self.local.compared)
        self.records = RecordFiles(local_folder / CACHE_FOLDER / RECORDS_FOLDER)
        self.identity = RootIdentity(self, self.local)
        self._threads = connection.connections
        self._beginning = f"{location.prefix}/" if location.prefix else ""
        self._shown: dict[str, tuple[Version, str]] = {}
        self._damaged: dict[str, str] = {}
        self._probing = threading.Lock()
        self._is_capable = False

    @property
    def local_folder(self) -> Path:
        """The folder of scratch and cache."""
        return self.local.root

    def uri(self, key: str) -> str:
        """Return the URL of a key."""
        return str(self.location / check_key(key))

    def local_path(self, key: str) -> Path:
        """Return the cached copy of an immutable object, fetched and verified where there is none."""
        name = check_key(key).rpartition("/")[2]
        known = self.cache.find(name)
        if known is not None:
            return known
        with self.scratch() as folder:
            fetched = folder / "fetched"
            try:
                sha256 = self.requests.get_file(self._full(key), fetched)
            except FileNotFoundError as error:
                raise missing_object(key, self.uri(key)) from error
            require_own_bytes(key, sha256, self.uri(key))
            return self.cache.add(name, fetched)

    def is_whole(self, key: str) -> bool:
        """Tell whether `local_path` would return; what was found damaged is not fetched again until it is another."""
        there = self.requests.head(self._full(key))
        tag = there.etag if there else ""
        if self._damaged.get(key) != tag:
            if self.whole_path(key) is not None:
                return True
            self._damaged[key] = tag
        return self.cached(key) is not None

    def cached(self, key: str) -> Path | None:
        """Return the cached copy of an immutable object, compared with its name; None where there is none."""
        return self.cache.find(check_key(key).rpartition("/")[2])

    @contextmanager
    def fetched(self, key: str) -> Iterator[Path]:
        """Give a file with the bytes as they are fetched now, past the cache."""
        with self.scratch() as folder:
            self.requests.get_file(self._full(key), folder / "fetched")
            yield folder / "fetched"

    def put_if_absent(self, key: str, source: Path | bytes, *, mode: int = READ_ONLY) -> bool:
        """Store ``source`` under ``key`` unless something is there.

        Raises:
            StorageKeyError: It is meant for its owner only: a bucket is no place for a secret.
            OSError: The store did not answer; the bytes may be there, or still arrive.
        """
        if mode != READ_ONLY:
            raise StorageKeyError("A bucket keeps no secrets.", got=key)
        self.prepare()
        data = source.read_bytes() if isinstance(source, Path) else source
        try:
            self.requests.put(self._full(key), data, if_none_match=ABSENT)
        except ConditionFailedError as failed:
            # The first attempt may have stored it, and its answer have been lost.
            return failed.was_repeated and self.read_bytes(key) == data
        return True

    def put_object(self, key: str, source: Path, *, sha256: str, size_bytes: int) -> bool:
        """Store a file under a key that its content names; an object that is there already is checked, and made young.

        Raises:
            DamagedObjectError: The object that is there has other bytes than its name says.
            VerificationError: The file is gone or has changed.
        """
        require_own_bytes(key, sha256, source)
        self.prepare()
        there = self.requests.head(self._full(key))
        is_new = there is None
        if there is None or Stored(there.size_bytes, there.modified, there.etag).is_older_than(GRACE / 2):
            self._upload(key, source, sha256, size_bytes)
        elif there.etag != expected_etag(source, in_parts="-" in there.etag):
            require_own_bytes(key, self.hash(key), self.uri(key))
        self._remember(key, source)
        return is_new

    def read_bytes(self, key: str) -> bytes:
        """Return the bytes under ``key``; raises FileNotFoundError where there are none."""
        return self.requests.get(self._full(key))

    def read_version(self, key: str, version: Version) -> bytes:
        """Return the bytes under ``key``, of a listed version or newer ones; a record that was read before is kept here."""
        kept = self.records.find(version)
        if kept is None:
            kept = self.read_bytes(key)
            self.records.keep(version, kept)
        return kept

    def exists(self, key: str) -> bool:
        """Tell whether something is stored under ``key``."""
        return self.requests.head(self._full(key)) is not None

    def size(self, key: str) -> int:
        """Return the size of an object in bytes; raises FileNotFoundError where there is none."""
        found = self.requests.head(self._full(key))
        if found is None:
            raise FileNotFoundError(2, "There is no such object", self.uri(key))
        return found.size_bytes

    def hash(self, key: str) -> str:
        """Return the SHA-256 of the bytes that the bucket holds, in hex; raises FileNotFoundError where there are none."""
        return self.requests.digest(self._full(key))

    def stored(self, prefix: str) -> dict[str, Stored]:
        """Return the keys of all objects below the folder ``prefix``, in order, with what a listing tells of them."""
        start = len(self._beginning)
        return {key[start:]: each for key, each in self.requests.listing(self._folder(prefix))}

    def names(self, folder: str) -> Names:
        """Return the names directly in a folder, unordered; none where it does not exist."""
        return [name for name, _ in self.requests.level(self._folder(folder))]

    def versions(self, folder: str) -> dict[str, Version]:
        """Return the names of the objects directly in a folder, each with its entity tag."""
        return {name: each.version for name, each in self.requests.level(self._folder(folder)) if each is not None}

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens where there is none."""
        self.requests.delete(self._full(key))

    def is_projected(self, object_key: str, view_key: str, shown: Stored) -> bool:
        """Tell whether the view, of which a listing tells ``shown``, shows the object; asks once per change of it."""
        wanted = _hash_in(object_key)
        if self._shown.get(view_key) == (shown.version, wanted):
            return True
        found = self.requests.head(self._full(view_key))
        if found is None or found.metadata.get(SHA256) != wanted or found.size_bytes != shown.size_bytes:
            return False
        self._shown[view_key] = (found.etag, wanted)
        return True

    def project(self, object_key: str, view_key: str, *, generation: int | None = None) -> bool:
        """Show an object under a name of the view, unless a newer generation is shown.

        Raises:
            VerificationError: The object is missing.
        """
        self.prepare()
        wanted, full = _hash_in(object_key), self._full(view_key)
        metadata = {SHA256: wanted, GENERATION: str(generation or 0)}
        for _ in range(MAX_ROUNDS):
            shown = self.requests.head(full)
            if shown is not None and is_as_new(shown, wanted, generation):
                return False
            seen = shown.etag if shown else None
            try:
                etag = self._show(object_key, view_key, metadata, seen)
            except (ConditionFailedError, FileNotFoundError):
                # Another writer was here since the look; or our own first attempt, whose answer was lost.
                continue
            self._shown[view_key] = (etag, wanted)
            return True
        raise VerificationError("A file of the view never stood still.", key=self.uri(view_key), rounds=MAX_ROUNDS)

    def scratch(self) -> AbstractContextManager[Path]:
        """Give a private local folder that is removed at the end, or by `reap_scratch` after its owner died."""
        return self.local.scratch()

    def reap_scratch(self) -> int:
        """Remove scratch folders of this machine whose owner is dead; returns how many."""
        return self.local.reap_scratch()

    def reap_uploads(self, older_than: timedelta, now: datetime) -> int:
        """Remove uploads in parts that were begun longer ago than ``older_than`` and never finished."""
        begun = [each for each in self.parts.uploads(self._beginning) if now - each[2] > older_than]
        for key, upload, _ in begun:
            self.parts.abort(key, upload)
        return len(begun)

    def lock(self, key: str, *, shared: bool = False) -> AbstractContextManager[None]:
        """Hold the lock ``key`` among the processes of this machine: it spares them lost races, no more."""
        return self.local.lock(key, shared=shared)

    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Many[Result]:
        """Do the same work for each item, several at once: what takes time is the way."""
        every = list(items)
        if len(every) < 2:
            return [work(item) for item in every]
        with ThreadPoolExecutor(min(self._threads, len(every))) as pool:
            return list(pool.map(work, every))

    def prepare(self) -> None:
        """Refuse a store that ignores conditions, by trying, and mark a root that begins; once per process and store.

        Raises:
            SettingsError: It does: two writers could both believe that they committed.
            PlatformError: It is not the root that this machine used there, or its mark is damaged.
        """
        with self._probing:
            if not self._is_capable:
                self.confirm()
                require_conditions(self.requests, self._full(PROBE_KEY), str(self.location))
                self.identity.begin()
                self._is_capable = True

    def confirm(self) -> None:
        """Refuse a bucket that no longer holds the root that this machine used there."""
        self.identity.confirm()

    def _upload(self, key: str, source: Path, sha256: str, size_bytes: int) -> None:
        got = source.stat().st_size if source.exists() else "no file"
        if got != size_bytes:
            raise VerificationError("A staged file changed.", file=source, expected=size_bytes, got=got)
        metadata = {SHA256: sha256}
        if size_bytes > LARGEST_SINGLE_PUT_BYTES:
            etag = self.parts.put(self._full(key), source, metadata)
        else:
            etag = self.requests.put(self._full(key), source, metadata)
        self._check(key, etag, source, sha256)

    def _check(self, key: str, etag: str, source: Path, sha256: str) -> None:
        """Compare what the store says it holds with what was sent; read it back where its tag does not tell.

        Raises:
            VerificationError: It holds other bytes.
        """
        if etag != expected_etag(source, in_parts="-" in etag) and self.hash(key) != sha256:
            raise VerificationError(
                "Bytes read back differ from the bytes written.", key=self.uri(key), expected=sha256
            )

    def _remember(self, key: str, source: Path) -> None:
        """Keep a file that was sent as its own cached copy: the next stage reads it."""
        name = key.rpartition("/")[2]
        if self.cache.find(name) is None:
            self.cache.add(name, source)

    def _show(self, object_key: str, view_key: str, metadata: dict[str, str], seen: str | None) -> str:
        """Put an object in the place of what was seen in the view, or of nothing; returns its new entity tag.

        Raises:
            ConditionFailedError: Something else is there meanwhile.
            VerificationError: The object is missing, or the store holds other bytes than were sent.
        """
        # A copy in the cache must not hide that the object itself is gone.
        # One request takes 5 GB: the store copies what is larger in parts.
        there, wanted, full = self.requests.head(self._full(object_key)), metadata[SHA256], self._full(view_key)
        if there is None:
            raise missing_object(object_key, self.uri(object_key))
        only_if = {"if_match": seen} if seen else {"if_none_match": ABSENT}
        if there.size_bytes > LARGEST_VIEW_PUT_BYTES:
            return self.parts.copy(self._full(object_key), there, full, metadata, **only_if)
        path = self.local_path(object_key)
        etag = self.requests.put(full, path, metadata, **only_if)
        self._check(view_key, etag, path, wanted)
        return etag

    def _full(self, key: str) -> str:
        return f"{self._beginning}{check_key(key)}"

    def _folder(self, prefix: str) -> str:
        return f"{self._full(prefix)}/" if prefix else self._beginning


def _hash_in(object_key: str) -> str:
    return object_key.rpartition("/")[2].partition(".")[0]
