"""Runs: which process executes one, what becomes of those whose process died, and which days were asked for.

Belongs here: ownership tags, reaping, and what a backfill of the UI targets. Does not belong here: starting runs.
"""

import datetime as dt
import os
import socket
from pathlib import Path

import dagster as dg
from dagster._core.definitions.events import AssetKeyPartitionKey

OWNER_TAG = "ml_data_platform/owner"
BACKFILL_TAG = "dagster/backfill"
LAUNCHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
UNFINISHED = [dg.DagsterRunStatus.QUEUED, *LAUNCHED]


def this_process() -> str:
    """Return host, process id and start time of this process: unique also when ids are used again."""
    return f"{socket.gethostname()}/{os.getpid()}/{_start_time(os.getpid())}"


def mark_owner(instance: dg.DagsterInstance, run_id: str) -> None:
    """Note on a run that this process executes it."""
    instance.add_run_tags(run_id, {OWNER_TAG: this_process()})


def is_alive(owner: str) -> bool:
    """Tell whether the process of an owner tag still runs; one on another host is taken to be alive."""
    host, pid, started = owner.rsplit("/", 2)
    if host != socket.gethostname():
        return True
    return pid.isdecimal() and _start_time(int(pid)) == started != ""


def unfinished_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Return the runs that wait or work, newest first."""
    return list(instance.get_runs(filters=dg.RunsFilter(statuses=UNFINISHED)))


def reap_orphans(instance: dg.DagsterInstance) -> list[str]:
    """Report every run as failed whose process is gone, so that it no longer holds a place in the queue.

    Returns:
        Ids of the runs that were reported as failed, oldest first.
    """
    reaped = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=LAUNCHED)):
        owner = run.tags.get(OWNER_TAG)
        if owner is not None and not is_alive(owner) and not _is_inherited(instance, run):
            instance.report_run_failed(run, f"its process {owner} is gone; the partition can be run again")
            reaped.append(run.run_id)
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


def _is_inherited(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Tell whether a run that is executed again still carries the owner of the run before it."""
    before = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id else None
    return before is not None and before.tags.get(OWNER_TAG) == run.tags.get(OWNER_TAG)


def _start_time(pid: int) -> str:
    """Return the start time of a process in clock ticks since boot, with the boot's id; empty if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return _exists_without_proc(pid)
    return "" if fields[0] == "Z" else f"{boot}-{fields[19]}"


def _exists_without_proc(pid: int) -> str:
    if Path("/proc/self").exists():
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        return "running"
    return "running"
