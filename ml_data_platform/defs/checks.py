"""Checks: every rule as a partitioned asset check.

Belongs here: all use of partitioned asset checks, a preview interface of Dagster. Does not belong here: what a
rule says (``validation.suites``).
"""

import datetime as dt
import uuid
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.definitions.partitions.subset import DefaultPartitionsSubset

from ml_data_platform.defs import shown_text
from ml_data_platform.validation.outcomes import CheckOutcome
from ml_data_platform.validation.suites import rules_for

FOUND = " Found: "


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
                description=shown_text.described(rule.description),
                metadata=shown_text.facts(
                    {"expectation": rule.expectation, "tolerance": rule.tolerance, "scope": rule.scope}
                ),
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
            description=shown_text.described(_described(outcome)),
            metadata=shown_text.facts(_shown(outcome)),
        )
        for outcome in outcomes
        if outcome.asset == asset
    ]


def report_outside_of_runs(
    instance: dg.DagsterInstance, found: Mapping[dt.date | None, dg.AssetCheckResult], job_name: str
) -> None:
    """Record results of a check of what no run builds.

    Dagster takes one result of a check and partition per run, and only one without a run, ever: so these are put
    under a run of their own, which is over from the start.

    Args:
        instance: Where they are recorded.
        found: Day, none for an asset without partitions, to result, with asset and check named.
        job_name: Name of the run.
    """
    run_id = add_finished_run(instance, job_name)
    for day, result in found.items():
        report_result(
            instance, result, day.isoformat() if day is not None else None, job_name, run_id, is_planned=False
        )


def add_finished_run(instance: dg.DagsterInstance, job_name: str) -> str:
    """Record a run in which nothing runs, over from the start; returns its id."""
    run = dg.DagsterRun(job_name=job_name, run_id=str(uuid.uuid4()), status=dg.DagsterRunStatus.SUCCESS)
    instance.add_run(run)
    return run.run_id


def report_result(
    instance: dg.DagsterInstance,
    result: dg.AssetCheckResult,
    partition: str | None,
    job_name: str,
    run_id: str,
    *,
    is_planned: bool,
) -> None:
    """Record the result of one check under a run that no longer runs.

    Args:
        instance: Where it is recorded.
        result: With asset and check named.
        partition: Partition key, none for an asset without partitions.
        job_name: Name of the run.
        run_id: The run.
        is_planned: Whether the run planned the check, and never evaluated it.
    """
    assert result.asset_key is not None
    assert result.check_name is not None
    subset = DefaultPartitionsSubset({partition}) if partition is not None else None
    planned = AssetCheckEvaluationPlanned(
        asset_key=result.asset_key, check_name=result.check_name, partitions_subset=subset
    )
    evaluation = dg.AssetCheckEvaluation(
        asset_key=result.asset_key,
        check_name=result.check_name,
        passed=result.passed,
        metadata=result.metadata,
        severity=result.severity,
        description=result.description,
        blocking=result.severity is dg.AssetCheckSeverity.ERROR and partition is not None,
        partition=partition,
    )
    events: list[tuple[dg.DagsterEventType, AssetCheckEvaluationPlanned | dg.AssetCheckEvaluation]] = [
        (dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED, planned),
        (dg.DagsterEventType.ASSET_CHECK_EVALUATION, evaluation),
    ]
    for kind, said in events[is_planned:]:
        event = dg.DagsterEvent(event_type_value=kind.value, job_name=job_name, event_specific_data=said)
        instance.report_dagster_event(event, run_id=run_id)


def _described(outcome: CheckOutcome) -> str:
    """Return the rule in words and, where it does not hold of the partition, by what."""
    is_told = not outcome.passed and bool(outcome.examples) and outcome.rule["scope"] == "table"
    return f"{outcome.description}{FOUND}{outcome.found}" if is_told else outcome.description


def _shown(outcome: CheckOutcome) -> dict[str, Any]:
    """Return an outcome as the UI shows it: numbers become plots, so what never moves is text."""
    rule = outcome.rule
    arguments = ", ".join(f"{name}={value!r}" for name, value in rule["kwargs"].items())
    return {
        **outcome.metadata(),
        "tolerance": f"{outcome.tolerance:g}",
        "examples": shown_text.listed(outcome.examples),
        "expectation": f"{rule['expectation']}({arguments})",
        "rule": dg.MetadataValue.json(dict(rule)),
        **({"table": shown_text.table(outcome.table)} if outcome.table else {}),
    }
