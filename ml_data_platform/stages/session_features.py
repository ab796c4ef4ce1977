"""session_features: point-in-time features of each event's session, and its label once mature.

Belongs here: running the feature query over three days and judging what it wrote. Does not belong here: what a
feature is (``features/session_features.sql``), or how far labels are known (``events.lateness``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from ml_data_platform.events.schemas import VALIDATED_EVENTS
from ml_data_platform.features.catalog import SESSION_FEATURES, misplaced_columns
from ml_data_platform.features.queries import DEFINITION_VERSION, micros, session_features_query
from ml_data_platform.features.recomputation import differing_rows_query
from ml_data_platform.stages.relations import read_counts, rows_of, write_table
from ml_data_platform.stages.repeated_ids import ids_on_other_days
from ml_data_platform.stages.result import EngineLimits, StageResult
from ml_data_platform.stages.single_table import expected_generation, finish
from ml_data_platform.storage import duck
from ml_data_platform.storage.table_store import PartitionRef, TableStore
from ml_data_platform.training.leakage import immature_labels_query
from ml_data_platform.training.splits import maturity_query
from ml_data_platform.validation.outcomes import CheckOutcome
from ml_data_platform.validation.runner import RowValidator, check_metrics
from ml_data_platform.validation.suites import Rule

CODE_VERSION = DEFINITION_VERSION
CHUNK_ROWS = 131_072


def build(
    day: dt.date,
    validated: PartitionRef,
    *,
    mature_through: Mapping[str, dt.datetime],
    store: TableStore,
    scratch: Path,
    inputs: Mapping[str, str],
    engine: EngineLimits,
    rules: Sequence[Rule],
) -> StageResult:
    """Compute the features of one day.

    Args:
        day: UTC day.
        validated: ``validated_events`` of the day before, the day and the day after; an absent day has no rows.
        mature_through: Source to the instant (aware) up to which its events are all seen.
        store: Where the table is staged.
        scratch: Private folder for temporary files.
        inputs: What the table is built from, as planned.
        engine: Bounds of the query engine.
        rules: Row and table rules of ``session_features``.

    Returns:
        One row per validated event of the day; key ``event_id``, order (event_timestamp, event_id). The table is
        missing where a blocking check failed.
    """
    generation = expected_generation(store, SESSION_FEATURES, day)
    path = scratch / "session_features.parquet"
    with duck.connect(scratch, **engine.options(store)) as connection:
        events = rows_of(connection, validated.paths(), VALIDATED_EVENTS)
        write_table(connection, session_features_query(events, mature_through, day), SESSION_FEATURES, path)
        counts = _measure(connection, path, mature_through)
        differing = read_counts(
            connection, differing_rows_query(rows_of(connection, [path], SESSION_FEATURES), events, day)
        )[0]
        beside = [known for known in validated.days if known != day.isoformat()]
        returning = ids_on_other_days(
            connection,
            rows_of(connection, validated.paths(day), VALIDATED_EVENTS),
            rows_of(connection, [path for other in beside for path in validated.paths(other)], VALIDATED_EVENTS),
        )
    metrics = {
        "rows_that_differ_on_a_truncated_log": differing["offences"],
        "row_count_difference_to_validated_events": counts["rows"] - validated.rows(day),
        "label_side_columns": len(misplaced_columns(SESSION_FEATURES.name, pq.read_schema(path).names)),
        "immature_rows_with_label": counts["immature_rows_with_label"],
        "duplicate_event_ids": counts["duplicate_event_ids"],
        "event_ids_on_a_neighbouring_day": returning.events,
    }
    checks = _judge_rows(path, [rule for rule in rules if rule.scope == "row"])
    checks += check_metrics(
        [rule for rule in rules if rule.scope == "table"],
        metrics,
        {"event_ids_on_a_neighbouring_day": returning.examples},
    )
    facts: dict[str, int | float | str] = {
        "mature_rows": counts["mature"],
        "immature_rows": counts["immature"],
        "label_rate": counts["positives"] / counts["mature"] if counts["mature"] else 0.0,
        "absent_days": ", ".join(validated.absent),
    }
    return finish(
        SESSION_FEATURES,
        day,
        {"data.parquet": path},
        store=store,
        generation=generation,
        inputs=inputs,
        code_version=CODE_VERSION,
        checks=checks,
        facts=facts,
    )


def _measure(
    connection: duckdb.DuckDBPyConnection, path: Path, mature_through: Mapping[str, dt.datetime]
) -> dict[str, int]:
    """Count over the file as it was written; whether a derived label is early is told by its event's time alone."""
    rows = rows_of(connection, [path], SESSION_FEATURES)
    derived = f"(SELECT event_id, source, event_timestamp, converted AS label FROM {rows} WHERE converted IS NOT NULL)"
    early = immature_labels_query(derived, {source: micros(known) for source, known in mature_through.items()})
    (maturity,) = read_counts(connection, maturity_query(rows))
    (faults,) = read_counts(
        connection,
        f"""SELECT count(*) - count(DISTINCT event_id) AS duplicate_event_ids,
            count(CASE WHEN (label IS NOT NULL) <> label_is_mature THEN 1 END)
                + (SELECT offences FROM ({early}) AS early) AS immature_rows_with_label
            FROM {rows}""",
    )
    return maturity | faults


def _judge_rows(path: Path, rules: Sequence[Rule]) -> tuple[CheckOutcome, ...]:
    validator = RowValidator(rules)
    columns = sorted({column for rule in rules for column in rule.columns})
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=CHUNK_ROWS, columns=columns):
            validator.validate(batch.to_pandas())
    return validator.outcomes()
