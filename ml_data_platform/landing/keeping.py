"""A landed file's bytes, copied as they are before anything is made of them.

Belongs here: opening what a producer dropped without being led elsewhere, hashing, copying. Does not
belong here: reading the content.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml_data_platform.errors import LandingError
from ml_data_platform.events.path_columns import PathValues, content_hash_with
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.ledger_record import LedgerRecord
from ml_data_platform.storage.object_store import ObjectStore

COPY_BYTES = 1024 * 1024
# O_NONBLOCK: opening a FIFO that nobody writes to must not wait for ever.
_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True)
class Kept:
    """The kept bytes of one landed file.

    Attributes:
        sha256: Names the landed content, hex: the hash of its bytes, or where they are masked, a keyed one.
        size_bytes: Number of the kept bytes.
        is_new: No file with these bytes was kept before.
        kept_sha256: Hash of the kept bytes, which lie under ``raw/<kept_sha256>``.
        masking: What they were masked by, as the ledger records it; None where they are as they were landed.
        path_values: Values of columns that stand only in the path, which ``sha256`` is a hash of too.
    """

    sha256: str
    size_bytes: int
    is_new: bool
    kept_sha256: str
    masking: Mapping[str, Any] | None = None
    path_values: PathValues = field(default_factory=dict)

    @classmethod
    def of(cls, record: LedgerRecord) -> Kept:
        """Return the kept bytes of a record."""
        return cls(record.sha256, record.size_bytes, False, record.bytes_sha256, record.masking, record.path_values)


def keep_bytes(
    path: Path, objects: ObjectStore, *, below: Path | None = None, path_values: PathValues | None = None
) -> Kept:
    """Copy a file's bytes to ``raw/<sha256>``; bytes that are there already are not written again.

    Args:
        path: What a producer dropped; not necessarily a file.
        objects: Where the bytes are kept.
        below: Folder that the path lies in: none of the folders from there on may be a link.
        path_values: Values of columns that stand only in the path.

    Raises:
        LandingError: It is no regular file, cannot be opened or read, or changed while it was read; nothing
            was kept.
        OSError: The copy could not be written.
    """
    with objects.scratch() as folder:
        copy = folder / "landed"
        with open_unchanging(path, below=below) as handle, copy.open("xb") as target:
            digest, size = hashlib.sha256(), 0
            for data in read_through(handle, path):
                digest.update(data)
                target.write(data)
                size += len(data)
            if size != os.fstat(handle).st_size:
                raise _changed(path)
        sha256 = digest.hexdigest()
        is_new = objects.put_object(Layout.raw_key(sha256), copy, sha256=sha256, size_bytes=size)
    values = path_values or {}
    # Kept before, bytes may still be new under this path.
    return Kept(content_hash_with(sha256, values), size, is_new, sha256, path_values=values)


@contextmanager
def open_unchanging(path: Path, *, is_own: bool = False, below: Path | None = None) -> Iterator[int]:
    """Open what a producer dropped, and check at the end of the block that it is still the same.

    Args:
        path: What a producer dropped; not necessarily a file.
        is_own: The path was made here, so that where it leads is known.
        below: Folder that the path lies in: none of the folders from there on may be a link.

    Yields:
        A handle at the file's beginning.

    Raises:
        LandingError: It is no regular file, cannot be opened, or changed within the block.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if is_own else _open_regular(path, below)
    try:
        before = os.fstat(handle)
        yield handle
        after = os.fstat(handle)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise _changed(path)
    finally:
        os.close(handle)


def read_through(handle: int, path: Path) -> Iterator[bytes]:
    """Yield the bytes of an opened file from where its handle stands.

    Raises:
        LandingError: They cannot be read.
    """
    while data := _read(handle, path):
        yield data


def _open_regular(path: Path, below: Path | None) -> int:
    remedy = "Drop a plain file that the platform may read."
    try:
        with _folder_of(path, below) as folder:
            name = path if folder is None else path.name
            # Opening some devices does something to them, so they are recognised before.
            mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            if not stat.S_ISREG(mode):
                raise _unreadable(f"it is {_kind(mode)}, not a regular file", path, remedy)
            handle = os.open(name, _OPEN_FLAGS, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP or (error.errno == errno.ENOTDIR and below is not None):
            why = "it is a symbolic link, or lies behind one, not a regular file"
            raise _unreadable(why, path, remedy) from error
        raise _unreadable(f"{error.strerror}", path, remedy) from error
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise _unreadable(f"it is {_kind(mode)}, not a regular file", path, remedy)
    return handle


@contextmanager
def _folder_of(path: Path, below: Path | None) -> Iterator[int | None]:
    """Open the folder of a path one step after the other, so that none is exchanged for a link on the way."""
    if below is None:
        yield None
        return
    handle = os.open(below, _FOLDER_FLAGS & ~os.O_NOFOLLOW)
    try:
        for part in path.relative_to(below).parts[:-1]:
            if part == "..":
                raise _unreadable("its path leads out of the landing folder", path, "Name files by plain paths.")
            inner = os.open(part, _FOLDER_FLAGS, dir_fd=handle)
            os.close(handle)
            handle = inner
        yield handle
    finally:
        os.close(handle)


def _read(handle: int, path: Path) -> bytes:
    try:
        return os.read(handle, COPY_BYTES)
    except OSError as error:
        raise _unreadable(f"{error.strerror}", path, "Check the disk or share it lies on.") from error


def _changed(path: Path) -> LandingError:
    return _unreadable("it changed while it was read", path, "Write files elsewhere and rename them in.")


def _unreadable(why: str, path: Path, remedy: str) -> LandingError:
    return LandingError(f"The file cannot be landed: {why}.", remedy=remedy, file=str(path))


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFDIR: "a folder (one that may be read is looked into)",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")
