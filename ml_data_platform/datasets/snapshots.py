"""Snapshots: the generations of a version, written into the store so that their bytes are never collected.

Belongs here: writing snapshots, and removing those that no version names. Does not belong here: collecting
(``storage.recovery``), which takes every hash in a snapshot for pinned.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from ml_data_platform.datasets.selection import FEATURES, ChosenDay, Selection, generation_with
from ml_data_platform.storage.commit_log import LogRecord
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.records import canonical_json
from ml_data_platform.storage.snapshot_files import parsed_snapshot, snapshot_id
from ml_data_platform.storage.table_store import TableStore

FORMAT = 1
EVENTS = "validated_events"


def snapshot_of(store: TableStore, selection: Selection) -> dict[str, Any]:
    """Return what a snapshot says: every partition's generation and files, and the events that they were made from.

    The events of a version are pinned with it, so that each row can be traced to its landed file and row for as long
    as the version exists.
    """
    partitions: dict[str, dict[str, Any]] = {}
    for chosen in selection.days:
        for asset, record in chosen.partitions.items():
            partitions.setdefault(asset, {})[chosen.day] = pinned(record)
        events = _events_of(store, chosen)
        if events is not None:
            partitions.setdefault(EVENTS, {})[chosen.day] = pinned(events)
    return {"format": FORMAT, "partitions": partitions}


def write_snapshot(store: TableStore, snapshot: dict[str, Any], notes: Path) -> str:
    """Store a snapshot unless it is there; returns its id.

    Args:
        store: The root's tables.
        snapshot: What it says.
        notes: File of this repository of versions that names the snapshots it wrote; the id is noted first.
    """
    name = snapshot_id(snapshot)
    for asset, days in snapshot["partitions"].items():
        for day in days:
            # A version is traced through the log: who wrote it may have died before it was flushed.
            store.objects.settle(Layout.log_folder(asset, day))
    notes.parent.mkdir(parents=True, exist_ok=True)
    with notes.open("a", encoding="ascii") as file:
        file.write(f"{name}\n")
    key = Layout.snapshot_key(name)
    if not store.objects.put_if_absent(key, canonical_json(snapshot) + b"\n"):
        parsed_snapshot(store.objects.read_bytes(key), key)
    return name


def read_snapshot(store: TableStore, name: str) -> dict[str, Any]:
    """Return a snapshot's content.

    Raises:
        FileNotFoundError: There is none.
        RecordError: It was changed after it was written.
    """
    key = Layout.snapshot_key(name)
    return parsed_snapshot(store.objects.read_bytes(key), key)


def remove_unnamed_snapshots(store: TableStore, named: Collection[str], notes: Path) -> None:
    """Remove snapshots of cuts of this repository that did not end in a version.

    The caller holds the lock of the repository of versions, so no cut is under way. Snapshots that it did not write
    are another repository's: they stay.
    """
    written = set(notes.read_text(encoding="ascii").split()) if notes.is_file() else set()
    for name in written - set(named):
        store.objects.delete(Layout.snapshot_key(name))
    notes.unlink(missing_ok=True)


def pinned(record: LogRecord) -> dict[str, Any]:
    """Return what a snapshot says of one partition."""
    return {
        "generation": record.generation,
        "content": record.content,
        "files": {file.name: file.sha256 for file in record.files},
    }


def _events_of(store: TableStore, chosen: ChosenDay) -> LogRecord | None:
    """Return the generation of the day's events that its features were computed from."""
    features = generation_with(store, FEATURES, chosen.day, chosen.features)
    wanted = features.inputs.get(f"{EVENTS}/{chosen.day}") if features else None
    return generation_with(store, EVENTS, chosen.day, wanted) if wanted else None
