"""A folder of files that were read from a bucket, so that engines read local files and nothing is fetched twice.

Belongs here: adding, finding and dropping files that are named by their content. Does not belong here: fetching.

The folder is shared by all processes of a machine and may be removed at any time. A file is verified when it is added
and when a process first uses it. One that was asked for less than an hour ago is not dropped: its reader may not have
opened it yet.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ml_data_platform.errors import VerificationError
from ml_data_platform.storage.durability import file_sha256
from ml_data_platform.storage.layout import check_sha256

IN_USE_SECONDS = 3600.0
_TOUCH_AFTER_SECONDS = 60.0


class ObjectCache:
    """Local copies of immutable objects.

    Args:
        folder: Where they lie; it need not exist.
        max_bytes: What they may take; files in use may exceed it.
        now: Returns seconds since 1970.
    """

    def __init__(self, folder: Path, max_bytes: int, now: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._now = now
        self._verified: dict[Path, tuple[int, int]] = {}
        self._added_bytes = max_bytes

    def find(self, name: str) -> Path | None:
        """Return the copy of an object, with the bytes that its name says; None where there is none.

        Args:
            name: Last part of the object's key: the SHA-256 of its bytes, and any suffix.
        """
        path = self._path(name)
        try:
            state = path.stat()
            if self._verified.get(path) != (state.st_ino, state.st_size):
                if file_sha256(path) != path.name.partition(".")[0]:
                    path.unlink(missing_ok=True)
                    return None
                self._verified[path] = (state.st_ino, state.st_size)
            if self._now() - state.st_mtime > _TOUCH_AFTER_SECONDS:
                os.utime(path)
        except FileNotFoundError:
            return None
        return path

    def add(self, name: str, source: Path) -> Path:
        """Take a file in as the copy of an object; returns where it lies.

        Args:
            name: Last part of the object's key.
            source: The file, on the same file system and never written to again. The caller knows its hash.
        """
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        source.chmod(0o444)
        with suppress(FileExistsError):
            os.link(source, path)
        os.utime(path)
        state = path.stat()
        self._verified[path] = (state.st_ino, state.st_size)
        self._added_bytes += state.st_size
        # Looking at every file costs time: not before a tenth of the room was added since the last look.
        if self._added_bytes > self.max_bytes / 10:
            self._added_bytes = 0
            self.drop_oldest()
        return path

    def drop_oldest(self) -> int:
        """Drop the copies that were not asked for the longest, until the rest fits; returns how many were dropped."""
        found = []
        for folder, _, names in os.walk(self.folder):
            for name in names:
                with suppress(FileNotFoundError):
                    path = Path(folder, name)
                    state = path.stat()
                    found.append((state.st_mtime, state.st_size, path))
        excess = sum(size for _, size, _ in found) - self.max_bytes
        dropped = 0
        for modified, size, path in sorted(found):
            if excess <= 0 or self._now() - modified < IN_USE_SECONDS:
                break
            path.unlink(missing_ok=True)
            excess -= size
            dropped += 1
        return dropped

    def _path(self, name: str) -> Path:
        sha256 = check_sha256(name.partition(".")[0])
        return self.folder / sha256[:2] / name


def check_fetched(key: str, sha256: str) -> None:
    """Check the hash of fetched bytes against the name of their object.

    Raises:
        VerificationError: They are other bytes.
    """
    expected = key.rpartition("/")[2].partition(".")[0]
    if sha256 != expected:
        raise VerificationError(
            "A stored object does not have the bytes that its name says.",
            remedy="Run `ml-data-platform verify`: it says what can be rebuilt.",
            key=key,
            expected=expected,
            got=sha256,
        )
