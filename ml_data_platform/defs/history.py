"""History: what the checks of each partition said last.

Belongs here: reading check results out of a Dagster instance. Does not belong here: what is published, which
the commit log knows (``stages.flow``).
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as CheckStatus

from ml_data_platform.defs.checks import FOUND
from ml_data_platform.stages.state import TABLES
from ml_data_platform.stages.verdicts import StoredChecks
from ml_data_platform.validation.rules import Rule
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
        missing: ``asset: check`` of those that are expected, and of which no result is known.
    """

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    found: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @property
    def expected(self) -> int:
        """Number of checks of which the day should have a result."""
        return self.passed + len(self.failed) + len(self.warned) + len(self.missing)

    def to_json(self) -> dict[str, object]:
        """Return plain values for scripts."""
        return {**asdict(self), "expected": self.expected}


def check_counts(
    instance: dg.DagsterInstance,
    known: Mapping[dg.AssetCheckKey, Mapping[str, bool]] | None = None,
    expected: Mapping[str, Collection[str]] | None = None,
    stored: Mapping[str, Mapping[str, StoredChecks]] | None = None,
) -> Mapping[str, CheckCounts]:
    """Return per partition key how its checks ended last.

    Args:
        instance: Where they are recorded.
        known: Check that compares days to partition key to whether it passes as things are now, in place of what was
            recorded when that day was built.
        expected: Partition key to the assets of which every check is expected; a check without a result is missing. By
            default only what is recorded counts.
        stored: Asset to partition key to what is kept with the commits, for checks of which the history has no result.
    """
    rules = {dg.AssetCheckKey(dg.AssetKey(asset), rule.name): rule for asset in TABLES for rule in rules_for(asset)}
    passes, tally, asked = known or {}, _Tally(rules), 0
    for info in instance.event_log_storage.get_asset_check_partition_info(list(rules)):
        key, partition = info.check_key, info.partition_key
        if partition is None:
            continue
        day, now = tally.counts[partition], passes.get(key, {}).get(partition)
        if now is None and info.latest_execution_status not in FINAL:
            continue
        has_passed = info.latest_execution_status is CheckStatus.SUCCEEDED if now is None else now
        name = tally.count(key, partition, has_passed=has_passed)
        asked += rules[key].blocking and not has_passed
        if rules[key].blocking and not has_passed and asked <= MAX_ASKED:
            text = _found(instance, key, partition)
            day.found.update({name: text} if text else {})
    for partition, assets in (expected or {}).items():
        kept = {asset: days[partition] for asset, days in (stored or {}).items() if partition in days}
        tally.count_expected(partition, assets, kept)
    return {key: _in_order(day) for key, day in tally.counts.items()}


@dataclass
class _Tally:
    """Counts results, and knows which are in.

    Attributes:
        rules: Check to rule.
        counts: Partition key to its counts.
        ended: Check and partition key of each result.
    """

    rules: Mapping[dg.AssetCheckKey, Rule]
    counts: dict[str, CheckCounts] = field(default_factory=lambda: defaultdict(CheckCounts))
    ended: set[tuple[dg.AssetCheckKey, str]] = field(default_factory=set)

    def count(self, key: dg.AssetCheckKey, partition: str, *, has_passed: bool) -> str:
        """Count one result; returns the name of the check."""
        day, name = self.counts[partition], f"{key.asset_key.to_user_string()}: {key.name}"
        self.ended.add((key, partition))
        day.passed += has_passed
        if not has_passed:
            (day.failed if self.rules[key].blocking else day.warned).append(name)
        return name

    def count_expected(self, partition: str, assets: Collection[str], kept: Mapping[str, StoredChecks]) -> None:
        """Count the checks that are expected and not in yet: as their commits say, or as missing."""
        for key, rule in self.rules.items():
            if rule.asset not in assets or (key, partition) in self.ended:
                continue
            outcome = kept[rule.asset].of(rule.name) if rule.asset in kept else None
            if outcome is None:
                self.counts[partition].missing.append(f"{rule.asset}: {rule.name}")
            else:
                self.count(key, partition, has_passed=outcome.passed)


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
    return CheckCounts(day.passed, sorted(day.failed), sorted(day.warned), day.found, sorted(day.missing))
