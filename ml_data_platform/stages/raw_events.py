"""raw_events: every landed row whose event time falls on the day.

Belongs here: gathering the rows that landing routed to one day. Does not belong here: reading landed files, or
judging a row.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ml_data_platform.events.lateness import end_of_day, start_of_day
from ml_data_platform.events.schemas import RAW_EVENTS
from ml_data_platform.events.sql_text import sql_identifier, sql_instant
from ml_data_platform.stages.day_lateness import DayLateness
from ml_data_platform.stages.result import EngineLimits, StageResult, most_unusual_ratio
from ml_data_platform.stages.single_table import expected_generation, finish
from ml_data_platform.stages.source_history import SourceHistory
from ml_data_platform.storage import duck
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.ledger import LedgerRecord
from ml_data_platform.storage.parquet import copy_options
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform.validation.rules import Rule
from ml_data_platform.validation.runner import check_metrics

CODE_VERSION = "1"


def build(
    day: dt.date,
    landed: Sequence[LedgerRecord],
    *,
    store: TableStore,
    scratch: Path,
    inputs: Mapping[str, str],
    engine: EngineLimits,
    rules: Sequence[Rule],
    history: SourceHistory,
    lateness: DayLateness,
) -> StageResult:
    """Gather the rows of one day from the fragments of the landed files.

    Args:
        day: UTC day.
        landed: Ledger records with rows on the day.
        store: Where fragments are read and the table is staged.
        scratch: Private folder for temporary files.
        inputs: What the table is built from, as planned.
        engine: Bounds of the query engine.
        rules: The table rules of ``raw_events``.
        history: Source to its landed rows per day; days without rows are absent.
        lateness: How late the rows of the day came; it is reported, and changes no byte.

    Returns:
        One row per landed row of the day; key and order (source, source_file, source_row).
    """
    generation = expected_generation(store, RAW_EVENTS, day)
    path = scratch / "raw_events.parquet"
    with duck.connect(scratch, **engine.options(store)) as connection:
        duck.write_parquet(connection, _rows_of_day(connection, day, landed, store), path, copy_options(RAW_EVENTS))
    rows = pq.read_metadata(path).num_rows
    of_source: Counter[str] = Counter()
    for record in landed:
        of_source[record.source] += record.rows_per_day[day.isoformat()]
    ratio, lines = most_unusual_ratio(day, of_source, history)
    metrics = {
        "unaccounted_rows": of_source.total() - rows,
        "row_count_ratio_to_previous_7_days": ratio,
        **lateness.metrics,
    }
    sources = ", ".join(sorted(of_source))
    return finish(
        RAW_EVENTS,
        day,
        {"data.parquet": path},
        store=store,
        generation=generation,
        inputs=inputs,
        code_version=CODE_VERSION,
        checks=check_metrics(rules, metrics, {"row_count_ratio_to_previous_7_days": lines}),
        facts={"landed_files": len(landed), "sources": sources, **lateness.facts},
    )


def _rows_of_day(
    connection: duckdb.DuckDBPyConnection, day: dt.date, landed: Sequence[LedgerRecord], store: TableStore
) -> str:
    if not landed:
        return f"SELECT {duck.columns_sql(RAW_EVENTS)} FROM (SELECT {_nulls()}) WHERE false"
    fragments = sorted({str(record.fragment) for record in landed})
    found = store.objects.local_paths([Layout.object_key("landed_files", fragment) for fragment in fragments])
    paths = {fragment: str(path) for fragment, path in zip(fragments, found, strict=True)}
    files = duck.parquet(connection, sorted(paths.values()), has_file_names=True)
    members = pa.table(
        {
            "path": [paths[str(record.fragment)] for record in landed],
            "source": [record.source for record in landed],
            "source_file": [record.sha256 for record in landed],
        }
    )
    connection.register("member", members)
    return f"""
        SELECT {duck.columns_sql(RAW_EVENTS)}
        FROM (
            SELECT member.source, member.source_file, fragment.* EXCLUDE (filename)
            FROM {files} AS fragment JOIN member ON member.path = fragment.filename
            WHERE fragment.event_time >= {sql_instant(start_of_day(day))}
              AND fragment.event_time < {sql_instant(end_of_day(day))}
        )
        ORDER BY {RAW_EVENTS.order_by}
    """


def _nulls() -> str:
    return ", ".join(f"NULL AS {sql_identifier(name)}" for name in RAW_EVENTS.columns.names)
