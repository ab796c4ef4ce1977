"""label_partitions: the mature rows of one day, one file per label.

Belongs here: writing the two files, and proving that they share out the mature rows. Does not belong here: what
the label is (``features/session_features.sql``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

from ml_data_platform.features.catalog import LABEL_PARTITIONS, SESSION_FEATURES
from ml_data_platform.stages.relations import read_counts, rows_of
from ml_data_platform.stages.result import EngineLimits, StageResult
from ml_data_platform.stages.single_table import expected_generation, finish
from ml_data_platform.stages.split_files import placed_rows, write_files
from ml_data_platform.storage import duck
from ml_data_platform.storage.table_store import PartitionRef, TableStore
from ml_data_platform.training.splits import LABEL_FILES, accounting_query, label_condition, maturity_query
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
    """Write the mature rows of one day into the file of their label.

    Args:
        day: UTC day.
        features: ``session_features`` of the day.
        store: Where the table is staged.
        scratch: Private folder for temporary files.
        inputs: What the table is built from, as planned.
        engine: Bounds of the query engine.
        rules: Table rules of ``label_partitions``.

    Returns:
        One row per event with a mature label, in ``label=negative`` or ``label=positive``; the label is in the path
        alone. Key ``event_id``, order (event_timestamp, event_id). Both files are written also when empty. The table
        is missing where a blocking check failed.
    """
    generation = expected_generation(store, LABEL_PARTITIONS, day)
    conditions = {name: label_condition(label) for name, label in LABEL_FILES.items()}
    with duck.connect(scratch, **engine.options(store)) as connection:
        rows = rows_of(connection, features.paths(day), SESSION_FEATURES)
        files = write_files(connection, rows, LABEL_PARTITIONS, conditions, scratch)
        placed = placed_rows(connection, LABEL_PARTITIONS, {label: files[name] for name, label in LABEL_FILES.items()})
        (metrics,) = read_counts(connection, accounting_query(rows, placed, "label"))
        (maturity,) = read_counts(connection, maturity_query(rows))
    return finish(
        LABEL_PARTITIONS,
        day,
        files,
        store=store,
        generation=generation,
        inputs=inputs,
        code_version=CODE_VERSION,
        checks=check_metrics(rules, metrics),
        facts={
            "positive_rows": maturity["positives"],
            "negative_rows": maturity["mature"] - maturity["positives"],
            "immature_rows": maturity["immature"],
        },
    )
