"""Runs: which ones have not ended, what becomes of those whose process died, and which days were asked for.

Belongs here: ownership tags, reaping, and what a backfill of the UI targets. Does not belong here: starting runs, or
telling whether a process lives (``defs.owners``).
"""

import datetime as dt
from collections.abc import Iterable
from pathlib import Path

import dagster as dg
from dagster._core.definitions.events import AssetKeyPartitionKey

from ml_data_platform.defs.owners import hold_owner_lock, is_alive, is_still_running, reap_locks, this_process
from ml_data_platform.errors import PartitionKeyError
from ml_data_platform.storage.layout import parse_day

PARTITION_TAG = "dagster/partition"
OWNER_TAG = "ml_data_platform/owner"
BACKFILL_TAG = "dagster/backfill"
LAUNCHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
UNFINISHED = [dg.DagsterRunStatus.QUEUED, *LAUNCHED]


def mark_owner(instance: dg.DagsterInstance, run_id: str) -> None:
    """Note on a run that this process executes it."""
    if not instance.is_ephemeral:
        hold_owner_lock(Path(instance.root_directory))
    instance.add_run_tags(run_id, {OWNER_TAG: this_process()})


def unfinished_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Return the runs that wait or work, newest first."""
    return list(instance.get_runs(filters=dg.RunsFilter(statuses=UNFINISHED)))


def runs_updated_since(instance: dg.DagsterInstance, since: dt.datetime) -> list[dg.DagsterRun]:
    """Return the runs that began, went on or ended after an instant (aware), newest first."""
    return list(instance.get_runs(filters=dg.RunsFilter(updated_after=since)))


def partitions_of(runs: Iterable[dg.DagsterRun]) -> set[dt.date]:
    """Return the UTC days that runs work on; what is no day is left out."""
    days = set()
    for run in runs:
        try:
            days.add(parse_day(run.tags.get(PARTITION_TAG, "")))
        except PartitionKeyError:
            continue
    return days


def reap_orphans(instance: dg.DagsterInstance) -> list[str]:
    """Report every run as failed whose process is gone, so that it no longer holds a place in the queue.

    Returns:
        Ids of the runs that were reported as failed, oldest first.
    """
    reaped = []
    home = None if instance.is_ephemeral else Path(instance.root_directory)
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=LAUNCHED)):
        owner = run.tags.get(OWNER_TAG)
        if owner is None or _is_inherited(instance, run):
            owner, is_gone = _died_before_it_was_marked(instance, run)
        else:
            is_gone = not is_alive(owner, home)
        if is_gone:
            instance.report_run_failed(run, f"its process {owner} is gone; the partition can be run again")
            reaped.append(run.run_id)
    if home is not None:
        reap_locks(home)
    return reaped[::-1]


def is_beside_backfill(instance: dg.DagsterInstance, run: dg.DagsterRun, asset: str, day: dt.date) -> bool:
    """Tell whether a run's backfill holds ``day`` only because it reads a day that somebody asked for.

    Dagster extends a backfill of ``asset`` to the neighbours of its days downstream.

    Args:
        instance: Where the backfill is recorded.
        run: The run; one that no backfill launched was asked for.
        asset: The upstream asset whose days say what was asked for.
        day: UTC day.
    """
    backfill_id = run.tags.get(BACKFILL_TAG)
    backfill = instance.get_backfill(backfill_id) if backfill_id else None
    if backfill is None or backfill.asset_backfill_data is None:
        return False
    target, key = backfill.asset_backfill_data.target_subset, dg.AssetKey(asset)
    return key in target.asset_keys and AssetKeyPartitionKey(key, day.isoformat()) not in target


def _died_before_it_was_marked(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[str, bool]:
    """Return the id of the process that began a run, and whether it is gone; what has not begun is not gone.

    Dagster notes the process with the beginning, some time before the platform's own mark.
    """
    if run.status not in {dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING}:
        return "", False
    for entry in reversed(instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_START)):
        pid = entry.dagster_event.pid if entry.dagster_event else None
        if pid is not None:
            return str(pid), not is_still_running(pid, entry.timestamp)
    return "", False


def _is_inherited(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Tell whether a run that is executed again still carries the owner of the run before it."""
    before = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id else None
    return before is not None and before.tags.get(OWNER_TAG) == run.tags.get(OWNER_TAG)
