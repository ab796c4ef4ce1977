"""Runs the rules over a partition, chunk by chunk, and says what they found.

Belongs here: cutting rows into chunks, adding up and turning counts into outcomes. Does not belong here:
the rules (``suites``), how one chunk is evaluated (``expectations``), or any decision about rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ml_data_platform.errors import ValidationSetupError, bounded
from ml_data_platform.validation.expectations import Positions, suite_for
from ml_data_platform.validation.outcomes import (
    MAX_EXAMPLE_CHARACTERS,
    MAX_EXAMPLES,
    CheckOutcome,
    is_within_tolerance,
)
from ml_data_platform.validation.rules import BETWEEN, PAIR_AT_LEAST, Rule, require_unique_names

if TYPE_CHECKING:
    import pandas as pd

# Above this the copies that Great Expectations makes of a frame leave the caches and the memory bound.
MAX_CHUNK_ROWS = 131_072
COMPARISONS = (BETWEEN, PAIR_AT_LEAST)


class RowValidator:
    """Evaluates row rules on the chunks of one partition and adds up what they found.

    Use one instance per partition. The first instance of a process pays for importing Great Expectations.

    Args:
        rules: Row rules of one asset.

    Raises:
        ValidationSetupError: A rule is not a row rule, two rules share a name, or Great Expectations does
            not accept an expectation or its arguments.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple(rules)
        for rule in self._rules:
            _require_scope(rule, "row")
        self._suite = suite_for(self._rules)
        self._evaluated = 0
        self._unexpected = dict.fromkeys((rule.name for rule in self._rules), 0)
        self._examples: dict[str, list[str]] = {rule.name: [] for rule in self._rules}

    def validate(self, frame: pd.DataFrame) -> dict[str, Positions]:
        """Evaluate all rules on the next rows of the partition.

        Args:
            frame: The rows; not changed. Its index does not matter.

        Returns:
            For each rule, in the order given, the positions of the rows in this frame that break it,
            ascending, counted from 0. Nulls break only rules that ask for presence.

        Raises:
            ValidationSetupError: A column is missing, or Great Expectations could not evaluate a rule.
        """
        self._require_columns(frame)
        parts: dict[str, list[Positions]] = {rule.name: [] for rule in self._rules}
        for start in range(0, len(frame), MAX_CHUNK_ROWS):
            chunk = frame.iloc[start : start + MAX_CHUNK_ROWS]
            found = self._suite.evaluate(readable_frame(self._rules, chunk))
            for rule in self._rules:
                self._note(rule, chunk, found[rule.name])
                parts[rule.name].append(found[rule.name] + start)
            self._evaluated += len(chunk)
        none = np.empty(0, dtype=np.int64)
        return {name: np.concatenate(arrays) if arrays else none for name, arrays in parts.items()}

    def outcomes(self) -> tuple[CheckOutcome, ...]:
        """Return one outcome per rule over all rows validated so far, in the order of the rules."""
        return tuple(self._outcome(rule) for rule in self._rules)

    def _require_columns(self, frame: pd.DataFrame) -> None:
        present = set(frame.columns)
        for rule in self._rules:
            for column in rule.columns:
                if column not in present:
                    raise ValidationSetupError(
                        "A rule's column is missing from the rows.",
                        asset=rule.asset,
                        rule=rule.name,
                        column=column,
                        got=", ".join(map(str, frame.columns)),
                        remedy="Give the rows all columns that their rules read.",
                    )

    def _note(self, rule: Rule, chunk: pd.DataFrame, positions: Positions) -> None:
        self._unexpected[rule.name] += len(positions)
        examples = self._examples[rule.name]
        for position in positions[: MAX_EXAMPLES - len(examples)]:
            examples.append(_example(rule, chunk, int(position), self._evaluated + int(position)))

    def _outcome(self, rule: Rule) -> CheckOutcome:
        unexpected = self._unexpected[rule.name]
        share = f" ({unexpected / self._evaluated:.3%})" if self._evaluated else ""
        return CheckOutcome(
            name=rule.name,
            asset=rule.asset,
            passed=is_within_tolerance(unexpected, self._evaluated, rule.tolerance),
            blocking=rule.blocking,
            evaluated=self._evaluated,
            unexpected=unexpected,
            tolerance=rule.tolerance,
            observed=f"{unexpected:,} of {self._evaluated:,} rows break the rule{share}",
            examples=tuple(self._examples[rule.name]),
            rule=rule.to_json(),
            description=rule.description,
        )


def readable_frame(rules: Sequence[Rule], chunk: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that rules read, under a RangeIndex, in types that are compared as vectors."""
    import pandas as pd  # noqa: PLC0415 - only those who validate pay

    columns = dict.fromkeys(column for rule in rules for column in rule.columns)
    numeric = dict.fromkeys(name for rule in rules if rule.expectation in COMPARISONS for name in rule.columns)
    # Great Expectations copies the whole frame for each rule that skips nulls, so other columns stay out.
    frame = chunk[list(columns)].reset_index(drop=True)
    frame.index.name = None
    for column in numeric:
        dtype = frame[column].dtype
        if pd.api.types.is_numeric_dtype(dtype) and dtype not in (np.dtype("int64"), np.dtype("float64")):
            # Other widths and nullable numbers would be compared one Python object at a time, and a null
            # beside a number would compare as neither true nor false. Rounding to a double is monotonic,
            # so no value crosses a bound that a double represents exactly.
            frame[column] = frame[column].to_numpy(dtype="float64", na_value=np.nan)
    return frame


def check_metrics(
    rules: Iterable[Rule],
    metrics: Mapping[str, float | int | None],
    examples: Mapping[str, tuple[str, ...]] | None = None,
) -> tuple[CheckOutcome, ...]:
    """Evaluate table rules on the metrics of one partition.

    A metric is one number and its rule an interval, so they are compared here: Great Expectations would be asked about
    a frame of one row, which costs more than the rest of a small day's rules and says the same.

    Args:
        rules: Table rules of one asset.
        metrics: Metric name to number; more metrics than the rules read are fine. ``None`` only where
            the rule says what a null means.
        examples: Metric name to a few bounded texts about what it counts, shown where its rule fails.

    Returns:
        One outcome per rule, in the order given.

    Raises:
        ValidationSetupError: A rule is not a table rule, a metric is missing, not finite, or null where a
            null has no meaning, two rules share a name, or an expectation is not an interval.
    """
    given = tuple(rules)
    require_unique_names(given)
    for rule in given:
        _require_scope(rule, "table")
        _require_interval(rule)
        _require_metric(rule, metrics)
    shown = examples or {}
    return tuple(_table_outcome(rule, metrics[rule.columns[0]], shown.get(rule.columns[0], ())) for rule in given)


def _table_outcome(rule: Rule, value: float | None, examples: tuple[str, ...]) -> CheckOutcome:
    lowest, highest = rule.kwargs["min_value"], rule.kwargs["max_value"]
    unexpected = 0 if value is None or lowest <= float(value) <= highest else 1
    expected = f"{lowest:g}" if lowest == highest else f"{lowest:g}..{highest:g}"
    found = rule.when_null if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
    return CheckOutcome(
        name=rule.name,
        asset=rule.asset,
        passed=unexpected == 0,
        blocking=rule.blocking,
        evaluated=0 if value is None else 1,
        unexpected=unexpected,
        tolerance=rule.tolerance,
        observed=f"{rule.columns[0]} = {found}, expected {expected}",
        examples=examples[:MAX_EXAMPLES] if unexpected else (),
        rule=rule.to_json(),
        description=rule.description,
        value=None if value is None else float(value),
    )


def _require_scope(rule: Rule, scope: str) -> None:
    if rule.scope != scope:
        raise ValidationSetupError(
            "A rule is run in the wrong scope.",
            asset=rule.asset,
            rule=rule.name,
            expected=scope,
            got=rule.scope,
            remedy="Give row rules to RowValidator and table rules to check_metrics.",
        )


def _require_interval(rule: Rule) -> None:
    if rule.expectation != BETWEEN or set(rule.kwargs) != {"column", "min_value", "max_value"}:
        raise ValidationSetupError(
            "A table rule is no closed interval of one metric.",
            asset=rule.asset,
            rule=rule.name,
            expected=f"{BETWEEN} with column, min_value and max_value",
            got=f"{rule.expectation} with {', '.join(sorted(rule.kwargs))}",
            remedy="State the rule as an interval of a metric that the stage computes.",
        )


def _require_metric(rule: Rule, metrics: Mapping[str, float | int | None]) -> None:
    (name,) = rule.columns
    value = metrics.get(name)
    # A null metric passes every bound, so one that has no meaning as a null must not get there; NaN is in no interval.
    if name in metrics and (bool(rule.when_null) if value is None else np.isfinite(value)):
        return
    raise ValidationSetupError(
        "A rule's metric is missing, null or not finite.",
        asset=rule.asset,
        rule=rule.name,
        column=name,
        expected="a finite number" + (" or null" if rule.when_null else ""),
        got=repr(value) if name in metrics else "no such metric",
        remedy="Compute the metric in the stage that builds the asset.",
    )


def _example(rule: Rule, chunk: pd.DataFrame, position: int, row: int) -> str:
    """Return where a row came from and its offending values, on one bounded line."""
    import pandas as pd  # noqa: PLC0415 - only those who validate pay

    cells = chunk.iloc[position]
    values = [None if pd.isna(cells[column]) else cells[column] for column in rule.columns]
    shown = ", ".join("null" if value is None else str(value) for value in values)
    if "source_file" in chunk.columns and "source_row" in chunk.columns:
        place = f"file {str(cells['source_file'])[:8]} row {cells['source_row']}"
    else:
        place = f"row {row}"
    return bounded(f"{place}: {shown}", MAX_EXAMPLE_CHARACTERS)
