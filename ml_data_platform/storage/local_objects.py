"""Bytes under keys on a local file system, with put-if-absent, locks and private scratch folders.

Belongs here: every operation whose atomicity or durability depends on this medium. Does not belong here: what the
bytes mean.

Durability: a file's bytes are fsynced before its name exists, and its folder is fsynced after. A file
whose fsync failed is discarded, since a second fsync of it may report success for lost pages.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path, PurePosixPath

from ml_data_platform.errors import VerificationError
from ml_data_platform.storage.compared_files import ComparedFiles, is_taken, missing_object, require_own_bytes
from ml_data_platform.storage.durability import Settled, file_sha256, make_folder, sync_file, sync_folder
from ml_data_platform.storage.layout import COMPARED_FOLDER, LOCKS_FOLDER, TEMP_FOLDER, check_sha256
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
    check_lock_key,
)
from ml_data_platform.storage.scratch import file_lock, place_to_write, private_folder, reap_dead
from ml_data_platform.storage.view_files import ViewFiles, file_version, links_work_in


class LocalObjectStore(ObjectStore):
    """Objects under one folder of a local file system.

    Args:
        root: The folder; it is created when the first object is.
    """

    # A commit holds a lock that keeps collectors away.
    least_age_to_collect = timedelta(0)

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._lasting: set[Path] = set()
        self._settled = Settled()
        self._view_files = ViewFiles()
        self.compared = ComparedFiles(self.root / COMPARED_FOLDER)

    @property
    def local_folder(self) -> Path:
        """The root."""
        return self.root

    def uri(self, key: str) -> str:
        """Return the path of a key."""
        return str(self._path(key))

    def local_path(self, key: str) -> Path:
        """Return the path of an immutable object, its bytes compared with its name once per state of the file.

        Raises:
            StorageKeyError: The key is not a plain relative path, or no immutable object's.
            DamagedObjectError: There is no such object, or its bytes are not those that its name says.
        """
        path = self._path(key)
        check_sha256(path.name.partition(".")[0])
        try:
            require_own_bytes(key, self.compared.sha256(path), path)
        except FileNotFoundError as error:
            raise missing_object(key, path) from error
        return path

    @contextmanager
    def fetched(self, key: str) -> Iterator[Path]:
        """Give the file itself."""
        path = self._path(key)
        path.stat()
        yield path

    def put_if_absent(self, key: str, source: Path | bytes, *, mode: int = READ_ONLY) -> bool:
        """Store ``source`` under ``key`` unless something is there; all or nothing, also through a power cut.

        Args:
            key: Where to.
            source: The bytes, or a file of them. A file in a scratch folder becomes the object itself and
                must not be written to again; any other file is copied.
            mode: Permission bits of the object.

        Returns:
            True when this call stored it, False when something was there.

        Raises:
            OSError: Nothing was stored; or it was, and its folder could not be flushed.
            VerificationError: A folder lies under that name.
        """
        target = self._path(key)
        self._make_lasting(target.parent)
        with self._own_scratch() as folder:
            taken = is_taken(target)
            stored = not taken and self._publish(self._temp_file(folder, source, mode), target)
            # Also when another writer stored it: its entry must be durable before anything refers to it.
            sync_folder(target.parent)
        return stored

    def put_object(self, key: str, source: Path, *, sha256: str, size_bytes: int) -> bool:
        """Store a file under a key that its content names; an object that is there already is checked, and made young.

        Returns:
            True when this call stored it.

        Raises:
            DamagedObjectError: The object that is there has other bytes than its name says.
            VerificationError: The file is gone, or has another size.
        """
        require_own_bytes(key, sha256, source)
        if not self.exists(key):
            got = source.stat().st_size if source.exists() else "no file"
            if got != size_bytes:
                raise VerificationError("A staged file changed.", file=source, expected=size_bytes, got=got)
            if self.put_if_absent(key, source):
                return True
        else:
            sync_folder(self._path(key).parent)
        # Past what is remembered: bytes are promised to be there now.
        require_own_bytes(key, self.hash(key), self._path(key))
        self._make_young(key)
        return False

    def read_bytes(self, key: str) -> bytes:
        """Return the bytes under ``key``; raises FileNotFoundError where there are none."""
        return self._path(key).read_bytes()

    def exists(self, key: str) -> bool:
        """Tell whether something is stored under ``key``; a folder in its place is no object."""
        return self._path(key).is_file()

    def size(self, key: str) -> int:
        """Return the size of an object in bytes; raises FileNotFoundError where there is none."""
        return self._path(key).stat().st_size

    def hash(self, key: str) -> str:
        """Return the SHA-256 of an object in hex; raises FileNotFoundError where there is none."""
        return file_sha256(self._path(key))

    def stored(self, prefix: str) -> dict[str, Stored]:
        """Return the keys of all files below the folder ``prefix``, in order, with size and time of change."""
        found = {}
        for key, path in self._walk(prefix):
            with suppress(FileNotFoundError):
                state = os.lstat(path)
                modified = datetime.fromtimestamp(state.st_mtime, UTC)
                found[key] = Stored(state.st_size, modified, file_version(state))
        return found

    def list(self, prefix: str) -> Names:
        """Return the keys of all files below the folder ``prefix``, sorted; none where it does not exist."""
        return [key for key, _ in self._walk(prefix)]

    def names(self, folder: str) -> Names:
        """Return the names directly in a folder, unordered; none where it does not exist."""
        try:
            with os.scandir(self._path(folder)) as entries:
                return [entry.name for entry in entries]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def versions(self, folder: str) -> dict[str, Version]:
        """Return the names directly in a folder, each with a value that changes when the bytes under it do."""
        versions: dict[str, Version] = {}
        try:
            with os.scandir(self._path(folder)) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        versions[entry.name] = file_version(entry.stat(follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return versions

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens where there is none."""
        self._path(key).unlink(missing_ok=True)

    def flush(self, folder: str) -> None:
        """Let the names in a folder, and its own, outlast a power cut; nothing happens where there is none."""
        if self._path(folder).is_dir():
            self._flush(self._path(folder))

    def settle(self, folder: str) -> None:
        """Do the same unless this store did so since the folder changed, or it has not changed for long."""
        self._settled.settle(self._path(folder), self._settle_up)

    def settle_below(self, folder: str, *, but: Collection[str] = ()) -> None:
        """Settle a folder and all below it, except for some."""
        spared = {str(self._path(each)) for each in but}
        for top, _, _ in os.walk(self._path(folder), onerror=_raise_unless_gone):
            if top not in spared:
                self._settled.settle(Path(top), self._settle_up)

    def is_projected(self, object_key: str, view_key: str, shown: Stored | None = None) -> bool:  # noqa: ARG002
        """Tell, without reading bytes, whether the view's file is the object itself, or a copy that was compared."""
        return self._view_files.is_shown(self._path(object_key), self._path(view_key))

    def project(self, object_key: str, view_key: str, *, generation: int | None = None) -> bool:  # noqa: ARG002
        """Show an object under a name of the view; readers see the whole old file or the whole new one.

        The caller's lock keeps the view from going back, so that no generation is kept with it.

        Returns:
            True when the view changed.

        Raises:
            DamagedObjectError: The object is missing, or has other bytes than its name says.
        """
        source, target = self._path(object_key), self._path(view_key)
        if not source.is_file():
            raise missing_object(object_key, source)
        self._make_lasting(target.parent)
        if self.is_projected(object_key, view_key):
            # Who showed it may have died before it was flushed.
            sync_folder(target.parent)
            return False
        self.local_path(object_key)
        with self._own_scratch() as folder:
            temp = folder / "view"
            is_new = self._view_files.make(source, temp, target, links_work=self.links_work)
            if is_new:
                temp.replace(target)
                # rename(2) between two links of one inode does nothing and leaves the temp behind.
                temp.unlink(missing_ok=True)
        # Also where a copy is shown already: who showed it may have died before it was flushed.
        sync_folder(target.parent)
        return is_new

    def scratch(self) -> AbstractContextManager[Path]:
        """Give a private folder that is removed at the end, or by `reap_scratch` after its owner died."""
        return private_folder(place_to_write(self.root / TEMP_FOLDER))

    def _own_scratch(self) -> AbstractContextManager[Path]:
        return private_folder(self.root / TEMP_FOLDER)

    def reap_scratch(self) -> int:
        """Remove scratch folders whose owner is dead; safe while others work; returns how many."""
        return reap_dead(self._path(TEMP_FOLDER))

    def reap_uploads(self, older_than: timedelta, now: datetime) -> int:  # noqa: ARG002
        """Nothing is uploaded: what is unfinished lies in scratch."""
        return 0

    def lock(self, key: str, *, shared: bool = False) -> AbstractContextManager[None]:
        """Hold the lock ``key``; the operating system releases it when its owner dies."""
        return file_lock(self._path(check_lock_key(key)), shared=shared)

    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Many[Result]:
        """Do the same work for each item, one after the other: a disk gains nothing from threads."""
        return [work(item) for item in items]

    @cached_property
    def links_work(self) -> bool:
        """Whether the file system knows hard links, by trying."""
        with self._own_scratch() as folder:
            return links_work_in(folder)

    def _path(self, key: str) -> Path:
        """Return where a key lies, whatever is there."""
        return self.root / PurePosixPath(check_key(key))

    def _walk(self, prefix: str) -> Many[tuple[str, str]]:
        """Return the keys below a folder with their paths, sorted; what cannot be listed is not taken for absent."""
        check_key(prefix)
        walk = os.walk(self.root / prefix, onerror=_raise_unless_gone)
        paths = [os.path.join(top, name) for top, _, names in walk for name in names]  # noqa: PTH118
        return sorted((path[len(str(self.root)) + 1 :], path) for path in paths)

    def _make_lasting(self, folder: Path) -> None:
        """Create a folder; its name and those above it outlast a power cut, also where a process that died made them."""
        made, known, each = make_folder(folder), [], folder
        while each not in self._lasting:
            if each not in made:
                with suppress(PermissionError):
                    # of the folder that the root lies in, which need not be ours
                    sync_folder(each.parent)
            known.append(each)
            if each == self.root:
                break
            each = each.parent
        self._lasting.update(known)

    def _flush(self, folder: Path) -> None:
        self._make_lasting(folder)
        sync_folder(folder)

    def _settle_up(self, folder: Path) -> None:
        """Flush a folder, and those above it that have changed lately: it is no older than its name in them."""
        sync_folder(folder)
        while folder != self.root.parent:
            folder = folder.parent
            with suppress(PermissionError):
                # of the folder that the root lies in, which need not be ours
                self._settled.settle(folder, sync_folder)

    def _make_young(self, key: str) -> None:
        path = self._path(key)
        if (datetime.now(UTC) - datetime.fromtimestamp(path.stat().st_mtime, UTC)) > GRACE / 2:
            os.utime(path)

    def _temp_file(self, folder: Path, source: Path | bytes, mode: int) -> Path:
        if isinstance(source, Path) and self._path(TEMP_FOLDER).resolve() in source.resolve().parents:
            temp = source
        else:
            temp = folder / "object"
            with os.fdopen(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                if isinstance(source, bytes):
                    stream.write(source)
                else:
                    with source.open("rb") as landed:
                        shutil.copyfileobj(landed, stream, 1 << 20)
        # Never wider than the root itself, whatever the process's mask is.
        temp.chmod(mode & (self.root.stat().st_mode | 0o700))
        sync_file(temp)
        return temp

    def _publish(self, temp: Path, target: Path) -> bool:
        if self.links_work:
            try:
                os.link(temp, target)
            except FileExistsError:
                return False
            return True
        # Without link(2) nothing creates a whole file under a name only if it is free, so one lock decides.
        name = hashlib.md5(str(target.relative_to(self.root)).encode(), usedforsecurity=False).hexdigest()
        with self.lock(f"{LOCKS_FOLDER}/put/{name[:2]}.lock"):
            if os.path.lexists(target):
                return False
            temp.rename(target)
        return True


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
