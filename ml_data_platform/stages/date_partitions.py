"""date_partitions: the mature rows of one day, as training data.

Belongs here: leaving out what is not mature, and proving it. Does not belong here: features and labels, which
come ready from ``session_features``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from ml_data_platform.events.acceptance import accepted_in, without_unused
from ml_data_platform.features.catalog import DATE_PARTITIONS, SESSION_FEATURES, feature_columns, misplaced_columns
from ml_data_platform.stages.relations import read_counts, rows_of, write_table
from ml_data_platform.stages.result import EngineLimits, StageResult
from ml_data_platform.stages.single_table import expected_generation, finish
from ml_data_platform.storage import duck
from ml_data_platform.storage.table_store import PartitionRef, TableStore
from ml_data_platform.training.leakage import AUC_BOUND, auc_query, feature_aucs
from ml_data_platform.training.splits import file_query, maturity_query
from ml_data_platform.validation.runner import check_metrics
from ml_data_platform.validation.suites import Rule

CODE_VERSION = "1"
LARGEST_AUC = "largest_plausible_auc_of_a_feature"
ACCEPTED = "accepted_features"
"""Key of the verdict of a day: feature that was accepted to its AUC."""


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
        inputs: What the table is built from, as planned; of the accepted features only those are recorded that tell the
            label on this day.
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
        aucs = feature_aucs(connection.execute(auc_query(written, feature_columns(DATE_PARTITIONS.name))).fetchall())
    accepted = accepted_in(inputs)
    judged = [each for each in aucs if each.feature not in accepted]
    bound = next((rule.tolerance for rule in rules if rule.columns == (LARGEST_AUC,)), AUC_BOUND)
    used = {each.feature: each for each in aucs if each.feature in accepted and each.surely > bound}
    metrics = {
        LARGEST_AUC: max((each.surely for each in judged), default=0.0) if aucs else None,
        "immature_rows": faults["immature_rows"],
        "row_count_difference_to_mature_rows": faults["written_rows"] - maturity["mature"],
        "label_side_columns": len(misplaced_columns(DATE_PARTITIONS.name, pq.read_schema(path).names)),
    }
    facts: dict[str, int | float | str] = {
        "immature_rows": maturity["immature"],
        "positive_rows": maturity["positives"],
        "label_rate": maturity["positives"] / maturity["mature"] if maturity["mature"] else 0.0,
        **(
            {"accepted_features": "; ".join(f"{each.text}: {accepted[name]}" for name, each in used.items())}
            if used
            else {}
        ),
    }
    recorded = {name: round(each.auc, 6) for name, each in used.items()}
    return finish(
        DATE_PARTITIONS,
        day,
        {"data.parquet": path},
        store=store,
        generation=generation,
        inputs=without_unused(inputs, used),
        code_version=CODE_VERSION,
        checks=check_metrics(rules, metrics, {LARGEST_AUC: tuple(each.text for each in judged if each.surely > bound)}),
        facts=facts,
        kept={ACCEPTED: recorded} if used else None,
    )
