"""Mending what the log allows: objects from the files that show them, the view from the objects.

Belongs here: what can be mended without computing anything. Does not belong here: finding it (``scrub``), building.

Nothing is ever deleted that cannot be had again: bytes that are not what their name says are set aside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ml_data_platform.errors import PlatformError
from ml_data_platform.storage import recovery
from ml_data_platform.storage.commit_log import CommitLog
from ml_data_platform.storage.defects import Defect, Kind
from ml_data_platform.storage.durability import file_sha256
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.object_store import ObjectStore

_OBJECTS = frozenset({Kind.OBJECT_MISSING, Kind.OBJECT_ALTERED})
_VIEWS = frozenset({Kind.VIEW_MISSING, Kind.VIEW_STALE, Kind.VIEW_ALTERED})


def mend(objects: ObjectStore, log: CommitLog, defects: Iterable[Defect]) -> list[Defect]:
    """Mend defects of tables and set altered bytes aside; returns all of them, those that were mended marked."""
    found = list(defects)
    mended: dict[int, bool] = {}
    # Objects first: views are shown from them.
    for number, defect in enumerate(found):
        if defect.kind in _OBJECTS:
            mended[number] = _mend_object(objects, log, defect)
        elif defect.kind is Kind.KEPT_BYTES_ALTERED:
            set_aside(objects, defect.key)
    for number, defect in enumerate(found):
        if defect.kind in _VIEWS and defect.day:
            mended[number] = _mend_view(objects, log, defect)
    return [replace(defect, is_repaired=mended.get(number, False)) for number, defect in enumerate(found)]


def set_aside(objects: ObjectStore, key: str) -> None:
    """Move bytes that are not what their key says to `Layout.damaged_key`, so that the right ones can be stored."""
    with objects.fetched(key) as path:
        objects.put_if_absent(Layout.damaged_key(key), path)
    objects.delete(key)


def _mend_object(objects: ObjectStore, log: CommitLog, defect: Defect) -> bool:
    sha256 = defect.key.rpartition("/")[2].partition(".")[0]
    if defect.kind is Kind.OBJECT_ALTERED and objects.exists(defect.key):
        set_aside(objects, defect.key)
    for view in _shown_as(log, defect.asset, sha256):
        try:
            with objects.fetched(view) as path, objects.scratch() as folder:
                copy = folder / "mended"
                copy.write_bytes(path.read_bytes())
                if file_sha256(copy) != sha256:
                    continue
                size = copy.stat().st_size
                objects.put_object(defect.key, copy, sha256=sha256, size_bytes=size)
        except FileNotFoundError:
            continue
        return True
    # Only history had it, and history may be collected.
    return defect.kind is Kind.OBJECT_ALTERED and not defect.day and bool(log.days(defect.asset))


def _shown_as(log: CommitLog, asset: str, sha256: str) -> list[str]:
    """Return the files of the view that should have these bytes."""
    try:
        heads = log.heads(asset)
    except PlatformError:
        return []
    return [
        Layout.view_key(asset, day, file.name)
        for day, head in heads.items()
        for file in head.files
        if file.sha256 == sha256
    ]


def _mend_view(objects: ObjectStore, log: CommitLog, defect: Defect) -> bool:
    try:
        if defect.kind is Kind.VIEW_ALTERED:
            # What a bucket keeps beside an altered file may still say that all is well.
            objects.delete(defect.key)
        recovery.project_head(objects, log, defect.asset, defect.day)
    except PlatformError:
        return False
    return True
