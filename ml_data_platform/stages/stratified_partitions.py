"""stratified_partitions: the mature rows of one day, one file per fold of users.

Belongs here: writing the folds, and proving that they share out the mature rows, keep users together and have like
label rates. Does not belong here: what a fold is (``training.splits``) and when rates differ (``training.label_rates``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

from ml_data_platform.features.catalog import SESSION_FEATURES, stratified_table
from ml_data_platform.stages.relations import read_counts, rows_of
from ml_data_platform.stages.result import EngineLimits, StageResult
from ml_data_platform.stages.single_table import expected_generation, finish
from ml_data_platform.stages.split_files import placed_rows, write_files
from ml_data_platform.storage import duck
from ml_data_platform.storage.table_store import PartitionRef, TableStore
from ml_data_platform.training.label_rates import FoldSums, compare_label_rates
from ml_data_platform.training.splits import (
    accounting_query,
    fold_condition,
    fold_expression,
    fold_sums_query,
    shared_users_query,
)
from ml_data_platform.validation.runner import check_metrics
from ml_data_platform.validation.suites import Rule

CODE_VERSION = "1"


def build(
    day: dt.date,
    features: PartitionRef,
    *,
    fold_count: int,
    fold_salt: str,
    store: TableStore,
    scratch: Path,
    inputs: Mapping[str, str],
    engine: EngineLimits,
    rules: Sequence[Rule],
) -> StageResult:
    """Write the mature rows of one day into the fold of their user.

    Args:
        day: UTC day.
        features: ``session_features`` of the day.
        fold_count: Number of folds, 2 to 100.
        fold_salt: Salt of the hash that puts a user into a fold.
        store: Where the table is staged.
        scratch: Private folder for temporary files.
        inputs: What the table is built from, as planned.
        engine: Bounds of the query engine.
        rules: Table rules of ``stratified_partitions``.

    Returns:
        One row per event with a mature label, in the file ``fold=<n>`` of its user, the same on every day; the fold
        is in the path alone. Key ``event_id``, order (event_timestamp, event_id). All files are written also when
        empty. The table is missing where a blocking check failed.

    Raises:
        SettingsError: The number of folds is out of bounds.
    """
    table = stratified_table(fold_count)
    generation = expected_generation(store, table, day)
    conditions = {name: fold_condition(fold, fold_count, fold_salt) for fold, name in enumerate(table.files)}
    with duck.connect(scratch, **engine.options(store)) as connection:
        rows = rows_of(connection, features.paths(day), SESSION_FEATURES)
        files = write_files(connection, rows, table, conditions, scratch)
        placed = placed_rows(connection, table, {fold: files[name] for fold, name in enumerate(table.files)})
        (places,) = read_counts(connection, accounting_query(rows, placed, fold_expression(fold_count, fold_salt)))
        (shared,) = read_counts(connection, shared_users_query(placed))
        sums = {row["fold"]: FoldSums(**row) for row in read_counts(connection, fold_sums_query(placed))}
    verdict = compare_label_rates([sums.get(fold, FoldSums(fold)) for fold in range(fold_count)])
    metrics: dict[str, int | float | None] = {
        **places,
        **shared,
        "largest_label_rate_z_score": None if verdict.too_few else verdict.largest_z_score,
    }
    rows_per_fold = [sums.get(fold, FoldSums(fold)).rows for fold in range(fold_count)]
    return finish(
        table,
        day,
        files,
        store=store,
        generation=generation,
        inputs=inputs,
        code_version=CODE_VERSION,
        checks=check_metrics(rules, metrics),
        facts={
            "users": sum(fold.users for fold in sums.values()),
            "label_rate": verdict.label_rate,
            "label_rates_too_few": verdict.too_few,
            "smallest_fold_rows": min(rows_per_fold),
            "largest_fold_rows": max(rows_per_fold),
        },
    )
