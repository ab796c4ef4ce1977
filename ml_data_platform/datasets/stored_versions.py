"""What is wrong with stored versions: git, manifests, DVC's cache and remote, the work tree.

Belongs here: finding it, and repairing what another copy bears witness to. Does not belong here: tables
(``storage.scrub``), snapshots (``verified_snapshots``), models (``stored_models``), and reading all of a remote elsewhere (``checkout.verify_versions``).

A version that somebody removed, and commits, tags and files that people have beside versions, are no defects.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ml_data_platform.datasets.checkout import tracking_faults
from ml_data_platform.datasets.dataset_versions import oids_of
from ml_data_platform.datasets.dvc_texts import listing_text
from ml_data_platform.datasets.lost_commits import mend
from ml_data_platform.datasets.manifest import Manifest
from ml_data_platform.datasets.manifest_fields import DATA
from ml_data_platform.datasets.repository import VersionsRepository
from ml_data_platform.errors import PlatformError, VersionError, bounded
from ml_data_platform.storage.defects import Defect, Kind
from ml_data_platform.storage.durability import file_sha256
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.mending import set_aside
from ml_data_platform.storage.table_store import TableStore

WAIT_SECONDS = 60.0
_SHOWN = 20


def defects_of_versions(repository: VersionsRepository, store: TableStore, *, is_repair: bool) -> Iterator[Defect]:
    """Yield what is wrong with the versions of a root; nothing where none was cut.

    Args:
        repository: Where versions are kept. A cut may be under way.
        store: The root's tables.
        is_repair: Restore what git's remote, the pinned objects, DVC's cache or its remote have; nothing is removed
            that cannot be had again. No version is cut meanwhile.
    """
    if not (repository.folder / ".git").is_dir():
        return
    if not is_repair:
        yield from _Versions(repository, store).defects()
        return
    with repository.lock(wait_seconds=WAIT_SECONDS):
        yield from _Versions(repository, store).repaired()


@dataclass(frozen=True)
class _Found:
    """A defect, and what repairs it: told whether it did."""

    defect: Defect
    repair: Callable[[], bool] = lambda: False


class _Versions:
    """The versions of one root, looked at once."""

    def __init__(self, repository: VersionsRepository, store: TableStore) -> None:
        self._repository, self._store, self._git = repository, store, repository.git
        self._top = repository.folder.name

    def defects(self) -> Iterator[Defect]:
        """Yield what is wrong."""
        return (found.defect for found in self._look())

    def repaired(self) -> Iterator[Defect]:
        """Repair what can be repaired, and yield all that was wrong."""
        return (replace(found.defect, is_repaired=_is_done(found.repair)) for found in self._look())

    def _look(self) -> Iterator[_Found]:
        faults = self._git.faults()
        if faults:
            detail = bounded("; ".join(faults[:_SHOWN]), 500)
            defect = Defect(Kind.VERSION_DAMAGED, f"{self._top}/.git", detail=detail)
            yield _Found(defect, self._git_again)
        manifests = []
        try:
            tags = self._repository.tags()
        except PlatformError:
            return
        if not tags and self._git.has_history():
            defect = Defect(Kind.VERSION_DAMAGED, f"{self._top}/.git/refs/tags", detail="there are commits and no tags")
            yield _Found(defect, self._tags_again)
        for tag in tags:
            try:
                manifest = self._repository.version(tag)
                wrong = tracking_faults(self._repository, manifest)
            except PlatformError as error:
                wrong = [error.what]
            else:
                manifests.append(manifest)
            if wrong:
                detail = bounded("; ".join(wrong), 500)
                yield _Found(Defect(Kind.VERSION_DAMAGED, f"{self._top} {tag}", "dataset_versions", detail=detail))
        yield from self._bytes(manifests)
        yield from self._work_tree(manifests)

    def _git_again(self) -> bool:
        self._git.renew()
        faults = self._git.faults()
        if not faults or (self._git.fetch_again(faults) and not self._git.faults()):
            return True
        mend(self._git)
        return not self._git.faults()

    def _tags_again(self) -> bool:
        mend(self._git, with_all_tags=True)
        return bool(self._repository.tags()) or not self._git.has_history()

    def _bytes(self, manifests: list[Manifest]) -> Iterator[_Found]:
        """Find files of versions that DVC's cache or remote has lost, or has with other bytes."""
        dvc = self._repository.dvc
        texts: dict[str, bytes] = {}
        objects: dict[str, tuple[str, str]] = {}
        for manifest in manifests:
            for folder in manifest.tracked:
                top = f"{DATA}/{folder.name}/"
                texts[f"{folder.dir_md5}.dir"] = listing_text(
                    {file.path.removeprefix(top): file.md5 for file in folder.files}
                )
                objects |= {file.md5: (folder.name, file.sha256) for file in folder.files}
        wanted: set[str] = set().union(*map(oids_of, manifests))
        copies = _Copies(self._repository, self._store, texts, objects)
        for oid in sorted(wanted):
            if (fault := dvc.cache_fault(oid)) is not None:
                key = f"{self._top}/.dvc/cache/files/md5/{oid[:2]}/{oid[2:]}"
                yield _Found(Defect(Kind.VERSION_BYTES_ALTERED, key, detail=fault), partial(copies.into_cache, oid))
        try:
            is_near = "://" not in self._repository.remote.url
            wrong = dvc.corrupt(wanted) if is_near else dict.fromkeys(dvc.missing(wanted), "missing")
        except VersionError as error:
            defect = Defect(Kind.VERSIONS_REMOTE_UNREACHABLE, self._repository.remote.url, detail=error.what)
            yield _Found(defect, partial(self._is_configured_again, wanted))
            return
        for oid, fault in sorted(wrong.items()):
            kind = Kind.VERSION_BYTES_MISSING if fault == "missing" else Kind.VERSION_BYTES_ALTERED
            key = f"{self._repository.remote.url}/files/md5/{oid[:2]}/{oid[2:]}"
            yield _Found(Defect(kind, key, detail=fault), partial(copies.into_remote, oid))

    def _is_configured_again(self, wanted: set[str]) -> bool:
        """Write DVC's configuration anew, which may be all that was wrong, and ask again."""
        self._repository.dvc.configure(self._repository.remote)
        self._repository.dvc.missing(wanted)
        return True

    def _work_tree(self, manifests: Iterable[Manifest]) -> Iterator[_Found]:
        """Find files of the work tree that no version has; the next cut would take them for copies that it made."""
        for name in self._repository.unreadable_files():
            defect = Defect(
                Kind.VERSION_DAMAGED, f"{self._top}/{name}", detail="it cannot be read; git has what it was"
            )
            yield _Found(defect, partial(self._repository.restore_file, name))
        known = {file.sha256 for manifest in manifests for file in manifest.files}
        for path, sha256 in self._repository.work_tree.hashes().items():
            there = self._repository.folder / path
            if there.is_file() and file_sha256(there) not in {sha256, *known}:
                detail = f"its bytes are those of no version; it was copied with the SHA-256 {sha256}"
                defect = Defect(Kind.VERSION_BYTES_ALTERED, f"{self._top}/{path}", detail=detail)
                yield _Found(defect, partial(_is_removed, there))


@dataclass(frozen=True)
class _Copies:
    """Where else the bytes of versions are: pinned objects, DVC's cache, its remote; listings follow from manifests."""

    repository: VersionsRepository
    store: TableStore
    texts: dict[str, bytes]
    objects: dict[str, tuple[str, str]]

    def into_cache(self, oid: str) -> bool:
        """Put bytes anew into DVC's cache."""
        with tempfile.TemporaryDirectory(dir=self.repository.folder / ".dvc" / "tmp") as scratch:
            copy = self._copy(oid, Path(scratch), with_cache=False)
            if copy is not None:
                self.repository.dvc.keep(oid, copy)
            return copy is not None

    def into_remote(self, oid: str) -> bool:
        """Put bytes anew into DVC's remote, and read them back."""
        with tempfile.TemporaryDirectory(dir=self.repository.folder / ".dvc" / "tmp") as scratch:
            copy = self._copy(oid, Path(scratch), with_cache=True)
            if copy is None:
                return False
            self.repository.dvc.discard([oid])
            self.repository.dvc.give(oid, copy)
            return not self.repository.dvc.corrupt([oid], sync=True)

    def _copy(self, oid: str, scratch: Path, *, with_cache: bool) -> Path | None:
        """Return a file with the bytes of an object of DVC; none where nobody has them."""
        copy = scratch / "copy"
        if oid in self.texts:
            copy.write_bytes(self.texts[oid])
            return copy if _has_md5(copy, oid) else None
        cached = self.repository.dvc.cached(oid) if with_cache else None
        if cached is not None and _has_md5(cached, oid):
            return cached
        dataset, sha256 = self.objects[oid]
        key = Layout.object_key(dataset, sha256)
        if dataset != "folds" and self.store.objects.exists(key):
            with self.store.objects.fetched(key) as path:
                copy.write_bytes(path.read_bytes())
            if _has_md5(copy, oid):
                return copy
        is_taken = self.repository.dvc.take(oid, copy)
        return copy if is_taken and _has_md5(copy, oid) else None


def restore_pinned_objects(repository: VersionsRepository, store: TableStore) -> Iterator[Defect]:
    """Put objects that versions pin and the store has lost or altered back, from DVC's cache or remote.

    Yields:
        A defect, repaired, for each object that was put back.
    """
    if not repository.exists:
        return
    done: set[str] = set()
    for manifest in _readable(repository):
        for dataset in manifest.datasets:
            for partition in dataset.partitions:
                for file in partition.files:
                    key = Layout.object_key(dataset.name, file.sha256)
                    if key in done:
                        continue
                    done.add(key)
                    kind = _what_became_of(store, key, file.sha256)
                    if kind is not None and _is_put_back(repository, store, key, file.md5, file.sha256):
                        yield Defect(kind, key, dataset.name, partition.day, f"from {manifest.tag}", is_repaired=True)


def _readable(repository: VersionsRepository) -> Iterator[Manifest]:
    try:
        tags = repository.tags()
    except PlatformError:
        return
    for tag in tags:
        try:
            yield repository.version(tag)
        except PlatformError:
            continue


def _what_became_of(store: TableStore, key: str, sha256: str) -> Kind | None:
    if not store.objects.exists(key):
        return Kind.OBJECT_MISSING
    with store.objects.fetched(key) as path:
        return None if file_sha256(path) == sha256 else Kind.OBJECT_ALTERED


def _is_put_back(repository: VersionsRepository, store: TableStore, key: str, md5: str, sha256: str) -> bool:
    with store.objects.scratch() as scratch:
        copy = scratch / "copy"
        cached = repository.dvc.cached(md5)
        if cached is not None and file_sha256(cached) == sha256:
            copy.write_bytes(cached.read_bytes())
        elif not _is_done(lambda: repository.dvc.take(md5, copy)) or file_sha256(copy) != sha256:
            return False
        if store.objects.exists(key):
            set_aside(store.objects, key)
        store.objects.put_object(key, copy, sha256=sha256, size_bytes=copy.stat().st_size)
    return True


def _has_md5(path: Path, oid: str) -> bool:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest() == oid.removesuffix(".dir")


def _is_removed(path: Path) -> bool:
    # The next cut copies it anew, and `dvc checkout` brings it back.
    path.unlink()
    return True


def _is_done(repair: Callable[[], bool]) -> bool:
    try:
        return repair()
    except PlatformError:
        return False
