"""Days of a version whose features can be computed again, since the events that they came from are still there.

Belongs here: choosing such days and finding their events in the commit log. Does not belong here: computing and
comparing (``firewall``).
"""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path

from ml_data_platform.datasets.manifest import DatasetFacts, PartitionFacts
from ml_data_platform.datasets.selection import FEATURES, generation_with
from ml_data_platform.events.lateness import ONE_DAY
from ml_data_platform.features.queries import DEFINITION_VERSION
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.table_store import TableStore

DAYS = 5
_EVENTS = "validated_events"


def recomputable_days(store: TableStore, dataset: DatasetFacts) -> dict[str, tuple[Path, ...]]:
    """Return a few days with the files of their events and of those of the day before, each compared by its hash.

    The same version has the same days; those are left out whose events are gone, or whose features another definition
    gave.

    Args:
        store: The root's tables.
        dataset: A data set of the version.
    """
    with_rows = [partition for partition in dataset.partitions if partition.rows]
    chosen = sorted(with_rows, key=lambda each: hashlib.sha256(each.content.encode()).hexdigest())[:DAYS]
    found = {partition.day: _events_of(store, partition) for partition in chosen}
    return {day: paths for day, paths in sorted(found.items()) if paths}


def _events_of(store: TableStore, partition: PartitionFacts) -> tuple[Path, ...] | None:
    features = generation_with(store, FEATURES, partition.day, partition.features)
    if features is None or features.code_version != DEFINITION_VERSION:
        return None
    paths: list[Path] = []
    day = dt.date.fromisoformat(partition.day)
    for each in ((day - ONE_DAY).isoformat(), partition.day):
        content = features.inputs.get(f"{_EVENTS}/{each}", "absent")
        record = None if content == "absent" else generation_with(store, _EVENTS, each, content)
        if record is None and (content != "absent" or each == partition.day):
            return None
        for file in record.files if record else ():
            key = Layout.object_key(_EVENTS, file.sha256)
            path = store.objects.whole_path(key)
            if path is None:
                return None
            paths.append(path)
    return tuple(paths)
