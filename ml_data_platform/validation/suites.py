"""The rules of every asset, together.

Belongs here: which rules an asset has, and their hash. Does not belong here: the rules themselves
(``row_rules``, ``table_rules``), running them (``runner``) or computing metrics (the stages). Importing
this module does not import Great Expectations.
"""

from __future__ import annotations

from collections.abc import Mapping

from ml_data_platform.errors import ValidationSetupError
from ml_data_platform.validation.row_rules import EVENT_ROW_RULES, FEATURE_ROW_RULES
from ml_data_platform.validation.rules import Rule, hash_rules, with_tolerances
from ml_data_platform.validation.table_rules import PARTITION_RULES

__all__ = [
    "ALL_RULES",
    "ROW_RULES",
    "TABLE_RULES",
    "Rule",
    "metric_names",
    "rules_for",
    "rules_hash",
    "with_tolerances",
]

ROW_RULES: Mapping[str, tuple[Rule, ...]] = {
    "validated_events": EVENT_ROW_RULES,
    "session_features": FEATURE_ROW_RULES,
}


def _by_asset(rules: tuple[Rule, ...]) -> dict[str, tuple[Rule, ...]]:
    return {
        asset: tuple(rule for rule in rules if rule.asset == asset) for asset in dict.fromkeys(r.asset for r in rules)
    }


TABLE_RULES: Mapping[str, tuple[Rule, ...]] = _by_asset(PARTITION_RULES)
ALL_RULES: tuple[Rule, ...] = (*EVENT_ROW_RULES, *FEATURE_ROW_RULES, *PARTITION_RULES)


def rules_for(asset: str) -> tuple[Rule, ...]:
    """Return all rules of an asset: row rules first, then table rules, in the order declared.

    Raises:
        ValidationSetupError: The asset has no rules; an asset without rules would pass unseen.
    """
    rules = ROW_RULES.get(asset, ()) + TABLE_RULES.get(asset, ())
    if not rules:
        raise ValidationSetupError(
            "No rules are declared for this asset.",
            asset=asset,
            expected=", ".join(TABLE_RULES),
            remedy="Correct the asset's name, or declare its rules under validation/.",
        )
    return rules


def rules_hash(asset: str, overrides: Mapping[str, float] | None = None) -> str:
    """Return the sha256 hex of the asset's rules, with tolerances overridden where given.

    Raises:
        ValidationSetupError: The asset has no rules.
        SettingsError: An override names no rule of the asset, or is out of range.
    """
    return hash_rules(with_tolerances(rules_for(asset), overrides or {}))


def metric_names(asset: str) -> tuple[str, ...]:
    """Return the metrics that the asset's table rules read, in the order of the rules."""
    return tuple(dict.fromkeys(rule.columns[0] for rule in TABLE_RULES.get(asset, ())))
