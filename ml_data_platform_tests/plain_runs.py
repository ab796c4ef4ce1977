"""Runs of a backfill without an orchestrator: the same stages, pinned inputs and commits, and nothing around them.

Dagster costs more than half of a small day, and most tests are about what is built, not about who records it. That both
build the same, byte for byte, and report the same, ``integration/pipeline/test_plain_runs.py`` shows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from uuid import uuid4

from ml_data_platform.defs.backfill import BackfillReport, Failure
from ml_data_platform.defs.daily import failed_checks, refusal, why_not_built
from ml_data_platform.defs.io_manager import publish
from ml_data_platform.errors import PlatformError
from ml_data_platform.events.due_runs import DueRun
from ml_data_platform.events.lateness import ONE_DAY
from ml_data_platform.events.planning import GATES, UPSTREAM, Status, decide
from ml_data_platform.stages import flow
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.state import read_state
from ml_data_platform.storage.table_store import PartitionRef


def plain_runs(platform: Platform) -> Callable[[DueRun, BackfillReport], bool]:
    """Return what makes one run of ``defs.backfill.build_dirty`` in this process; an I/O error is raised, not tried again."""

    def execute(run: DueRun, report: BackfillReport) -> bool:
        report.runs += 1
        run_id, stopped = str(uuid4()), set[str]()
        for asset in (name for name in UPSTREAM if name in run.assets):
            before = {upstream for upstream, offset in UPSTREAM[asset] if offset == 0} | {GATES.get(asset)}
            if before & stopped:
                stopped.add(asset)
                continue
            failure = _build(platform, asset, run.day, run_id)
            if failure is None:
                report.built.append((asset, run.day))
            else:
                report.failed.append(failure)
                stopped.add(asset)
        return not stopped

    return execute


def _build(platform: Platform, asset: str, day: dt.date, run_id: str) -> Failure | None:
    """Build and publish one partition; a refused day publishes its quarantine alone."""
    refs = _pinned(platform, asset, day)
    found = read_state(platform, pinned=list(refs.values()), days=[day + offset * ONE_DAY for offset in (-1, 0, 1)])
    if why_not_built(found, asset, day, platform.clock()) or decide(found, asset, day).status is Status.CLEAN:
        return None
    with platform.store.scratch() as scratch:
        try:
            result = flow.build(platform, asset, day, refs, scratch)
            for staged in result.tables.values():
                publish(platform, staged, run_id)
        except PlatformError as error:
            return Failure(asset, day, str(error), run_id)
    if not result.failed:
        return None
    return Failure(asset, day, str(refusal(failed_checks(result)).description), run_id, is_refused=True)


def _pinned(platform: Platform, asset: str, day: dt.date) -> dict[str, PartitionRef]:
    days: dict[str, list[dt.date]] = {}
    for upstream, offset in UPSTREAM[asset]:
        of = day + offset * ONE_DAY
        if platform.settings.start_date <= of <= platform.clock().date():
            days.setdefault(upstream, []).append(of)
    return {upstream: platform.store.ref(upstream, of) for upstream, of in days.items()}
