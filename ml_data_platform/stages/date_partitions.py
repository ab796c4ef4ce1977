"""date_partitions: the mature rows of one day, as training data.

Belongs here: leaving out what is not mature, and proving it. Does not belong here: features and labels, which
come ready from ``session_features``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from ml_data_platform.features.catalog import DATE_PARTITIONS, SESSION_FEATURES, feature_columns, misplaced_columns
from ml_data_platform.stages.relations import read_counts, rows_of, write_table
from ml_data_platform.stages.result import EngineLimits, StageResult
from ml_data_platform.stages.single_table import expected_generation, finish
from ml_data_platform.storage import duck
from ml_data_platform.storage.table_store import PartitionRef, TableStore
from ml_data_platform.training.leakage import MIN_CLASS_ROWS, auc_query, lowest_plausible_auc
from ml_data_platform.training.splits import file_query, maturity_query
from ml_data_platform.validation.runner import check_metrics
from ml_data_platform.validation.suites import Rule

CODE_VERSION = "1"


def build(
    day: dt.date,
    features: PartitionRef,
    *,
    store: TableStore,
    scratch: Path,
    inputs: Mapping[str, str],
    engine: EngineLimits,
    rules: Sequence[Rule],
) -> StageResult:
    """Write the mature rows of one day.

    Args:
        day: UTC day.
        features: ``session_features`` of the day.
        store: Where the table is staged.
        scratch: Private folder for temporary files.
        inputs: What the table is built from, as planned.
        engine: Bounds of the query engine.
        rules: Table rules of ``date_partitions``.

    Returns:
        One row per event with a mature label; key ``event_id``, order (event_timestamp, event_id). Immature rows are
        counted, and come with a later generation. The table is missing where a blocking check failed.
    """
    generation = expected_generation(store, DATE_PARTITIONS, day)
    path = scratch / "date_partitions.parquet"
    with duck.connect(scratch, **engine.options(store)) as connection:
        rows = rows_of(connection, features.paths(day), SESSION_FEATURES)
        write_table(connection, file_query(rows, DATE_PARTITIONS.columns.names, "TRUE"), DATE_PARTITIONS, path)
        written = rows_of(connection, [path], DATE_PARTITIONS)
        (maturity,) = read_counts(connection, maturity_query(rows))
        (faults,) = read_counts(
            connection,
            f"""SELECT (SELECT count(*) FROM {written}) AS written_rows,
                count(CASE WHEN feature.label_is_mature AND written.label IS NOT NULL THEN NULL ELSE 1 END)
                    AS immature_rows
                FROM {written} AS written LEFT JOIN {rows} AS feature ON feature.event_id = written.event_id""",
        )
        largest_auc = _largest_plausible_auc(connection, written)
    metrics = {
        "largest_plausible_auc_of_a_feature": largest_auc,
        "immature_rows": faults["immature_rows"],
        "row_count_difference_to_mature_rows": faults["written_rows"] - maturity["mature"],
        "label_side_columns": len(misplaced_columns(DATE_PARTITIONS.name, pq.read_schema(path).names)),
    }
    facts = {
        "immature_rows": maturity["immature"],
        "positive_rows": maturity["positives"],
        "label_rate": maturity["positives"] / maturity["mature"] if maturity["mature"] else 0.0,
    }
    return finish(
        DATE_PARTITIONS,
        day,
        {"data.parquet": path},
        store=store,
        generation=generation,
        inputs=inputs,
        code_version=CODE_VERSION,
        checks=check_metrics(rules, metrics),
        facts=facts,
    )


def _largest_plausible_auc(connection: duckdb.DuckDBPyConnection, rows: str) -> float | None:
    """Return the AUC that the most telling feature surely has; none where the rows are too few to tell."""
    found = connection.execute(auc_query(rows, feature_columns(DATE_PARTITIONS.name))).fetchall()
    bounds = [
        lowest_plausible_auc(auc, positives, negatives)
        for _, auc, positives, negatives in found
        if auc is not None and min(positives, negatives) >= MIN_CLASS_ROWS
    ]
    return max(bounds) if bounds else None
