"""Snapshots as they are stored: which bytes versions pin.

Belongs here: reading them strictly. Does not belong here: what goes into one (``datasets.snapshots``).

A snapshot is named by a hash of its text, so that a changed one is told without a digest of its own.
"""

from __future__ import annotations

import hashlib
from typing import Any

from ml_data_platform.errors import RecordError
from ml_data_platform.storage.layout import SNAPSHOTS_FOLDER, Layout
from ml_data_platform.storage.object_store import ObjectStore
from ml_data_platform.storage.records import canonical_json, parsed_object

ID_DIGITS = 12


def snapshot_id(snapshot: dict[str, Any]) -> str:
    """Return the name of a snapshot: a hash of what it says, so that the same partitions have the same one."""
    return hashlib.sha256(canonical_json(snapshot)).hexdigest()[:ID_DIGITS]


def parsed_snapshot(data: bytes, key: str) -> dict[str, Any]:
    """Return what a stored snapshot says.

    Raises:
        RecordError: It is not what its name says.
    """
    found = parsed_object(data, where=key)
    if key != Layout.snapshot_key(snapshot_id(found)) or data != canonical_json(found) + b"\n":
        raise RecordError("A snapshot was changed after it was written.", file=key)
    return found


def require_snapshots(objects: ObjectStore) -> None:
    """Check every snapshot: what a changed one pins is not known.

    Raises:
        RecordError: One is not what its name says.
    """
    keys = objects.list(SNAPSHOTS_FOLDER)
    for key, data in zip(keys, objects.each(objects.read_bytes, keys), strict=True):
        parsed_snapshot(data, key)
