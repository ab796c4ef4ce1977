"""Up to when labels were known when they were given: recorded with a version, and looked at when it is loaded.

Belongs here: reading that from the generation of the features, and the check of loaded rows against it. Does not belong
here: when a label becomes known (``events.lateness``), and the other checks (``firewall``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import duckdb

from ml_data_platform.datasets.manifest import Manifest
from ml_data_platform.datasets.selection import ChosenDay
from ml_data_platform.events.lateness import ONE_DAY, end_of_day
from ml_data_platform.features.dialects import DUCKDB, render
from ml_data_platform.features.queries import micros
from ml_data_platform.storage import duck
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform.training.leakage import Finding, finding, labels_before_their_horizon_query

CHECK = "labels_are_mature"
_INPUT = "mature_through/"


def mature_through(chosen: ChosenDay) -> dict[str, str] | None:
    """Return per source of a day the instant up to which its events had been seen; none where it is not recorded."""
    if chosen.source is None:
        return None
    inputs = chosen.source.inputs
    return {key.removeprefix(_INPUT): inputs[key] for key in sorted(inputs) if key.startswith(_INPUT)}


def declared_early(store: TableStore, chosen: ChosenDay) -> dict[str, int]:
    """Count, per source, the labels that producers declared before the horizon had been seen.

    Only days of which something had not been seen can have such labels, so only their features are read.
    """
    if chosen.source is None or _is_all_seen(dt.date.fromisoformat(chosen.day), mature_through(chosen) or {}):
        return {}
    keys = [Layout.object_key(chosen.source.asset, file.sha256) for file in chosen.source.files if file.rows]
    paths = [store.objects.local_path(key) for key in keys if store.objects.exists(key)]
    if not paths:
        return {}
    with store.scratch() as scratch, duck.connect(scratch, folders=[store.objects.local_folder]) as connection:
        rows = connection.execute(
            f"SELECT source, count(*) FROM {duck.parquet(connection, paths)} "
            "WHERE label_is_mature AND label IS NOT NULL AND converted IS NULL GROUP BY source ORDER BY source"
        ).fetchall()
    return {str(source): int(count) for source, count in rows}


def inspect_maturity(connection: duckdb.DuckDBPyConnection, rows: str, manifest: Manifest) -> Finding:
    """Check that every label's horizon had been seen when it was given, or that its producer had declared it.

    Args:
        connection: Made by ``storage.duck.connect``.
        rows: A relation with rows of the version (``event_id``, ``source``, ``event_timestamp``, ``label``).
        manifest: The version. Rows of a day or source of which it records nothing have no mature labels.
    """
    known: dict[tuple[dt.date, str], int] = {}
    for day in manifest.days:
        for source, instant in (day.mature_through or {}).items():
            known[dt.date.fromisoformat(day.day), source] = micros(dt.datetime.fromisoformat(instant))
    early = {(day.day, source): count for day in manifest.days for source, count in day.declared_early.items()}
    found = connection.execute(render(labels_before_their_horizon_query(rows, known), DUCKDB)).fetchall()
    excess = [(day, source, count - early.get((day, source), 0), example) for day, source, count, example in found]
    wrong = [each for each in excess if each[2] > 0]
    recorded = {day.isoformat() for day, _ in known}
    examples = [
        f"{count} of {source} on {day}, {example} among them" + ("" if day in recorded else "; cut the version again")
        for day, source, count, example in wrong
    ]
    return finding(CHECK, sum(each[2] for each in wrong), examples)


def _is_all_seen(day: dt.date, known: Mapping[str, str]) -> bool:
    end = end_of_day(day + ONE_DAY)
    return bool(known) and all(dt.datetime.fromisoformat(instant) >= end for instant in known.values())
