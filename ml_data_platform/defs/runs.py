"""Runs: which process executes one, and what becomes of those whose process died.

Belongs here: ownership tags and reaping. Does not belong here: starting runs.
"""

import os
import socket
from pathlib import Path

import dagster as dg

OWNER_TAG = "ml_data_platform/owner"
UNFINISHED = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]


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


def reap_orphans(instance: dg.DagsterInstance) -> list[str]:
    """Report every run as failed whose process is gone, so that it no longer holds a place in the queue.

    Returns:
        Ids of the runs that were reported as failed, oldest first.
    """
    reaped = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=UNFINISHED)):
        owner = run.tags.get(OWNER_TAG)
        if owner is not None and not is_alive(owner):
            instance.report_run_failed(run, f"its process {owner} is gone; the partition can be run again")
            reaped.append(run.run_id)
    return reaped[::-1]


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
