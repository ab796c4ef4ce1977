"""A run whose process is gone is reported as failed; no other run is touched."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.events.log import EventLogEntry

from ml_data_platform.defs.owners import this_process
from ml_data_platform.defs.runs import OWNER_TAG, reap_orphans

STATUS = dg.DagsterRunStatus
OWNER = "import os; from ml_data_platform.defs import owners; print(owners.this_process(), flush=True); input()"


@dg.job
def some_job() -> None:
    """A job without steps."""


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    """A process that says who it is, and waits."""
    with subprocess.Popen([sys.executable, "-c", OWNER], stdin=-1, stdout=-1, text=True) as process:
        yield process
        process.kill()


def test_only_runs_of_dead_processes_are_reaped(instance: dg.DagsterInstance, child: subprocess.Popen[str]) -> None:
    """Killed owners lose their unfinished runs; the living, the finished and the unowned keep theirs."""
    assert child.stdout is not None
    owner = child.stdout.readline().strip()
    reused = owner + "0"

    def start(status: STATUS, *, by: str | None, again: str | None = None) -> str:
        tags = {} if by is None else {OWNER_TAG: by}
        run = instance.create_run_for_job(some_job, status=status, tags=tags, parent_run_id=again, root_run_id=again)
        return run.run_id

    runs = {
        name: start(status, by=by)
        for name, status, by in [
            ("started", STATUS.STARTED, owner),
            ("starting", STATUS.STARTING, owner),
            ("canceling", STATUS.CANCELING, owner),
            ("done", STATUS.SUCCESS, owner),
            ("waiting", STATUS.NOT_STARTED, owner),
            ("mine", STATUS.STARTED, this_process()),
            ("elsewhere", STATUS.STARTED, "another-host/1/boot-1"),
            ("unowned", STATUS.STARTED, None),
            ("of a used id", STATUS.STARTED, reused),
        ]
    }

    # Dagster copies the tags of a run that a person executes again; its own process has not marked it yet.
    runs["again"] = start(STATUS.STARTING, by=owner, again=runs["done"])

    def statuses() -> dict[str, STATUS]:
        return {name: instance.get_run_by_id(run_id).status for name, run_id in runs.items()}

    before = statuses()
    assert reap_orphans(instance) == [runs["of a used id"]]
    child.kill()
    child.wait(timeout=300)
    assert reap_orphans(instance) == [runs[name] for name in ("started", "starting", "canceling", "waiting")]
    failed = dict.fromkeys(("started", "starting", "canceling", "waiting", "of a used id"), STATUS.FAILURE)
    assert statuses() == before | failed
    assert reap_orphans(instance) == []
    logs = [entry.dagster_event for entry in instance.all_logs(runs["started"])]
    assert any(event is not None and owner in str(event.message) for event in logs)


def test_a_run_that_died_before_it_was_marked_is_reaped(
    instance: dg.DagsterInstance, child: subprocess.Popen[str]
) -> None:
    """Dagster notes the process with the beginning; one that is gone, or whose id another has now, ends its run."""
    assert child.stdout is not None
    child.stdout.readline()

    def begin(pid: int, ago: float, *, by: str | None = None) -> str:
        of = instance.create_run_for_job(some_job, status=STATUS.STARTED) if by is None else None
        run = of or instance.create_run_for_job(
            some_job, status=STATUS.STARTED, tags={OWNER_TAG: this_process()}, parent_run_id=by, root_run_id=by
        )
        event = DagsterEvent(DagsterEventType.PIPELINE_START.value, some_job.name, pid=pid)
        instance.event_log_storage.store_event(
            EventLogEntry(None, 20, "", run.run_id, time.time() - ago, job_name=some_job.name, dagster_event=event)
        )
        return run.run_id

    lives, has_the_id_of_another = begin(child.pid, 0), begin(child.pid, 3_600)
    again = begin(child.pid, 0, by=instance.create_run_for_job(some_job, tags={OWNER_TAG: this_process()}).run_id)
    assert reap_orphans(instance) == [has_the_id_of_another]
    child.kill()
    child.wait(timeout=300)
    assert reap_orphans(instance) == [lives, again]
    assert reap_orphans(instance) == []
