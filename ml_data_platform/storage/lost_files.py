"""Marks of published files that are lost: the planner has their partitions built again.

Belongs here: setting, reading and removing such marks. Does not belong here: finding what is lost (``scrub``), restoring it
(``mending``), and what is to be built (``events.planning``).

A mark is an empty file whose name says all. It only says where to look: a partition is built again as long as its newest
generation names the file and the file is not there, so that a mark that was left behind does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_data_platform.errors import PlatformError
from ml_data_platform.storage.commit_log import LogRecord
from ml_data_platform.storage.layout import LOST_FOLDER, Layout
from ml_data_platform.storage.object_store import ObjectStore

_MARK = b"lost\n"


def mark_lost(objects: ObjectStore, asset: str, day: str, sha256: str) -> None:
    """Mark a file of a partition as lost; repeating it changes nothing."""
    objects.put_if_absent(Layout.lost_key(asset, day, sha256), _MARK)


def lost_files(objects: ObjectStore) -> dict[tuple[str, str], frozenset[str]]:
    """Return by asset and day the hashes of marked files that are not there; one listing where nothing is marked."""
    marks = [mark for key in objects.list(LOST_FOLDER) if (mark := _mark(key)) is not None]
    is_there = objects.each(lambda mark: objects.exists(Layout.object_key(mark[0], mark[2])), marks)
    found: dict[tuple[str, str], frozenset[str]] = {}
    for (asset, day, sha256), there in zip(marks, is_there, strict=True):
        if not there:
            found[asset, day] = found.get((asset, day), frozenset()) | {sha256}
    return found


def names_of_lost(head: LogRecord, lost: Iterable[str]) -> tuple[str, ...]:
    """Return the names of those files of a generation that are among the lost ones."""
    hashes = frozenset(lost)
    return tuple(file.name for file in head.files if file.sha256 in hashes)


def forget_found(objects: ObjectStore, asset: str, day: str) -> None:
    """Remove the marks of a partition whose files are there again."""
    folder = f"{LOST_FOLDER}/{asset}/{day}"
    for sha256 in objects.names(folder):
        if objects.exists(Layout.object_key(asset, sha256)):
            objects.delete(f"{folder}/{sha256}")


def _mark(key: str) -> tuple[str, str, str] | None:
    parts = key.removeprefix(f"{LOST_FOLDER}/").split("/")
    try:
        return (parts[0], parts[1], parts[2]) if len(parts) == 3 and Layout.lost_key(*parts) == key else None
    except PlatformError:
        return None
