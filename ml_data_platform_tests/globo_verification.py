"""What must hold of a root into which real clicks were landed and built, told from the published files.

Shared by the short test and the full lane of ``benchmarks/globo.py``. Expected values come from ``globo_log`` and
``session_oracle``; found ones from the ledger and from the view, read as any tool reads it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml_data_platform.storage.ledger import LedgerRecord
from ml_data_platform_tests.globo_log import SOURCE, GloboLog
from ml_data_platform_tests.session_oracle import Event, expected_features, expected_summaries

ONE_DAY = dt.timedelta(days=1)


def verify_landing(log: GloboLog, records: Iterable[LedgerRecord]) -> str:
    """Every file is recorded once with its rows; a bare header as such; no row is undated."""
    found = {record.name: record for record in records}
    assert {name: record.rows for name, record in found.items()} == dict(log.rows_per_file)
    statuses = {name: record.status for name, record in found.items()}
    assert statuses == {name: "landed" if rows else "header_only" for name, rows in log.rows_per_file.items()}
    per_day: dict[dt.date, int] = {}
    for record in found.values():
        assert sum(record.undated.values()) == 0
        for day, rows in record.rows_per_day.items():
            key = dt.date.fromisoformat(day)
            per_day[key] = per_day.get(key, 0) + rows
    assert per_day == log.rows_per_day
    bare = sorted(name for name, status in statuses.items() if status == "header_only")
    return (
        f"{len(found)} files, {sum(per_day.values()):,} rows on {len(per_day)} days, only a header: {', '.join(bare)}"
    )


def verify_counts(log: GloboLog, root: Path, days: Sequence[dt.date]) -> str:
    """Per day: raw rows are those of the files, and all of them are published, none doubled, none quarantined."""
    total = 0
    for day in days:
        rows = log.rows_per_day.get(day, 0)
        assert count_rows(root, "raw_events", day) == rows, day
        assert count_rows(root, "validated_events", day) == rows, day
        assert count_rows(root, "session_features", day) == rows, day
        assert count_rows(root, "session_summaries", day) == log.sessions_per_day.get(day, 0), day
        assert count_rows(root, "quarantined_events", day, "disposition=rejected/data.parquet") == 0, day
        assert count_rows(root, "quarantined_events", day, "disposition=duplicate/data.parquet") == 0, day
        total += rows
    return f"{total:,} rows published on {len(days)} days, 0 duplicates, 0 quarantined"


def verify_sessions(log: GloboLog, root: Path, days: Sequence[dt.date], sessions: Sequence[int], secret: bytes) -> str:
    """Features, labels and summaries of sampled sessions are, to the last bit, those of the definition."""
    events = log.events(sessions, secret)
    compared = 0
    for day in days:
        places = {
            row["event_id"]: f"{row['source_file']}:{row['source_row']}"
            for row in _rows_of(root, "validated_events", day, events)
        }
        features = {
            (at := places[row["event_id"]]): row | {"event_id": at}
            for row in _rows_of(root, "session_features", day, events)
        }
        summaries = {row["session_uuid"]: row for row in _rows_of(root, "session_summaries", day, events)}
        # Labels are known up to the end of the next day, once that was built.
        through = day + (2 if day + ONE_DAY in days else 1) * ONE_DAY
        mature_through = {SOURCE: dt.datetime.combine(through, dt.time(), dt.UTC)}
        today = {uuid: own for uuid, own in events.items() if any(event.at.date() == day for event in own)}
        for own in today.values():
            for event_id, expected in expected_features(own, mature_through, day).items():
                assert features.pop(event_id) == expected, (day, event_id)
                compared += 1
            for uuid, expected in expected_summaries(own, day).items():
                assert summaries.pop(uuid) == expected, (day, uuid)
        assert not features, day
        assert not summaries, day
    spans = log.spans.loc[list(sessions)]
    return (
        f"{compared:,} rows of {len(events):,} sessions equal in every column; {spans['crosses_midnight'].sum()} cross "
        f"midnight, {spans['exceeds_24_hours'].sum()} exceed 24 h, {spans['has_ties'].sum()} have clicks of one instant"
    )


def verify_zero_purchases(root: Path, days: Sequence[dt.date], fold_count: int = 5) -> str:
    """Without any purchase every mature label is 0; the file of positives is there and empty; folds add up."""
    mature_rows = 0
    for day in days:
        features = _table(root, "session_features", day, columns=["label", "converted", "label_is_mature"])
        mature = features.filter(features["label_is_mature"])
        assert set(mature["label"].to_pylist()) <= {0}, day
        assert set(mature["converted"].to_pylist()) <= {0}, day
        assert features.filter(pc.invert(features["label_is_mature"]))["label"].null_count == len(features) - len(
            mature
        ), day
        assert count_rows(root, "date_partitions", day) == len(mature), day
        assert count_rows(root, "label_partitions", day, "label=positive/data.parquet") == 0, day
        assert count_rows(root, "label_partitions", day, "label=negative/data.parquet") == len(mature), day
        folds = [f"fold={fold}/data.parquet" for fold in range(fold_count)]
        assert sum(count_rows(root, "stratified_partitions", day, fold) for fold in folds) == len(mature), day
        summaries = _table(root, "session_summaries", day, columns=["has_purchase", "purchase_count", "spend_cents"])
        for column in summaries.columns:
            assert set(column.to_pylist()) <= {0}, day  # False is 0
        mature_rows += len(mature)
    return f"{mature_rows:,} mature rows, all labelled 0; {len(days)} empty files of positives; folds add up"


def count_rows(root: Path, asset: str, day: dt.date, file: str = "data.parquet") -> int:
    """Return the rows of one file of the view."""
    return int(pq.read_metadata(_path(root, asset, day, file)).num_rows)


def _rows_of(root: Path, asset: str, day: dt.date, sessions: dict[str, list[Event]]) -> list[dict[str, Any]]:
    table = _table(root, asset, day)
    return table.filter(pc.is_in(table["session_uuid"], value_set=pa.array(list(sessions), pa.string()))).to_pylist()


def _table(root: Path, asset: str, day: dt.date, columns: list[str] | None = None) -> pa.Table:
    return pq.ParquetFile(_path(root, asset, day, "data.parquet")).read(columns=columns)


def _path(root: Path, asset: str, day: dt.date, file: str) -> Path:
    return root / "data" / asset / f"dt={day}" / file
