"""The landing folder: which files in it may be landed now.

Belongs here: names that are not final, files that are still being written, a stable order. Does not
belong here: landing them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

UNFINISHED_SUFFIXES = (".tmp", ".part", ".crdownload")
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class ReadyFile:
    """One file that may be landed.

    Attributes:
        path: Where it lies.
        size: Bytes.
        mtime_ns: Time of its last change, nanoseconds since 1970-01-01T00:00:00Z.
    """

    path: Path
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Inbox:
    """What lies in the landing folder of one source.

    Attributes:
        ready: Files that may be landed now, ordered by the bytes of their path.
        unsettled: Files that changed too short a time ago, in the same order.
        unfinished: Files whose name says that they are still being written.
    """

    ready: tuple[ReadyFile, ...]
    unsettled: tuple[ReadyFile, ...]
    unfinished: tuple[Path, ...]


def ready_files(
    landing_folder: Path,
    source: str,
    *,
    now: datetime,
    settle_seconds: float,
    known: Collection[ReadyFile] = (),
) -> list[ReadyFile]:
    """Return the files below ``<landing_folder>/<source>`` that are complete, as far as can be told from outside.

    See `look_into`, which says what complete means.

    Args:
        landing_folder: Folder with one subfolder per source; it need not exist.
        source: Source name.
        now: The present, with a time zone.
        settle_seconds: How long a file must have stood still.
        known: Files that were landed; they are left out while size and time are the same.

    Returns:
        Files ordered by the bytes of their path.
    """
    inbox = look_into(landing_folder, source, now=now, settle_seconds=settle_seconds)
    landed = frozenset(known)
    return [file for file in inbox.ready if file not in landed]


def look_into(landing_folder: Path, source: str, *, now: datetime, settle_seconds: float) -> Inbox:
    """Sort the files below ``<landing_folder>/<source>`` by whether they may be landed now.

    Names that begin with a dot or end in .tmp, .part or .crdownload are not final. A file is complete once its
    last change is ``settle_seconds`` ago, so one that was renamed in with an old time is at once; whether its
    content is whole is for landing to find out. Links, folders that may not be read and other things that are no files
    are returned too: landing says what is wrong with them.

    Args:
        landing_folder: Folder with one subfolder per source; it need not exist.
        source: Source name.
        now: The present, with a time zone.
        settle_seconds: How long a file must have stood still.
    """
    now_ns = int(now.timestamp() * _NANOSECONDS)
    ready: list[ReadyFile] = []
    unsettled: list[ReadyFile] = []
    unfinished: list[Path] = []
    for path, status in sorted(_entries(landing_folder / source), key=lambda entry: os.fsencode(entry[0])):
        if path.name.lower().endswith(UNFINISHED_SUFFIXES):
            unfinished.append(path)
            continue
        # A clock of another machine can date a file into the future; the time of its arrival is then ours.
        changed_ns = status.st_mtime_ns if status.st_mtime_ns <= now_ns else status.st_ctime_ns
        is_settled = now_ns - changed_ns >= settle_seconds * _NANOSECONDS
        (ready if is_settled else unsettled).append(ReadyFile(path, status.st_size, status.st_mtime_ns))
    return Inbox(tuple(ready), tuple(unsettled), tuple(unfinished))


def fingerprint(files: Iterable[ReadyFile]) -> str:
    """Return a hash, hex, that is the same for the same files in any order, and another when one of them changes."""
    facts = sorted([os.fsencode(file.path).hex(), file.size, file.mtime_ns] for file in files)
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _entries(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    try:
        with os.scandir(folder) as scan:
            entries = [entry for entry in scan if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            try:
                inner = list(_entries(Path(entry.path)))
            except PermissionError:
                # Landing says of it what is wrong; what lies beside it is not held up.
                inner = [(Path(entry.path), entry.stat(follow_symlinks=False))]
            yield from inner
        else:
            try:
                yield Path(entry.path), entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # taken away since the folder was read
