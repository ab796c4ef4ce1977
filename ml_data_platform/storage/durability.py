"""Flushing to disk, and hashing what is there.

Belongs here: the system calls after which bytes or names survive a power cut. Does not belong here: where
things go.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

SETTLED_AFTER_SECONDS = 120.0
"""Age after which a change of a folder has been written back unasked: Linux does so within 5 (ext4) to 30 seconds."""
# Changes in a row may bear the same time: only one of some age is known to be the last.
_SHARED_TIME_SECONDS = 1.0


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync_file(path: Path) -> None:
    """Flush a file's bytes to disk, or remove it: its pages may be lost although a retry reports success."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that the names in it survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> list[Path]:
    """Create a folder and its parents, each flushed to disk; nothing happens where it exists.

    Returns:
        The folders that were missing.
    """
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        sync_folder(new.parent)
    return missing


class Settled:
    """Folders whose names need not be flushed again, as one process knows them.

    Args:
        now: Returns seconds since 1970.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._flushed: dict[Path, int] = {}

    def settle(self, folder: Path, flush: Callable[[Path], None]) -> None:
        """Flush a folder unless it has not changed since, or for long; nothing happens where there is none."""
        try:
            changed = folder.stat().st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            return
        age = self._now() - changed / 1e9
        if age > SETTLED_AFTER_SECONDS or self._flushed.get(folder) == changed:
            return
        flush(folder)
        # A time in the future is of another clock, and tells changes apart as well.
        if abs(age) > _SHARED_TIME_SECONDS:
            self._flushed[folder] = changed
