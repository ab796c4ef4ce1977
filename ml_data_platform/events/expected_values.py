"""The landed values that a contract's rules judge, as SQL text.

Belongs here: which value of a landed row a rule sees, the same for rows on their way in and for rows of a day. Does not
belong here: what a contract may expect (expectations), and judging (validation, stages).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from ml_data_platform.events.contract_model import SourceContract
from ml_data_platform.events.expectations import BETWEEN, Expectation
from ml_data_platform.events.landed_paths import key_pointers, texts_query
from ml_data_platform.events.number_marks import plain_number
from ml_data_platform.events.readings import read_number
from ml_data_platform.events.sql_text import present

LARGEST_NUMBER = sys.float_info.max
AS_NUMBER = "{} as a number"


def value_name(rule: Expectation, column: str) -> str:
    """Return how the values are named that a rule judges of a landed column."""
    return AS_NUMBER.format(column) if rule.is_numeric else column


def judged_arguments(rule: Expectation) -> dict[str, object]:
    """Return the arguments of a rule's expectation, for the values as they are named here.

    A text that writes no number stands as infinite, so a range that is open above ends at the largest number.
    """
    said = rule.arguments()
    if rule.expectation == BETWEEN:
        said.setdefault("max_value", LARGEST_NUMBER)
    if rule.column_list:
        return {"column_list": [value_name(rule, column) for column in rule.column_list], **said}
    return {"column": value_name(rule, str(rule.column)), **said}


def value_names(rules: Iterable[Expectation]) -> tuple[str, ...]:
    """Return how the values are named that rules judge: each landed column, and for its numbers ``COLUMN as a number``."""
    return tuple(_wanted(rules))


def expected_values(
    contract: SourceContract, rules: Iterable[Expectation], relation: str, columns: Sequence[str]
) -> str:
    """Return SQL of the values that rules judge.

    Args:
        contract: The contract of the rows' source.
        rules: Some of its rules.
        relation: FROM item with ``landed``, one JSON object per row; inserted as it is.
        columns: SQL expressions of columns to return first, as they are.

    Returns:
        SQL of one row per row of the relation, in its order: these columns, then one per `value_names`, as ``value_0``
        and so on.
    """
    wanted = _wanted(rules).values()
    landed = list(dict.fromkeys(column for column, _ in wanted))
    texts = {column: f"({present(f'texts[{place}]')})" for place, column in enumerate(landed, start=1)}
    values = [_number(contract, texts[column]) if is_number else texts[column] for column, is_number in wanted]
    parts = [*columns, *(f"{value} AS value_{at}" for at, value in enumerate(values))]
    return f"""SELECT {", ".join(parts)} FROM ({texts_query(landed, "*", relation, is_flat=contract.is_flat)})"""


def _wanted(rules: Iterable[Expectation]) -> dict[str, tuple[str, bool]]:
    """Names of values to the landed column and whether it is read as a number; its text is beside it, to be shown."""
    wanted: dict[str, tuple[str, bool]] = {}
    for rule in rules:
        for column in rule.columns:
            wanted[column] = column, False
            wanted[value_name(rule, column)] = column, rule.is_numeric
    return wanted


def has_column(contract: SourceContract, column: str) -> str:
    """Return SQL for whether a landed row has a column at all, also one without a value."""
    pointers = key_pointers(column, is_flat=contract.is_flat)
    return " OR ".join(f"json_exists(landed, {pointer})" for pointer in pointers)


def _number(contract: SourceContract, text: str) -> str:
    plain = text
    if contract.format == "csv":
        plain = plain_number(text, thousands=contract.csv.thousands, decimal=contract.csv.decimal)
    return f"CASE WHEN {text} IS NOT NULL THEN coalesce({read_number(plain)}, 'infinity'::DOUBLE) END"
