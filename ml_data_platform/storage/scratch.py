"""Private folders and locks that do not outlive their owner.

Belongs here: what tells a living owner's files from a dead one's: an advisory lock, which the operating
system releases also on SIGKILL. Does not belong here: what is written into the folders.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ml_data_platform.errors import SystemFaultError
from ml_data_platform.storage.durability import make_folder
from ml_data_platform.storage.system_faults import naming


@contextmanager
def file_lock(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock at ``path``, with others when ``shared``; waits for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def private_folder(top: Path) -> Iterator[Path]:
    """Yield a new folder below ``top`` that is removed at the end of the block.

    Its lock, ``<folder>.lock`` beside it, exists and is held whenever the folder exists and its owner lives. An error of
    the system within the block that names no file names the folder then: on its disk is what was written.
    """
    make_folder(top)
    folder, handle = _claim(top)
    try:
        folder.mkdir()
        with naming(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _lock_path(folder).unlink(missing_ok=True)
        os.close(handle)


def place_to_write(top: Path) -> Path:
    """Return ``top``; for one who may only read there, a folder below the temporary one of the machine.

    Raises:
        SystemFaultError: That folder is another user's, who could exchange what is written there.
    """
    if os.access(next(each for each in (top, *top.parents) if each.exists()), os.W_OK):
        return top
    folder = Path(tempfile.gettempdir()) / f"ml-data-platform-{os.geteuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise SystemFaultError(
            "The temporary folder of this user is no folder, or others may write to it.",
            remedy="Remove it, or set TMPDIR to a folder of your own.",
            errno=errno.EPERM,
            file=str(folder),
        )
    return folder


def reap_dead(top: Path) -> int:
    """Remove the folders below ``top`` whose owner is dead; safe while others work.

    Returns:
        The number of folders removed.
    """
    if not top.is_dir():
        return 0
    names = {path.name.removesuffix(".lock") for path in top.iterdir()}
    return sum(_reap(top / name) for name in sorted(names))


def _lock_path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _claim(top: Path) -> tuple[Path, int]:
    """Return a new folder's path and the handle of its lock, which is held before the folder exists."""
    while True:
        folder = top / uuid.uuid4().hex
        handle = os.open(_lock_path(folder), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return folder, handle
        # A reaper took the lock between its creation and ours.
        os.close(handle)


def _reap(folder: Path) -> bool:
    lock = _lock_path(folder)
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        # An owner's folder goes before its lock: one without a lock is nobody's.
        handle = -1
    try:
        if handle >= 0:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        existed = folder.is_dir() or lock.exists()
        shutil.rmtree(folder, ignore_errors=True)
        lock.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        if handle >= 0:
            os.close(handle)
    return existed
