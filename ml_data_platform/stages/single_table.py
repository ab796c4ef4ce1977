"""The end of a stage that builds one table: staged unless refused.

Belongs here: turning written files and check outcomes into a stage's result. Does not belong here: stages that
publish something also on a refused day (``validated_events``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

from ml_data_platform.events.schemas import TableSchema
from ml_data_platform.stages.result import StageResult
from ml_data_platform.stages.verdicts import verdict_of
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform.validation.outcomes import CheckOutcome


def expected_generation(store: TableStore, table: TableSchema, day: dt.date) -> int:
    """Return the generation that a build which starts now replaces; 0 for none."""
    head = store.head(table.name, day)
    return head.generation if head else 0


def finish(
    table: TableSchema,
    day: dt.date,
    files: Mapping[str, Path],
    *,
    store: TableStore,
    generation: int,
    inputs: Mapping[str, str],
    code_version: str,
    checks: tuple[CheckOutcome, ...],
    facts: Mapping[str, int | float | str],
    kept: Mapping[str, object] | None = None,
    is_judged_elsewhere: bool = False,
) -> StageResult:
    """Stage a table whose blocking checks all passed; a refused table is left in the scratch folder.

    Args:
        table: The declared table.
        day: UTC day.
        files: Name within the partition to written file.
        store: Where the table is staged.
        generation: From ``expected_generation``, taken before the inputs were read.
        inputs: What the table is built from, as planned.
        code_version: Version of the stage.
        checks: Outcomes of all rules of the table.
        facts: Numbers and short texts about the partition, under stable keys.
        kept: What is recorded with it beside its inputs and what its checks said.
        is_judged_elsewhere: Whether another table of the stage keeps what the checks said.

    Returns:
        The result; without the table where a blocking check failed.
    """
    if any(check.blocking and not check.passed for check in checks):
        return StageResult({}, checks, {table.name: facts})
    staged = store.stage(
        table,
        day,
        files,
        inputs=inputs,
        code_version=code_version,
        expected_generation=generation,
        verdict=None if is_judged_elsewhere else verdict_of(checks, kept),
    )
    return StageResult({table.name: staged}, checks, {table.name: facts})
