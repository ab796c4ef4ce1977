"""History: what the checks of each partition said last.

Belongs here: reading check results out of a Dagster instance. Does not belong here: what is published, which
the commit log knows (``stages.flow``).
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as CheckStatus

from ml_data_platform.defs.checks import FOUND
from ml_data_platform.stages.state import TABLES
from ml_data_platform.validation.suites import rules_for

FINAL = frozenset({CheckStatus.SUCCEEDED, CheckStatus.FAILED})
MAX_ASKED = 40
"""Checks that are asked what they found: as many as a terminal shows, and more."""


@dataclass
class CheckCounts:
    """Checks of one day over all tables, by how they ended last.

    Attributes:
        passed: Number that passed.
        failed: ``asset: check`` of the blocking ones that failed.
        warned: ``asset: check`` of the others that failed.
        found: Of blocking checks of a partition as a whole that failed, ``asset: check`` to what was found.
    """

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    found: dict[str, str] = field(default_factory=dict)


def check_counts(
    instance: dg.DagsterInstance, known: Mapping[dg.AssetCheckKey, Mapping[str, bool]] | None = None
) -> Mapping[str, CheckCounts]:
    """Return per partition key how its checks ended last.

    Args:
        instance: Where they are recorded.
        known: Check that compares days to partition key to whether it passes as things are now, in place of what was
            recorded when that day was built.
    """
    passes = known or {}
    blocking = {
        dg.AssetCheckKey(dg.AssetKey(asset), rule.name): rule.blocking for asset in TABLES for rule in rules_for(asset)
    }
    counts: dict[str, CheckCounts] = defaultdict(CheckCounts)
    asked = 0
    for info in instance.event_log_storage.get_asset_check_partition_info(list(blocking)):
        if info.partition_key is None:
            continue
        day = counts[info.partition_key]
        now = passes.get(info.check_key, {}).get(info.partition_key)
        name = f"{info.check_key.asset_key.to_user_string()}: {info.check_key.name}"
        if now or (now is None and info.latest_execution_status is CheckStatus.SUCCEEDED):
            day.passed += 1
        elif now is False or info.latest_execution_status is CheckStatus.FAILED:
            (day.failed if blocking[info.check_key] else day.warned).append(name)
            asked += blocking[info.check_key]
            if blocking[info.check_key] and asked <= MAX_ASKED:
                text = _found(instance, info.check_key, info.partition_key)
                day.found.update({name: text} if text else {})
    return {key: _in_order(day) for key, day in counts.items()}


def partitions_said_otherwise(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, failing: Collection[str]
) -> list[str]:
    """Return the partition keys of which a check said last what is no longer so, in order.

    Args:
        instance: Where it is recorded.
        key: The check.
        failing: Partition keys of which it fails now; it passes on all others.
    """
    said = {
        info.partition_key: info.latest_execution_status is CheckStatus.FAILED
        for info in instance.event_log_storage.get_asset_check_partition_info([key])
        if info.partition_key is not None and info.latest_execution_status in FINAL
    }
    return sorted(day for day in {*failing, *said} if said.get(day, False) != (day in failing))


def _found(instance: dg.DagsterInstance, check: dg.AssetCheckKey, partition: str) -> str:
    """Return what a check said last of a partition that it found; empty where it did not."""
    records = instance.event_log_storage.get_asset_check_execution_history(
        check, limit=1, partition_filter=PartitionKeyFilter(key=partition)
    )
    for record in records:
        event = record.event.dagster_event if record.event else None
        said = (event.asset_check_evaluation_data.description or "") if event else ""
        if FOUND in said:
            return said.partition(FOUND)[2]
    return ""


def _in_order(day: CheckCounts) -> CheckCounts:
    return CheckCounts(day.passed, sorted(day.failed), sorted(day.warned), day.found)
