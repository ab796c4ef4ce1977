"""Rules of contracts on what is masked or dropped: judged while a file lands.

Belongs here: judging rows before the mask, and telling which rows were not. Does not belong here: masking and keeping
(``landing``), and what becomes of rows that break rules (``contract_rules``).
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml_data_platform.errors import LandingError, ValidationSetupError
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.expectations import Expectation, judged_before_masking, rules_before_masking
from ml_data_platform.events.expected_values import expected_values, judged_arguments, value_names
from ml_data_platform.landing.masked_files import BrokenRules
from ml_data_platform.storage.duck import connect_without_files
from ml_data_platform.storage.ledger_record import LedgerRecord
from ml_data_platform.validation.rules import Rule
from ml_data_platform.validation.runner import RowValidator

ASSET = "validated_events"


def row_rules(rules: Mapping[str, Expectation]) -> tuple[Rule, ...]:
    """Return rules of a contract as rules of the platform, by name, so that their order in the contract decides nothing."""
    return tuple(_row_rule(name, rules[name]) for name in sorted(rules))


def _row_rule(name: str, said: Expectation) -> Rule:
    about = f"{said.expectation} of {', '.join(said.columns)}, as the contract says."
    return Rule(name, ASSET, said.expectation, judged_arguments(said), "row", said.blocks, said.tolerated, about)


def broken_before_masking(contract: SourceContract) -> BrokenRules | None:
    """Return what judges rows of a source while they land; None where no rule reads what is masked or dropped.

    What it is given stays in memory, and nothing but names of rules comes back.
    """
    rules = rules_before_masking(contract)
    if not rules:
        return None
    validator = RowValidator(row_rules(rules))

    def broken(chunk: pa.Table) -> list[tuple[str, ...]]:
        whole = pc.is_null(chunk["defect"])
        found: list[list[str]] = [[] for _ in range(chunk.num_rows)]
        positions = np.flatnonzero(whole.to_numpy(zero_copy_only=False))
        with connect_without_files() as engine:
            engine.register("landed_rows", chunk.filter(whole))
            values = expected_values(contract, rules.values(), "landed_rows", ())
            frame = engine.sql(values).to_arrow_table().rename_columns(list(value_names(rules.values())))
        try:
            judged = validator.validate(frame.to_pandas())
        except ValidationSetupError:
            # Its text may quote a value.
            raise LandingError("Rules on what is masked could not be judged.") from None
        for name, broken_at in judged.items():
            for position in positions[broken_at].tolist():
                found[position].append(name)
        return [tuple(names) for names in found]

    return broken


def unjudged_rows(
    records: Iterable[LedgerRecord], contracts: Mapping[str, SourceContract], day: dt.date
) -> dict[tuple[str, str], int]:
    """Return source and rule to rows of a day that were masked before the rule was as it is now.

    Such rows keep what was found of them at their landing by a rule of that name.
    """
    found: Counter[tuple[str, str]] = Counter()
    for record in records:
        rows = record.rows_per_day.get(day.isoformat(), 0)
        if rows and record.source in contracts:
            now = judged_before_masking(contracts[record.source])
            late = [name for name, meaning in now.items() if record.judged_by.get(name) != meaning]
            found.update({(record.source, name): rows for name in late})
    return dict(found)
