"""Repairing what the log allows: objects from copies of their bytes, the view from the objects.

Belongs here: what can be repaired without computing anything, and marking what must be built again. Does not belong here:
finding it (``scrub``), building.

Nothing is ever deleted that cannot be had again: bytes that are not what their name says are set aside.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ml_data_platform.errors import PlatformError, VerificationError
from ml_data_platform.storage import recovery
from ml_data_platform.storage.commit_log import CommitLog
from ml_data_platform.storage.compared_files import names_its_bytes
from ml_data_platform.storage.defects import Defect, Kind
from ml_data_platform.storage.durability import file_sha256
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.lost_files import mark_lost
from ml_data_platform.storage.object_store import ObjectStore

BUILT_AGAIN = "no copy is left; marked: `ml-data-platform backfill` builds it again"
_OBJECTS = frozenset({Kind.OBJECT_MISSING, Kind.OBJECT_ALTERED})
_VIEWS = frozenset({Kind.VIEW_MISSING, Kind.VIEW_STALE, Kind.VIEW_ALTERED})


def mend(objects: ObjectStore, log: CommitLog, defects: Iterable[Defect]) -> list[Defect]:
    """Repair defects of tables and set altered bytes aside; returns all of them, those that were repaired marked."""
    found = list(defects)
    # Objects first: views are shown from them.
    for number, defect in enumerate(found):
        if defect.kind in _OBJECTS:
            found[number] = _mend_object(objects, log, defect)
        elif defect.kind is Kind.KEPT_BYTES_ALTERED:
            set_aside(objects, defect.key)
    for number, defect in enumerate(found):
        if defect.kind in _VIEWS and defect.day:
            found[number] = replace(defect, is_repaired=_mend_view(objects, log, defect))
    return found


def set_aside(objects: ObjectStore, key: str) -> None:
    """Move bytes that are not what their key says to `Layout.damaged_key`, so that the right ones can be stored."""
    with objects.fetched(key) as path:
        objects.put_if_absent(Layout.damaged_key(key), path)
    objects.delete(key)


def restore_object(objects: ObjectStore, key: str, candidates: Iterable[Path]) -> bool:
    """Store an object again from a copy of its bytes, wherever that lies; other bytes under its key are set aside.

    Args:
        objects: Where it belongs.
        key: Of the object: its name is the hash of its bytes.
        candidates: Local files that may have these bytes: each is copied, and compared, before it is used.

    Returns:
        False where none has them; nothing is changed then.
    """
    for candidate in candidates:
        with objects.scratch() as folder:
            copy = folder / "copy"
            try:
                shutil.copyfile(candidate, copy)
            except FileNotFoundError:
                continue
            sha256 = file_sha256(copy)
            if not names_its_bytes(key, sha256):
                continue
            if objects.exists(key) and objects.hash(key) != sha256:
                set_aside(objects, key)
            objects.put_object(key, copy, sha256=sha256, size_bytes=copy.stat().st_size)
            return True
    return False


def _mend_object(objects: ObjectStore, log: CommitLog, defect: Defect) -> Defect:
    is_altered = defect.kind is Kind.OBJECT_ALTERED
    shown = _shown_as(log, defect.asset, defect.key)
    if is_altered and objects.exists(defect.key):
        set_aside(objects, defect.key)
    try:
        if restore_object(objects, defect.key, _copies(objects, defect.key, [view for _, view in shown])):
            return replace(defect, is_repaired=True)
    except VerificationError as error:
        return replace(defect, detail=f"{defect.detail}; {error}")
    for day, view in shown:
        _have_built_again(objects, log, replace(defect, day=day), view)
    if shown:
        return replace(defect, detail=f"{defect.detail}; {BUILT_AGAIN}")
    # Only history had it, and history may be collected.
    return replace(defect, is_repaired=is_altered and not defect.day and bool(log.days(defect.asset)))


def _copies(objects: ObjectStore, key: str, views: Iterable[str]) -> Iterator[Path]:
    """Yield the files at hand that should have an object's bytes."""
    cached = objects.cached(key)
    if cached is not None:
        yield cached
    for view in views:
        try:
            with objects.fetched(view) as path:
                yield path
        except FileNotFoundError:
            continue


def _have_built_again(objects: ObjectStore, log: CommitLog, lost: Defect, view: str) -> None:
    """Mark a published file of a day as lost, and show plain readers its altered bytes no longer."""
    asset, day, sha256 = lost.asset, lost.day, _hash_in(lost.key)
    with objects.lock(Layout.lock_key(asset, day)):
        head = log.head(asset, day)
        if head is None or sha256 not in {file.sha256 for file in head.files}:
            return
        mark_lost(objects, asset, day, sha256)
        if objects.exists(view) and objects.hash(view) != sha256:
            objects.withdraw(view)


def _shown_as(log: CommitLog, asset: str, key: str) -> list[tuple[str, str]]:
    """Return the days whose newest generation has an object, each with the file of the view that shows it."""
    try:
        heads = log.heads(asset)
    except PlatformError:
        return []
    return [
        (day, Layout.view_key(asset, day, file.name))
        for day, head in heads.items()
        for file in head.files
        if file.sha256 == _hash_in(key)
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


def _hash_in(key: str) -> str:
    return key.rpartition("/")[2].partition(".")[0]
