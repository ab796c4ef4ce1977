"""Published days of training data, made without the flow: rows with a known signal, committed as the stages commit.

For tests of what happens after publication: versions, loaders, models. Folds follow a rule of their own, so that no
test takes the platform's hash for granted.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml_data_platform.events.schemas import VALIDATED_EVENTS, TableSchema
from ml_data_platform.features.catalog import (
    DATE_PARTITIONS,
    LABEL_PARTITIONS,
    SESSION_FEATURES,
    STRATIFIED_PARTITIONS,
)
from ml_data_platform.features.queries import DEFINITION_VERSION
from ml_data_platform.storage.parquet import ParquetSink
from ml_data_platform.storage.table_store import TableStore

FIRST = dt.date(2026, 4, 6)
NOW = dt.datetime(2026, 6, 1, 8, tzinfo=dt.UTC)
FOLDS = 5


def nth(number: int) -> dt.date:
    """Return the ``number``-th day, from 1 on."""
    return FIRST + dt.timedelta(days=number - 1)


def store_at(root: Path, now: dt.datetime = NOW) -> TableStore:
    """Open the tables of a root."""
    return TableStore(root, lambda: now)


def fold_of(user: str) -> int:
    """Return the fold of a user in these tests."""
    return int(hashlib.sha256(user.encode()).hexdigest(), 16) % FOLDS


def feature_rows(of: dt.date, *, rows: int = 120, users: int = 30, seed: int = 0, immature: int = 0) -> pa.Table:
    """Return ``session_features`` of one day: carts raise the chance of a positive label, the hour does nothing.

    Args:
        of: UTC day.
        rows: Number of rows.
        users: Users, the same on every day; a row belongs to one of four sessions of its user and day.
        seed: Another seed, other rows.
        immature: How many of the rows, the last ones, have no label yet.
    """
    rng = np.random.default_rng([seed, of.toordinal()])
    user = rng.integers(0, users, rows)
    seconds = np.sort(rng.choice(86_000, rows, replace=False))
    carts = rng.poisson(1.0, rows)
    labels = (rng.random(rows) < 1 / (1 + np.exp(3.0 - 1.5 * carts))).astype(np.int8)
    mature = np.arange(rows) < rows - immature
    start = dt.datetime.combine(of, dt.time(), tzinfo=dt.UTC)
    user_ids = [f"usr_{hashlib.sha256(str(number).encode()).hexdigest()[:16]}" for number in user]
    moments = [start + dt.timedelta(seconds=int(each)) for each in seconds]
    hours = (seconds // 3600).astype(np.int8)
    counts = carts + rng.integers(1, 9, rows)
    columns = {
        "event_id": [f"shop:{of}-{seed}-{number}" for number in range(rows)],
        "user_id": user_ids,
        "session_uuid": [f"{of}-{name}-{number % 4}" for number, name in enumerate(user_ids)],
        "source": ["shop"] * rows,
        "event_timestamp": moments,
        "hour_of_day": hours,
        "day_of_week": [of.weekday()] * rows,
        "is_weekend": [of.weekday() >= 5] * rows,
        "session_event_count": counts,
        "session_elapsed_seconds": (counts * 30.0) + rng.random(rows),
        "seconds_since_previous_event": [None if count < 2 else 12.5 for count in counts],
        "session_cart_count": carts,
        "session_search_count": rng.integers(0, 3, rows),
        "session_purchase_count_before": rng.integers(0, 2, rows),
        "session_spend_cents_before": rng.integers(0, 2, rows) * 1050,
        "converted": [int(label) if known else None for label, known in zip(labels, mature, strict=True)],
        "label": [int(label) if known else None for label, known in zip(labels, mature, strict=True)],
        "label_is_mature": mature,
    }
    return pa.table(columns, schema=SESSION_FEATURES.columns)


def publish_features(
    store: TableStore,
    of: dt.date,
    features: pa.Table,
    mature_through: dt.datetime | None = None,
    *,
    events: Mapping[str, str] | None = None,
    fold: Callable[[str], int] = fold_of,
) -> None:
    """Publish one day: the features, and the three training tables that follow from them.

    Args:
        store: The root's tables.
        of: UTC day.
        features: Its features.
        mature_through: Up to when events had been seen then, as the log says; by default all that labels look at.
        events: Days to the content of their events that the features are said to come from.
        fold: User to fold.
    """
    known_through = mature_through or dt.datetime.combine(of + dt.timedelta(days=2), dt.time(), dt.UTC)
    seen = {"mature_through/shop": known_through.isoformat()}
    seen |= {f"validated_events/{day}": each for day, each in (events or {}).items()}
    content = _publish(store, SESSION_FEATURES, of, {"data.parquet": features}, seen)
    inputs = {f"session_features/{of}": content}
    known = features.filter(features["label_is_mature"])
    _publish(store, DATE_PARTITIONS, of, {"data.parquet": known}, inputs)
    labels = {
        name: known.filter(pc.equal(known["label"], number)) for number, name in enumerate(LABEL_PARTITIONS.files)
    }
    _publish(store, LABEL_PARTITIONS, of, labels, inputs)
    folds = pa.array([fold(user) for user in known["user_id"].to_pylist()], pa.int64())
    parts = {name: known.filter(pc.equal(folds, number)) for number, name in enumerate(STRATIFIED_PARTITIONS.files)}
    _publish(store, STRATIFIED_PARTITIONS, of, parts, inputs)


def publish_days(store: TableStore, days: int, **how: int) -> None:
    """Publish the first ``days`` days."""
    for number in range(1, days + 1):
        publish_features(store, nth(number), feature_rows(nth(number), **how))


def publish_events(store: TableStore, of: dt.date, events: pa.Table) -> str:
    """Publish the validated events of one day; returns their content."""
    return _publish(store, VALIDATED_EVENTS, of, {"data.parquet": events}, {})


def _publish(
    store: TableStore, table: TableSchema, of: dt.date, files: Mapping[str, pa.Table], inputs: Mapping[str, str]
) -> str:
    head = store.head(table.name, of)
    with store.scratch() as scratch:
        paths = {}
        for number, (name, rows) in enumerate(files.items()):
            paths[name] = scratch / f"{number}.parquet"
            with ParquetSink(paths[name], table) as sink:
                sink.write(rows.select(table.columns.names).cast(table.columns))
        staged = store.stage(
            table,
            of,
            paths,
            inputs=inputs,
            # What another definition gave is not computed again.
            code_version=DEFINITION_VERSION,
            expected_generation=head.generation if head else 0,
        )
        store.commit(staged, run_id="test")
    return staged.content
