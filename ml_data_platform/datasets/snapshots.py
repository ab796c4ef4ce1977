"""Snapshots: the generations of a version, written into the store so that their bytes are never collected.

Belongs here: writing snapshots, and removing those that no version names. Does not belong here: collecting
(``storage.recovery``), which takes every hash in a snapshot for pinned.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from typing import Any

from ml_data_platform.datasets.selection import FEATURES, ChosenDay, Selection, generation_with
from ml_data_platform.storage.commit_log import LogRecord
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.records import canonical_json
from ml_data_platform.storage.table_store import TableStore

ID_DIGITS = 12
FORMAT = 1
_EVENTS = "validated_events"


def snapshot_of(store: TableStore, selection: Selection) -> dict[str, Any]:
    """Return what a snapshot says: every partition's generation and files, and the events that they were made from.

    The events of a version are pinned with it, so that each row can be traced to its landed file and row for as long
    as the version exists.
    """
    partitions: dict[str, dict[str, Any]] = {}
    for chosen in selection.days:
        for asset, record in chosen.partitions.items():
            partitions.setdefault(asset, {})[chosen.day] = _pinned(record)
        events = _events_of(store, chosen)
        if events is not None:
            partitions.setdefault(_EVENTS, {})[chosen.day] = _pinned(events)
    return {"format": FORMAT, "partitions": partitions}


def snapshot_id(snapshot: dict[str, Any]) -> str:
    """Return the name of a snapshot: a hash of what it says, so that the same partitions have the same one."""
    return hashlib.sha256(canonical_json(snapshot)).hexdigest()[:ID_DIGITS]


def write_snapshot(store: TableStore, snapshot: dict[str, Any]) -> str:
    """Store a snapshot unless it is there; returns its id."""
    name = snapshot_id(snapshot)
    store.objects.put_if_absent(Layout.snapshot_key(name), canonical_json(snapshot) + b"\n")
    return name


def read_snapshot(store: TableStore, name: str) -> dict[str, Any]:
    """Return a snapshot's content; raises FileNotFoundError where there is none."""
    content: dict[str, Any] = json.loads(store.objects.read_bytes(Layout.snapshot_key(name)))
    return content


def remove_unnamed_snapshots(store: TableStore, named: Collection[str]) -> int:
    """Remove snapshots of cuts that did not end in a version; returns how many.

    The caller holds the lock of the repository of versions, so no cut is under way.
    """
    kept = {Layout.snapshot_key(name) for name in named}
    unnamed = [key for key in store.objects.list(Layout.snapshots_folder()) if key not in kept]
    for key in unnamed:
        store.objects.delete(key)
    return len(unnamed)


def _pinned(record: LogRecord) -> dict[str, Any]:
    return {
        "generation": record.generation,
        "content": record.content,
        "files": {file.name: file.sha256 for file in record.files},
    }


def _events_of(store: TableStore, chosen: ChosenDay) -> LogRecord | None:
    """Return the generation of the day's events that its features were computed from."""
    features = generation_with(store, FEATURES, chosen.day, chosen.features)
    wanted = features.inputs.get(f"{_EVENTS}/{chosen.day}") if features else None
    return generation_with(store, _EVENTS, chosen.day, wanted) if wanted else None
