"""Passing copies of files that were fetched, until they are landed.

Belongs here: where such a copy lies, and that none outlives its use. Does not belong here: fetching (``remote_files``).

What may not be written to any disk lies in memory that has no name in any folder: it is gone with the process, however
that ends.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ml_data_platform.errors import SettingsError

MAX_HELD_BYTES = 1024 * 1024 * 1024
"""What one copy in memory may take."""


@dataclass(frozen=True)
class PassingCopy:
    """A place for a file's bytes; opening its path for writing empties it.

    Attributes:
        path: Opens the copy, within this process and its children.
        handle: Of a copy in memory, which lives as long as this is open; None: the path is a file.
    """

    path: Path
    handle: int | None = None

    def discard(self) -> None:
        """Remove the copy; the path leads nowhere afterwards."""
        if self.handle is None:
            self.path.unlink(missing_ok=True)
        else:
            os.close(self.handle)


class CopyRoom:
    """Makes passing copies, from several threads.

    Args:
        folder: Private folder for those that may lie on disk.
        in_memory: None may.
    """

    def __init__(self, folder: Path, *, in_memory: bool) -> None:
        self.max_bytes = MAX_HELD_BYTES if in_memory else None
        self._folder, self._in_memory = folder, in_memory
        self._lock = threading.Lock()
        self._made = 0
        self._open: set[PassingCopy] = set()

    def make(self) -> PassingCopy:
        """Return a new, empty copy."""
        with self._lock:
            self._made += 1
            if self._in_memory:
                handle = os.memfd_create("fetched", os.MFD_CLOEXEC)
                copy = PassingCopy(Path(f"/proc/{os.getpid()}/fd/{handle}"), handle)
            else:
                copy = PassingCopy(self._folder / f"{self._made:08d}")
            self._open.add(copy)
            return copy

    def discard(self, copy: PassingCopy) -> None:
        """Remove a copy; one that is removed already stays so."""
        with self._lock:
            if copy in self._open:
                self._open.remove(copy)
                copy.discard()

    def discard_all(self) -> None:
        """Remove what is left."""
        for copy in tuple(self._open):
            self.discard(copy)


@contextmanager
def copy_room(folder: Path, *, in_memory: bool) -> Iterator[CopyRoom]:
    """Yield a place for passing copies; at the end none is left.

    Raises:
        SettingsError: They are to lie in memory, and this system has none that can be read like a file.
    """
    if in_memory and not hasattr(os, "memfd_create"):
        raise SettingsError(
            "A source with a `pii` section is pulled through memory that reads like a file, which this system lacks.",
            remedy="Pull on Linux, or have the files dropped into the landing folder.",
        )
    room = CopyRoom(folder, in_memory=in_memory)
    try:
        yield room
    finally:
        room.discard_all()
