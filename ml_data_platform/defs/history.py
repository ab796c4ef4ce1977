"""History: what the checks of each partition said last.

Belongs here: reading check results out of a Dagster instance. Does not belong here: what is published, which
the commit log knows (``stages.flow``).
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as CheckStatus

from ml_data_platform.stages.state import TABLES
from ml_data_platform.validation.suites import rules_for

FINAL = frozenset({CheckStatus.SUCCEEDED, CheckStatus.FAILED})


@dataclass
class CheckCounts:
    """Checks of one day over all tables, by how they ended last.

    Attributes:
        passed: Number that passed.
        failed: ``asset: check`` of the blocking ones that failed.
        warned: ``asset: check`` of the others that failed.
    """

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)


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


def _in_order(day: CheckCounts) -> CheckCounts:
    return CheckCounts(day.passed, sorted(day.failed), sorted(day.warned))
