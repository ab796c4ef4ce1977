"""A folder of files that were read from a bucket, so that engines read local files and nothing is fetched twice.

Belongs here: adding, finding and dropping files that are named by their content. Does not belong here: fetching.

The folder is shared by all processes of a machine and may be removed at any time. A file is compared with its name
whenever it is used, once per state. One that was asked for less than an hour ago is not dropped: its reader may not have
opened it yet. That it was is noted on an empty file beside it, since touching the file itself would be another state.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ml_data_platform.storage import compared_files
from ml_data_platform.storage.compared_files import ComparedFiles
from ml_data_platform.storage.layout import check_sha256

IN_USE_SECONDS = 3600.0
_TOUCH_AFTER_SECONDS = 60.0
_USED = ".used"


class ObjectCache:
    """Local copies of immutable objects.

    Args:
        folder: Where they lie; it need not exist.
        max_bytes: What they may take; files in use may exceed it.
        compared: What is remembered of files that were compared.
        now: Returns seconds since 1970.
    """

    def __init__(
        self, folder: Path, max_bytes: int, compared: ComparedFiles, now: Callable[[], float] = time.time
    ) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.compared = compared
        self._now = now
        self._added_bytes = max_bytes

    def find(self, name: str) -> Path | None:
        """Return the copy of an object, with the bytes that its name says; None where there is none.

        Args:
            name: Last part of the object's key: the SHA-256 of its bytes, and any suffix.
        """
        path = self._path(name)
        try:
            if not compared_files.names_its_bytes(name, self.compared.sha256(path)):
                path.unlink(missing_ok=True)
                return None
            self._note_use(path)
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
        self._note_use(path)
        self._added_bytes += path.stat().st_size
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
                    if path.suffix != _USED:
                        found.append((self._used_at(path), path.stat().st_size, path))
        excess = sum(size for _, size, _ in found) - self.max_bytes
        dropped = 0
        for modified, size, path in sorted(found):
            if excess <= 0 or self._now() - modified < IN_USE_SECONDS:
                break
            path.unlink(missing_ok=True)
            _beside(path).unlink(missing_ok=True)
            excess -= size
            dropped += 1
        return dropped

    def _note_use(self, path: Path) -> None:
        # An empty file, as touch(1) makes it.
        if self._now() - self._used_at(path) > _TOUCH_AFTER_SECONDS:
            _beside(path).touch()

    def _used_at(self, path: Path) -> float:
        """Return when a copy was added or last asked for, whichever is later, in seconds since 1970."""
        try:
            noted = _beside(path).stat().st_mtime
        except FileNotFoundError:
            noted = 0.0
        return max(noted, path.stat().st_mtime)

    def _path(self, name: str) -> Path:
        sha256 = check_sha256(name.partition(".")[0])
        return self.folder / sha256[:2] / name


def _beside(path: Path) -> Path:
    return path.with_name(path.name + _USED)
