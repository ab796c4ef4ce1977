"""Whether the snapshots that pin the bytes of versions are there, and what they were.

Belongs here: looking at them for ``verify``, and writing a lost or damaged one again. Does not belong here: the versions
themselves, whose bytes `version verify` reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ml_data_platform.datasets.manifest import Manifest
from ml_data_platform.datasets.repository import VersionsRepository, snapshot_of_tag
from ml_data_platform.datasets.selection import FEATURES, generation_with
from ml_data_platform.datasets.snapshots import EVENTS, FORMAT, pinned
from ml_data_platform.errors import PlatformError, bounded
from ml_data_platform.storage.defects import Defect, Kind
from ml_data_platform.storage.layout import SNAPSHOTS_FOLDER, Layout
from ml_data_platform.storage.mending import set_aside
from ml_data_platform.storage.records import canonical_json
from ml_data_platform.storage.snapshot_files import parsed_snapshot, snapshot_id
from ml_data_platform.storage.table_store import TableStore


def look_at_snapshots(store: TableStore, repository: VersionsRepository, *, is_repair: bool) -> Iterator[Defect]:
    """Look for snapshots that were changed, and for those of versions that are gone; write them again where asked.

    A version that was cut elsewhere has its snapshot there: of those that are not here, one is lost whose partitions are
    all in this root's log.
    """
    objects = store.objects
    try:
        wanted = {Layout.snapshot_key(snapshot_of_tag(tag)): tag for tag in repository.tags()}
    except PlatformError:
        wanted = {}  # git is damaged, which the look at versions says
    stored = set(objects.list(SNAPSHOTS_FOLDER))
    for key in sorted(stored | wanted.keys()):
        why = _damage(store, key) if key in stored else ""
        if key in stored and not why:
            continue
        text = _text_of(store, repository, key, wanted.get(key))
        if key not in stored and text is None:
            continue
        said = f"it pins {wanted[key]}" if key in wanted else "no version of this root names it"
        kind = Kind.SNAPSHOT_DAMAGED if key in stored else Kind.SNAPSHOT_LOST
        defect = Defect(kind, key, detail="; ".join(filter(None, (why, said))))
        if is_repair:
            if key in stored:
                set_aside(objects, key)
            is_written = text is not None and objects.put_if_absent(key, text)
            # One that no version names is of a cut that never ended, or of another repository of versions.
            defect = replace(defect, is_repaired=is_written or key not in wanted)
        yield defect


def _damage(store: TableStore, key: str) -> str:
    try:
        parsed_snapshot(store.objects.read_bytes(key), key)
    except FileNotFoundError:
        return ""
    except PlatformError as error:
        return bounded(error.what)
    return ""


def _text_of(store: TableStore, repository: VersionsRepository, key: str, tag: str | None) -> bytes | None:
    """Return the snapshot of a version as it was, from what its manifest and the log say; None where they do not tell."""
    if tag is None:
        return None
    try:
        snapshot = _of_version(store, repository.version(tag))
    except PlatformError:
        return None
    is_same = Layout.snapshot_key(snapshot_id(snapshot)) == key
    return canonical_json(snapshot) + b"\n" if is_same else None


def _of_version(store: TableStore, manifest: Manifest) -> dict[str, Any]:
    partitions: dict[str, dict[str, Any]] = {}
    for dataset in manifest.datasets:
        for partition in dataset.partitions:
            record = store.log.read(dataset.name, partition.day, partition.generation)
            partitions.setdefault(dataset.name, {})[partition.day] = pinned(record)
            features = generation_with(store, FEATURES, partition.day, partition.features)
            wanted = features.inputs.get(f"{EVENTS}/{partition.day}") if features else None
            events = generation_with(store, EVENTS, partition.day, wanted) if wanted else None
            if events is not None:
                partitions.setdefault(EVENTS, {})[partition.day] = pinned(events)
    return {"format": FORMAT, "partitions": partitions}
