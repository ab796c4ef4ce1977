"""What a rule found: verdict, counts and bounded examples.

Belongs here: the outcome of one rule on one partition, how a tolerance turns counts into a verdict and
how an outcome reads in a user interface. Does not belong here: how rows are evaluated (``runner``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

ROWS_TO_EXCEED_A_SHARE = 3
"""Fewer rows than this exceed no tolerated share above 0: of a day of one row any share is 0 or 1, and a stray broken
row must not hold back the days beside it."""
MAX_EXAMPLES = 5
MAX_EXAMPLE_CHARACTERS = 120


@dataclass(frozen=True)
class CheckOutcome:
    """The verdict of one rule on one partition.

    Attributes:
        name: Name of the rule and of the asset check.
        asset: Asset that was judged.
        passed: Whether the rule holds, its tolerance applied.
        blocking: Whether a failure keeps the partition from being published.
        evaluated: Row rules: rows looked at. Table rules: 1, or 0 where the metric is null.
        unexpected: Row rules: rows that break the rule. Table rules: 1 where the metric is out of bounds.
        tolerance: See ``Rule.tolerance``.
        observed: What was found, as text.
        examples: At most 5 offending values, first rows first, each at most 120 characters.
        rule: The rule as JSON-able values.
        description: The rule in one sentence.
        value: Table rules: the metric, where it is not null.
        table: What the verdict is made of, one flat record each, all with the same keys.
    """

    name: str
    asset: str
    passed: bool
    blocking: bool
    evaluated: int
    unexpected: int
    tolerance: float
    observed: str
    examples: tuple[str, ...]
    rule: Mapping[str, Any]
    description: str
    value: float | None = None
    table: tuple[Mapping[str, str | int | float], ...] = ()

    @property
    def found(self) -> str:
        """What was found, for an error: of the partition the examples, of rows their number and no value of them."""
        return "; ".join(self.examples) if self.examples and self.rule["scope"] == "table" else self.observed

    def metadata(self) -> dict[str, Any]:
        """Return JSON-able facts under stable keys, for a user interface."""
        return {
            "observed": self.observed,
            **({} if self.value is None else {"observed_value": self.value}),
            "unexpected_count": self.unexpected,
            "evaluated_count": self.evaluated,
            "unexpected_percent": 100 * self.unexpected / self.evaluated if self.evaluated else 0.0,
            "tolerance": self.tolerance,
            "examples": list(self.examples),
            "rule": dict(self.rule),
            **({"table": [dict(row) for row in self.table]} if self.table else {}),
        }


def is_within_tolerance(unexpected: int, evaluated: int, tolerance: float) -> bool:
    """Return whether ``unexpected <= tolerance * evaluated``, with the tolerance read as the decimal it is written as.

    Where anything is tolerated, one or two rows are, however few there are: see ``ROWS_TO_EXCEED_A_SHARE``.

    Args:
        unexpected: Rows that break the rule.
        evaluated: Rows looked at.
        tolerance: Share, 0..1. In binary floating point 0.29 of 100 rows would be fewer than 29.
    """
    if tolerance > 0 and unexpected < ROWS_TO_EXCEED_A_SHARE:
        return True
    return unexpected <= Fraction(repr(float(tolerance))) * evaluated


def is_blocked(outcomes: Iterable[CheckOutcome]) -> bool:
    """Return whether any blocking rule failed."""
    return any(outcome.blocking and not outcome.passed for outcome in outcomes)
