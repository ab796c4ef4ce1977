"""Backfill: bring a range of days up to date in this process, layer by layer.

Belongs here: running the planner's answer through Dagster and telling what came of it. Does not belong here:
printing (``cli``).
"""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError

from ml_data_platform.defs.command_runs import listed_under
from ml_data_platform.defs.daily import ONLY_DIRTY_TAG, REFUSED
from ml_data_platform.defs.owners import this_process
from ml_data_platform.defs.runs import OWNER_TAG
from ml_data_platform.events.due_runs import DueRun, due_runs
from ml_data_platform.events.lateness import ONE_DAY
from ml_data_platform.events.planning import LAYERS, Decision, State, Status, plan
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.state import read_state
from ml_data_platform.storage.keys import USER_ID

BACKFILL_TAG = "ml_data_platform/backfill"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""The run's events go to the instance; on the console they would bury the progress."""


@dataclass(frozen=True)
class Failure:
    """One asset of one day that a run did not build.

    Attributes:
        asset: Asset name.
        day: UTC day.
        why: What the run said.
        run_id: The run.
        is_refused: Whether its own blocking checks refused it: it is built again once its inputs change.
    """

    asset: str
    day: dt.date
    why: str
    run_id: str
    is_refused: bool = False


@dataclass
class BackfillReport:
    """What a backfill did.

    Attributes:
        runs: Runs started.
        built: Asset and day of each partition that a run brought up to date.
        failed: What failed in this backfill.
        blocked: Decisions about partitions that were not run, because a refused day stands before them.
        not_complete: Days of the range that have not begun, or are not over and have no landed rows.
    """

    runs: int = 0
    built: list[tuple[str, dt.date]] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    blocked: list[Decision] = field(default_factory=list)
    not_complete: list[dt.date] = field(default_factory=list)

    @property
    def is_successful(self) -> bool:
        """Whether everything of the range is built."""
        return not self.failed and not self.blocked


@dataclass(frozen=True)
class Progress:
    """Where a backfill stands, before (``succeeded`` is none) and after each run.

    Attributes:
        layer: Number of the layer, from 0.
        done: Runs of the layer that ended.
        total: Runs of the layer.
        run: The run that begins or ended.
        succeeded: How it ended.
    """

    layer: int
    done: int
    total: int
    run: DueRun
    succeeded: bool | None


def days_between(first: dt.date, last: dt.date) -> list[dt.date]:
    """Return the days from ``first`` to ``last``, both included."""
    return [first + offset * ONE_DAY for offset in range((last - first).days + 1)]


def backfill(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    platform: Platform,
    days: Iterable[dt.date],
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> BackfillReport:
    """Build what is dirty among ``days``; what is clean is left, so that a broken backfill goes on where it was.

    Each layer is planned anew from what is published. Neighbours of the days whose features were published before
    are refreshed with them. A run that fails stops no other day.

    Args:
        definitions: The code location of the root.
        instance: The instance of the root; every run is recorded there.
        platform: The opened root.
        days: UTC days.
        on_progress: Called before and after each run.

    Raises:
        SettingsError: The key of the user ids is lost, or another than the root's: nothing is built.
        KeyboardInterrupt: Ctrl-C was pressed; the run under way is recorded as failed, what is published stays.
    """
    job = definitions.resolve_job_def("refresh_day")
    return build_dirty(platform, days, lambda run, report: _execute(job, instance, run, report), on_progress)


def build_dirty(
    platform: Platform,
    days: Iterable[dt.date],
    execute: Callable[[DueRun, BackfillReport], bool],
    on_progress: Callable[[Progress], None] = lambda _: None,
    layers: Sequence[Sequence[str]] = LAYERS,
) -> BackfillReport:
    """Do what `backfill` does, with runs as ``execute`` makes them.

    Args:
        platform: The opened root.
        days: UTC days.
        execute: Makes one run, and adds what it built and what failed to the report; returns whether all is built.
        on_progress: Called before and after each run.
        layers: Those to build, from the first on.

    Raises:
        SettingsError: The key of the user ids is lost, or another than the root's: nothing is built.
    """
    platform.keys.require(USER_ID)
    report = BackfillReport()
    state = read_state(platform)
    requested = _buildable(state, sorted(set(days)), platform.clock(), report)
    for number, layer in enumerate(layers):
        state = read_state(platform)
        wanted = requested if number == 0 else _with_published_neighbours(state, requested, layer[0])
        decisions = plan(state, wanted, assets=layer, is_requested=True)
        due = due_runs(decisions)
        for done, run in enumerate(due):
            on_progress(Progress(number, done, len(due), run, None))
            succeeded = execute(run, report)
            on_progress(Progress(number, done + 1, len(due), run, succeeded))
        _note_blocked(platform, wanted, layer, report)
    return report


def _buildable(state: State, days: Sequence[dt.date], now: dt.datetime, report: BackfillReport) -> list[dt.date]:
    """Keep the days that have begun and are over, or have landed rows, or were built before."""
    today = now.astimezone(dt.UTC).date()
    has_rows = {day for day in days if state.landed.get(day) or state.head("raw_events", day)}
    is_known = {day for day in days if day < today or (day == today and day in has_rows)}
    report.not_complete = [day for day in days if day not in is_known]
    return [day for day in days if day in is_known]


def _with_published_neighbours(state: State, days: Sequence[dt.date], asset: str) -> list[dt.date]:
    beside = {day + offset * ONE_DAY for day in days for offset in (-1, 1)}
    return sorted(set(days) | {day for day in beside if state.head(asset, day) is not None})


def _execute(job: dg.JobDefinition, instance: dg.DagsterInstance, run: DueRun, report: BackfillReport) -> bool:
    assets = [*run.assets, *(["quarantined_events"] if "validated_events" in run.assets else [])]
    with listed_under(instance, job.name):
        result = job.execute_in_process(
            instance=instance,
            partition_key=run.day.isoformat(),
            asset_selection=[dg.AssetKey(asset) for asset in assets],
            run_config=QUIET,
            tags={BACKFILL_TAG: "command line", ONLY_DIRTY_TAG: "true", OWNER_TAG: this_process()},
            raise_on_error=False,
        )
    if any(_is_interrupted(event) for event in result.all_events if event.is_step_failure):
        # Dagster holds Ctrl-C back until a step can take it, and reports a failed step in its place.
        raise KeyboardInterrupt
    report.runs += 1
    failed = {event.step_key: event for event in result.all_events if event.is_step_failure}
    for asset in run.assets:
        if asset in failed:
            why, is_refused = _why(failed[asset])
            report.failed.append(Failure(asset, run.day, why, result.run_id, is_refused))
        elif result.success or any(event.step_key == asset and event.is_step_success for event in result.all_events):
            report.built.append((asset, run.day))
    if not result.success and not failed:
        report.failed.append(Failure(run.assets[0], run.day, "the run did not start; see it in the UI", result.run_id))
    return bool(result.success)


def _is_interrupted(event: dg.DagsterEvent) -> bool:
    error = event.step_failure_data.error
    while error is not None:
        if error.cls_name == DagsterExecutionInterruptedError.__name__:
            return True
        error = error.cause
    return False


def _why(event: dg.DagsterEvent) -> tuple[str, bool]:
    """Return what a failed step said, without the classes that it came through, and whether checks refused it."""
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    failure = event.step_failure_data.user_failure_data
    if failure is not None:
        return failure.description or "failed", getattr(failure.metadata.get("error"), "text", None) == REFUSED
    if error is None:
        return "failed", False
    message = " ".join(error.message.split())
    is_named = error.cls_name is not None and error.cls_name in message.partition(":")[0]
    return (message.partition(": ")[2] if is_named else message)[:500], False


def _note_blocked(platform: Platform, days: Sequence[dt.date], layer: Sequence[str], report: BackfillReport) -> None:
    failed = {(failure.asset, failure.day) for failure in report.failed}
    for decision in plan(read_state(platform), days, assets=layer, is_requested=True):
        if decision.status is Status.BLOCKED and (decision.asset, decision.day) not in failed:
            report.blocked.append(decision)
        elif decision.status in {Status.DIRTY, Status.WAITING} and (decision.asset, decision.day) not in failed:
            behind = f"not built: it waits for what failed before it on {decision.day}"
            if not report.failed:
                behind = "not built: what it is built from changed meanwhile; another backfill builds it"
            report.failed.append(Failure(decision.asset, decision.day, behind, ""))
