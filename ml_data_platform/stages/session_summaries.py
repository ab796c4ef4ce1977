"""session_summaries: one row per session and day, known only when the session is over.

Belongs here: running the summary query over one day and judging what it wrote. Does not belong here: what a
column means (``features.catalog``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

from ml_data_platform.events.schemas import VALIDATED_EVENTS
from ml_data_platform.features.catalog import SESSION_SUMMARIES
from ml_data_platform.features.queries import session_summaries_query
from ml_data_platform.stages.relations import read_counts, rows_of, write_table
from ml_data_platform.stages.result import EngineLimits, StageResult
from ml_data_platform.stages.single_table import expected_generation, finish
from ml_data_platform.storage import duck
from ml_data_platform.storage.table_store import PartitionRef, TableStore
from ml_data_platform.validation.runner import check_metrics
from ml_data_platform.validation.suites import Rule

CODE_VERSION = "1"


def build(
    day: dt.date,
    validated: PartitionRef,
    *,
    store: TableStore,
    scratch: Path,
    inputs: Mapping[str, str],
    engine: EngineLimits,
    rules: Sequence[Rule],
) -> StageResult:
    """Sum up the sessions of one day.

    Args:
        day: UTC day.
        validated: ``validated_events`` of the day; other days of the reference are not read.
        store: Where the table is staged.
        scratch: Private folder for temporary files.
        inputs: What the table is built from, as planned.
        engine: Bounds of the query engine.
        rules: Table rules of ``session_summaries``.

    Returns:
        One row per session with events on the day; key ``session_uuid``, order (session_start, session_uuid). The
        table is missing where a blocking check failed.
    """
    generation = expected_generation(store, SESSION_SUMMARIES, day)
    path = scratch / "session_summaries.parquet"
    with duck.connect(scratch, **engine.options(store)) as connection:
        events = rows_of(connection, validated.paths(day), VALIDATED_EVENTS)
        write_table(connection, session_summaries_query(events), SESSION_SUMMARIES, path)
        (counts,) = read_counts(
            connection,
            f"""SELECT count(*) - count(DISTINCT session_uuid) AS duplicate_sessions,
                coalesce(sum(event_count), 0) AS events,
                count(CASE WHEN has_purchase THEN 1 END) AS sessions_with_purchase
                FROM {rows_of(connection, [path], SESSION_SUMMARIES)}""",
        )
    checks = check_metrics(
        rules,
        {
            "duplicate_sessions": counts["duplicate_sessions"],
            "event_count_difference_to_validated_events": counts["events"] - validated.rows(day),
        },
    )
    facts = {"sessions_with_purchase": counts["sessions_with_purchase"]}
    return finish(
        SESSION_SUMMARIES,
        day,
        {"data.parquet": path},
        store=store,
        generation=generation,
        inputs=inputs,
        code_version=CODE_VERSION,
        checks=checks,
        facts=facts,
    )
