"""Says stored results of checks again, where checks are expected and nothing is built.

Belongs here: turning what a commit keeps of its checks into results in Dagster's history, within a run and outside of
one. Does not belong here: how results are kept (``stages.verdicts``), or building (``defs.daily``).

Dagster plans all checks of the assets that a run selects, and a check that is planned and not evaluated hides what it
said before. Nobody knows when a run is asked for which of its partitions will turn out to be clean.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckPartitionInfo

from ml_data_platform.defs import shown_text
from ml_data_platform.defs.checks import add_finished_run, check_results, report_result
from ml_data_platform.defs.history import FINAL
from ml_data_platform.defs.runs import UNFINISHED, partitions_of, unfinished_runs
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.state import TABLES
from ml_data_platform.stages.stored_checks import stored_checks_of_days
from ml_data_platform.stages.verdicts import StoredChecks
from ml_data_platform.storage.commit_log import LogRecord
from ml_data_platform.validation.suites import rules_for

JOB = "say_stored_checks_again"
"""Name of the runs under which results are recorded that no run planned; nothing runs in them."""
EVALUATED_IN = "evaluated_in_run"
PLAIN = (int, float, str)
MAX_NAMED = 200
"""Partitions that a query names; of more, the history of all is read."""


@dataclass(frozen=True)
class SaidAgain:
    """What is known of the checks of one partition.

    Attributes:
        results: One per check of which anything is known, with the run that evaluated it.
        unknown: Names of the checks of which nothing is.
    """

    results: tuple[dg.AssetCheckResult, ...]
    unknown: tuple[str, ...]


def results_again(
    instance: dg.DagsterInstance, asset: str, partition: str, stored: StoredChecks, only: Collection[str]
) -> SaidAgain:
    """Return what the checks of a partition said when it was built last.

    Args:
        instance: Asked for what was committed before results were kept with the commit.
        asset: Asset name.
        partition: Partition key.
        stored: What its commit says.
        only: Names of the checks that are asked for.
    """
    results = [
        _as_stored(result, stored.record.run_id, f"stored with generation {stored.record.generation}")
        for result in check_results(asset, (each for each in stored.outcomes if each.name in only))
    ]
    unknown = []
    for name in stored.unknown:
        if name in only:
            said = _in_history(instance, dg.AssetCheckKey(dg.AssetKey(asset), name), partition, stored.record)
            results += [said] if said else []
            unknown += [] if said else [name]
    return SaidAgain(tuple(results), tuple(unknown))


def say_again(instance: dg.DagsterInstance, platform: Platform, days: Iterable[dt.date] | None = None) -> int:
    """Record the results of checks of which Dagster's history has none, or one that was planned and never evaluated.

    That is so where a run was killed after its commit, where the history was pruned, and where a run of before had
    nothing to build. Compares states, so that it can be called at any time. Days that a run works on are left to it.

    Args:
        instance: Where they are recorded.
        platform: The opened root.
        days: Only these days; all of them where not given.

    Returns:
        Number of results that were recorded.
    """
    # What runs is read before what is published and recorded, so that a run that begins meanwhile is not overtaken.
    busy = {day.isoformat() for day in partitions_of(unfinished_runs(instance))}
    stored = stored_checks_of_days(platform, days)
    wanted = sorted({key for found in stored.values() for key in found} - busy)
    recorded = recorded_checks(instance, wanted)
    said, fresh = 0, ""
    for asset in TABLES:
        for partition in wanted:
            found = stored[asset].get(partition)
            lacking = {} if found is None else _lacking(asset, partition, recorded)
            if found is None or not lacking:
                continue
            for result in results_again(instance, asset, partition, found, lacking).results:
                planned_in = lacking[str(result.check_name)]
                run = instance.get_run_by_id(planned_in) if planned_in else None
                if run is not None and run.status in UNFINISHED:
                    continue
                fresh = fresh or ("" if run else add_finished_run(instance, JOB))
                job_name, run_id = (run.job_name, run.run_id) if run else (JOB, fresh)
                report_result(instance, result, partition, job_name, run_id, is_planned=run is not None)
                said += 1
    return said


Recorded = Mapping[tuple[dg.AssetCheckKey, str], AssetCheckPartitionInfo]


def recorded_checks(instance: dg.DagsterInstance, partitions: Collection[str]) -> Recorded:
    """Return what Dagster's history has of the checks of partitions."""
    keys = [dg.AssetCheckKey(dg.AssetKey(asset), rule.name) for asset in TABLES for rule in rules_for(asset)]
    chosen = set(partitions)
    named = sorted(chosen) if len(chosen) <= MAX_NAMED else None
    found = instance.event_log_storage.get_asset_check_partition_info(keys, None, named) if chosen else ()
    return {(each.check_key, each.partition_key): each for each in found if each.partition_key in chosen}


def _lacking(asset: str, partition: str, recorded: Recorded) -> dict[str, str]:
    """Return the checks of which nothing final is recorded, each to the run that planned it last; empty for none."""
    lacking = {}
    for rule in rules_for(asset):
        found = recorded.get((dg.AssetCheckKey(dg.AssetKey(asset), rule.name), partition))
        if found is None or found.latest_execution_status not in FINAL:
            lacking[rule.name] = found.latest_planned_run_id if found else ""
    return lacking


def _in_history(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, partition: str, record: LogRecord
) -> dg.AssetCheckResult | None:
    """Return what a check said last in Dagster's history of what is published; none where it did not."""
    found = instance.event_log_storage.get_asset_check_execution_history(
        key, limit=1, status=FINAL, partition_filter=PartitionKeyFilter(key=partition)
    )
    committed = dt.datetime.fromisoformat(record.committed_at).timestamp()
    for execution in found:
        said = execution.evaluation if isinstance(execution.evaluation, dg.AssetCheckEvaluation) else None
        is_of_it = execution.run_id == record.run_id or execution.create_timestamp >= committed
        if said is not None and is_of_it:
            result = dg.AssetCheckResult(
                asset_key=key.asset_key,
                check_name=key.name,
                passed=said.passed,
                severity=said.severity,
                description=shown_text.described(said.description or ""),
                # Without lists and tables of before, in which the texts of producers were Markdown.
                metadata=shown_text.facts(
                    {name: each.value for name, each in said.metadata.items() if isinstance(each.value, PLAIN)}
                ),
            )
            return _as_stored(result, execution.run_id, "found in Dagster's history")
    return None


def _as_stored(result: dg.AssetCheckResult, run_id: str, where: str) -> dg.AssetCheckResult:
    """Return a result with the run that evaluated it, unless it names one already."""
    said: dict[str, dg.MetadataValue[Any]] = {
        EVALUATED_IN: dg.MetadataValue.dagster_run(run_id),
        "stored_result": dg.MetadataValue.text(f"of run {run_id}, {where}"),
    }
    return result.with_metadata({**said, **result.metadata})
