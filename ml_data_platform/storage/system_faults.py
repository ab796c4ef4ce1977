"""Faults of the machine: what the system's error numbers mean for a root, and what to do.

Belongs here: the words for a full disk, a forbidden file, a failing disk. Does not belong here: catching them.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ml_data_platform.errors import PlatformError, SystemFaultError

_AGAIN = "Then run it again: what is published stays, nothing is half-published, and what is done is not done twice."
_MAKE_ROOM = "Make room there (`ml-data-platform gc` removes old generations), or move the root to a larger disk."
_ALLOW = (
    "Let this user read and write the root, or run it as the user that owns it; `plan`, `status`, `verify` and other "
    "commands that only read need no right to write."
)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_WRITING = _FULL | {errno.EFBIG, errno.EROFS}
_MEANINGS: Mapping[int, tuple[str, str]] = {
    errno.ENOSPC: ("The disk is full, its bytes or its inodes: a file could not be written.", f"{_MAKE_ROOM} {_AGAIN}"),
    errno.EDQUOT: ("The disk quota of this user is used up: a file could not be written.", f"{_MAKE_ROOM} {_AGAIN}"),
    errno.EFBIG: (
        "A file would become larger than the file system, or a limit of this process, allows.",
        f"Raise the limit (`ulimit -f`), or move the root to another file system. {_AGAIN}",
    ),
    errno.EROFS: (
        "The file system can only be read: a file could not be written.",
        f"Mount it writable. Commands that only read (`plan`, `status`, `verify`) work as it is. {_AGAIN}",
    ),
    errno.EACCES: ("Permission denied: this user may not use a file.", _ALLOW),
    errno.EPERM: ("Operation not permitted: this user may not use a file.", _ALLOW),
    errno.EMFILE: ("Too many files are open in this process.", f"Raise the limit (`ulimit -n`). {_AGAIN}"),
    errno.ENFILE: ("Too many files are open on this machine.", f"End what keeps them open. {_AGAIN}"),
    errno.ENOMEM: ("The machine has no memory left.", f"End what takes it, or lower `memory_limit`. {_AGAIN}"),
    errno.EIO: (
        "The disk failed: an input/output error.",
        f"Look at the disk (`dmesg`), then run `ml-data-platform verify`: it names what is damaged. {_AGAIN}",
    ),
}
_SAYS_FULL = re.compile(r"No space left on device|Disk quota exceeded|(?:database or )?disk is full", re.IGNORECASE)
_QUOTED_PATH = re.compile(r"[\"'](/[^\"']+)[\"']")


def explained(error: OSError) -> OSError:
    """Return an error of the system as one message with a remedy; one without a known meaning as it is."""
    number = error.errno
    if isinstance(error, PlatformError) or number is None or number not in _MEANINGS:
        return error
    what, remedy = _MEANINGS[number]
    file = _file_of(error)
    room = room_at(Path(file)) if file and number in _FULL else None
    return SystemFaultError(
        what, remedy=remedy, errno=number, file=file, free=room, system=_said(error, is_named=file is not None)
    )


def note_on_full_disk(text: str) -> str:
    """Return what to do where a message of git, DVC or another tool says that the disk is full; else nothing."""
    return f" {_MAKE_ROOM} {_AGAIN}" if says_full(text) and "Make room" not in text else ""


def says_full(text: str) -> bool:
    """Tell whether a message says that the disk is full."""
    return _SAYS_FULL.search(text) is not None


def room_at(path: Path) -> str | None:
    """Return how much is free on the disk of a path, which need not exist; None where it cannot be told."""
    with suppress(OSError, StopIteration):
        found = os.statvfs(next(each for each in (path, *path.parents) if each.exists()))
        unit = found.f_frsize
        room = f"{found.f_bavail * unit / 1e6:,.1f} MB of {found.f_blocks * unit / 1e6:,.1f} MB"
        return f"{room}, {found.f_favail:,} of {found.f_files:,} inodes" if found.f_files else room
    return None


@contextmanager
def naming(place: Path) -> Iterator[None]:
    """Let an error of writing within the block name ``place`` where it names no file: it is on that disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in _WRITING and not isinstance(error, PlatformError):
            error.filename = str(place)
        raise


def _file_of(error: OSError) -> str | None:
    if error.filename is not None:
        return os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
    found = _QUOTED_PATH.search(str(error))
    return found[1] if found else None


def _said(error: OSError, *, is_named: bool) -> str | None:
    """Return the system's own words where they say more than its number does."""
    text = error.strerror or str(error)
    return None if is_named and text == os.strerror(error.errno or 0) else text
