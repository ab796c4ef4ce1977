"""What a rule is: one expectation with its severity and its tolerance, as data.

Belongs here: the rule record, how a tolerance is overridden and how a set of rules is hashed. Does not
belong here: the rules themselves (``suites``) and running them (``runner``). Importing this module does
not import Great Expectations, which costs seconds.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ml_data_platform.errors import SettingsError, ValidationSetupError

ToleranceKind = Literal["rows", "exact", "limit", "ratio"]
BETWEEN = "ExpectColumnValuesToBeBetween"
PAIR_AT_LEAST = "ExpectColumnPairValuesAToBeGreaterThanB"
_COLUMN_ARGUMENTS = ("column", "column_A", "column_B")


@dataclass(frozen=True)
class Rule:
    """One property of an asset, expressed as one Great Expectations expectation.

    Row rules are evaluated on the rows themselves. Table rules are evaluated on one row of metrics that
    the engine computed; ``kwargs["column"]`` names the metric that a table rule reads.

    Attributes:
        name: The property that holds; name of the asset check and, for row rules, the quarantine reason.
        asset: Asset whose partition the rule judges.
        expectation: Class name in ``great_expectations.expectations``.
        kwargs: Arguments of the expectation, without ``mostly``: expectations are strict.
        scope: ``row`` or ``table``.
        blocking: Whether a failure keeps the partition from being published.
        tolerance: Row rules: share of the rows that may fail, 0..1. Table rules: the bound that
            ``tolerance_kind`` explains, 0 for exact rules.
        description: One sentence for the reader of a check.
        tolerance_kind: ``rows`` (a share of rows), ``exact`` (the metric is 0), ``limit`` (the metric is
            in 0..tolerance) or ``ratio`` (the metric is in 1/tolerance..tolerance).
        when_null: What a null metric means; it then passes. Empty: a null metric is an error.
        is_about_arrival: The rule judges when rows came, or compares with other days; not what the day's rows are. It
            blocks nothing, and is no input of the partition: another order of landing, or another such rule, must not
            have it built again.
    """

    name: str
    asset: str
    expectation: str
    kwargs: Mapping[str, Any]
    scope: Literal["row", "table"]
    blocking: bool
    tolerance: float
    description: str
    tolerance_kind: ToleranceKind = "rows"
    when_null: str = ""
    is_about_arrival: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns (row rules) or the metric (table rules) that the rule reads."""
        named = (str(self.kwargs[argument]) for argument in _COLUMN_ARGUMENTS if argument in self.kwargs)
        return (*named, *map(str, self.kwargs.get("column_list", ())))

    def to_json(self) -> dict[str, Any]:
        """Return the rule as JSON-able values, complete enough to be hashed."""
        return {
            "name": self.name,
            "asset": self.asset,
            "expectation": self.expectation,
            "kwargs": {key: list(value) if isinstance(value, tuple) else value for key, value in self.kwargs.items()},
            "scope": self.scope,
            "blocking": self.blocking,
            "tolerance": self.tolerance,
            "tolerance_kind": self.tolerance_kind,
            "when_null": self.when_null,
            "description": self.description,
        }


def bounds(kind: ToleranceKind, tolerance: float) -> dict[str, float]:
    """Return the closed interval in which the metric of a table rule has to lie.

    Args:
        kind: How the tolerance is meant.
        tolerance: The tolerance; at least 1 for ``ratio``.

    Returns:
        ``min_value`` and ``max_value`` of ``ExpectColumnValuesToBeBetween``.
    """
    if kind == "ratio":
        return {"min_value": 1 / tolerance, "max_value": tolerance}
    return {"min_value": 0, "max_value": tolerance if kind == "limit" else 0}


def with_tolerances(rules: Iterable[Rule], overrides: Mapping[str, float]) -> tuple[Rule, ...]:
    """Return the rules with the named tolerances replaced; the others and the order stay.

    Args:
        rules: Rules of one asset.
        overrides: Rule name to tolerance; see ``Rule.tolerance`` for the unit.

    Returns:
        The rules, in the order given.

    Raises:
        SettingsError: A name is not among the rules, the rule is exact, or the value is out of range.
    """
    given = tuple(rules)
    unknown = sorted(set(overrides) - {rule.name for rule in given})
    if unknown:
        raise SettingsError(
            "A tolerance is set for a rule that does not exist.",
            expected=", ".join(rule.name for rule in given),
            got=", ".join(unknown),
            remedy="Correct the name of the rule.",
        )
    return tuple(_with_tolerance(rule, overrides[rule.name]) if rule.name in overrides else rule for rule in given)


def _with_tolerance(rule: Rule, tolerance: float) -> Rule:
    lowest, highest = {"rows": (0, 1), "exact": (0, 0), "limit": (0, math.inf), "ratio": (1, math.inf)}[
        rule.tolerance_kind
    ]
    if not lowest <= tolerance <= highest or math.isinf(tolerance):
        raise SettingsError(
            "A tolerance is out of range.",
            asset=rule.asset,
            rule=rule.name,
            expected=f"{lowest}..{highest}",
            got=tolerance,
            remedy="Set a tolerance within the range; exact rules have none.",
        )
    if rule.tolerance_kind == "rows":
        return replace(rule, tolerance=tolerance)
    return replace(rule, tolerance=tolerance, kwargs={**rule.kwargs, **bounds(rule.tolerance_kind, tolerance)})


def hash_rules(rules: Iterable[Rule]) -> str:
    """Return the sha256 hex of the rules' canonical JSON; the order of the rules does not matter."""
    records = sorted((rule.to_json() for rule in rules), key=lambda record: (record["asset"], record["name"]))
    text = json.dumps(records, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def require_unique_names(rules: Iterable[Rule]) -> None:
    """Refuse rules of one asset that share a name, because results are matched by name.

    Raises:
        ValidationSetupError: Two rules of one asset have the same name.
    """
    seen: set[tuple[str, str]] = set()
    for rule in rules:
        if (rule.asset, rule.name) in seen:
            raise ValidationSetupError(
                "Two rules of one asset have the same name.",
                asset=rule.asset,
                rule=rule.name,
                remedy="Name each rule after the property that it alone states.",
            )
        seen.add((rule.asset, rule.name))
