"""Checks: every rule as a partitioned asset check.

Belongs here: all use of partitioned asset checks, a preview interface of Dagster. Does not belong here: what a
rule says (``validation.suites``).
"""

import warnings
from collections.abc import Iterable
from typing import Any

import dagster as dg

from ml_data_platform.validation.outcomes import CheckOutcome
from ml_data_platform.validation.suites import rules_for


def check_specs(asset: str, daily: dg.PartitionsDefinition) -> list[dg.AssetCheckSpec]:
    """Return one check per rule of ``asset``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                rule.name,
                asset=asset,
                blocking=rule.blocking,
                partitions_def=daily,
                description=rule.description,
                metadata={"expectation": rule.expectation, "tolerance": rule.tolerance, "scope": rule.scope},
            )
            for rule in rules_for(asset)
        ]


def check_results(asset: str, outcomes: Iterable[CheckOutcome]) -> list[dg.AssetCheckResult]:
    """Translate the outcomes of one asset's rules."""
    return [
        dg.AssetCheckResult(
            asset_key=asset,
            check_name=outcome.name,
            passed=outcome.passed,
            severity=dg.AssetCheckSeverity.ERROR if outcome.blocking else dg.AssetCheckSeverity.WARN,
            description=outcome.description,
            metadata=_shown(outcome),
        )
        for outcome in outcomes
        if outcome.asset == asset
    ]


def _shown(outcome: CheckOutcome) -> dict[str, Any]:
    """Return an outcome as the UI shows it: numbers become plots, so what never moves is text."""
    rule = outcome.rule
    arguments = ", ".join(f"{name}={value!r}" for name, value in rule["kwargs"].items())
    examples = "\n".join(f"- `{example}`" for example in outcome.examples)
    return {
        **outcome.metadata(),
        "tolerance": f"{outcome.tolerance:g}",
        "examples": dg.MetadataValue.md(examples) if examples else "none",
        "expectation": f"{rule['expectation']}({arguments})",
        "rule": dg.MetadataValue.json(dict(rule)),
    }
