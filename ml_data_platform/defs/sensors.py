"""Sensors: dropped files are taken in, and the days that differ from what is required are refreshed.

Belongs here: turning what lies in the landing folder, and the planner's answer, into run requests. Does not belong
here: the answer (``events.planning``), or whether a failure is tried again (``defs.attempts``).

Neither sensor has a cursor. What is to be done follows from what is landed, published and running at each look, so
nothing is lost with a daemon, its queue or its history, and nothing is asked for twice.
"""

import datetime as dt
from collections import Counter
from collections.abc import Collection, Sequence

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from ml_data_platform.defs.attempts import ATTEMPT_TAG, DUE_TAG, judge, pasts_of
from ml_data_platform.defs.field_checks import report_unusual_fields
from ml_data_platform.defs.late_rows import report_too_late_rows
from ml_data_platform.defs.looks import Looks, Repairs
from ml_data_platform.defs.requests import Requests, choose_requests, listed
from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.defs.runs import reap_orphans, unfinished_runs
from ml_data_platform.defs.said_again import say_again
from ml_data_platform.defs.standby import other_daemon
from ml_data_platform.defs.unusable_rows import report_unusable_rows
from ml_data_platform.events.planning import Decision, Status
from ml_data_platform.events.untrusted_text import plain
from ml_data_platform.stages.landed_files import WaitingFiles, waiting_files
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.state import current_records

REFRESH_SECONDS = 5
"""Least time between two looks at what is dirty: shorter than that of the landing folder, because what follows a run
that ended is to follow soon. Dagster looks no more often than this."""


def landing_sensor(ingest: UnresolvedAssetJobDefinition, *, interval_seconds: int) -> dg.SensorDefinition:
    """Define the sensor that takes files in; it looks at most once in ``interval_seconds``."""

    @dg.sensor(
        name="landing_sensor",
        jobs=[ingest],
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Takes in files once they lie still in the landing folder: all that are ready in one run. Holds no cursor:"
            " nothing is missed."
        ),
    )
    def landing_sensor(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.SensorResult:
        opened = platform.open()
        platform.bind(context.instance)
        if other := _other_daemon(context, opened, interval_seconds):
            return dg.SensorResult(skip_reason=plain(other))
        is_running = any(run.job_name == "ingest" for run in unfinished_runs(context.instance))
        for source, fault in opened.contracts.broken.items():
            context.log.warning(
                "the contract of %s is broken, and the others go on: %s", plain(source), plain(str(fault))
            )
        waiting = waiting_files(opened)
        if waiting.is_empty or is_running:
            return dg.SensorResult(
                skip_reason=plain(_why_no_ingest(waiting, opened.contracts.broken, is_running=is_running))
            )
        key = f"ingest-{waiting.fingerprint}"
        verdict = judge(pasts_of(context.instance, [key]).get(key, ()), dt.datetime.now(dt.UTC), interval_seconds)
        if verdict.why_not:
            return dg.SensorResult(skip_reason=plain(f"{_counted(waiting)}, but {verdict.why_not}"))
        tags = {DUE_TAG: key, ATTEMPT_TAG: str(verdict.attempt)}
        return dg.SensorResult(
            run_requests=[dg.RunRequest(job_name="ingest", run_key=f"{key}-{verdict.after}", tags=tags)]
        )

    return landing_sensor


def late_data_sensor(refresh_day: UnresolvedAssetJobDefinition, *, interval_seconds: int) -> dg.SensorDefinition:
    """Define the sensor that refreshes days.

    Args:
        refresh_day: The job that it starts.
        interval_seconds: Least time between two looks at the landing folder; it looks itself as often or oftener.
    """
    interval = min(interval_seconds, REFRESH_SECONDS)
    repairs, comparisons, looks = Repairs(), Repairs(), Looks()

    @dg.sensor(
        name="late_data_sensor",
        jobs=[refresh_day],
        minimum_interval_seconds=interval,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Refreshes the days that differ from what they should be built from, whatever day that is: one run per day"
            " and layer, however many files came. Holds no cursor: nothing is missed."
        ),
    )
    def late_data_sensor(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.SensorResult:
        opened = platform.open()
        platform.bind(context.instance)
        if other := _other_daemon(context, opened, interval):
            return dg.SensorResult(skip_reason=plain(other))
        orphans = reap_orphans(context.instance)
        for run_id in orphans:
            context.log.warning("run %s was reported as failed: its process is gone", plain(run_id))
        repairs.run(opened.store.recover, is_urgent=bool(orphans))
        comparisons.run(lambda: report_unusual_fields(context.instance, opened), is_urgent=False)
        left_open = looks.days_left_open(context.instance)
        if (left_open is None or left_open) and (said := say_again(context.instance, opened, left_open)):
            context.log.info("stored results of %s checks were said again, which no run evaluated", said)
        records = current_records(opened)
        too_late = report_too_late_rows(context.instance, opened, records)
        if too_late:
            context.log.warning(
                "the check of too-late rows was brought up to date: %s", plain(listed([*map(str, too_late)]))
            )
        if report_unusable_rows(context.instance, opened, records):
            context.log.warning("the check of rows that reach no day was brought up to date")
        # What runs is read before what is published: a run that ends in between is seen by the next look.
        running = unfinished_runs(context.instance)
        decisions = looks.at(opened, context.instance, running, everything=bool(orphans))
        now, is_whole = dt.datetime.now(dt.UTC), opened.store.objects.is_whole
        found = choose_requests(context.instance, decisions, running, now, interval, is_whole=is_whole)
        if found.held_back:
            context.log.warning("not tried again yet: %s", plain(listed(found.held_back)))
        if not found.requests:
            return dg.SensorResult(skip_reason=plain(_why_nothing(list(looks.all_decisions()), found, len(running))))
        return dg.SensorResult(run_requests=found.requests)

    return late_data_sensor


def _other_daemon(context: dg.SensorEvaluationContext, opened: Platform, interval_seconds: float) -> str | None:
    """Return why this look is left to another daemon; none where it is ours."""
    if context.instance.is_ephemeral:
        return None
    home = opened.settings.dagster_home
    other = other_daemon(home, context.sensor_name, interval_seconds, dt.datetime.now(dt.UTC))
    if other is None:
        return None
    context.log.warning("another daemon looks after this root: process %s", plain(str(other)))
    return f"another daemon looks after this root ({other}); this one stands by: end one of the two"


def _counted(waiting: WaitingFiles) -> str:
    parts = [f"{len(waiting.files)} files"] if waiting.files else []
    parts += [f"{waiting.outdated} files read under an older contract"] if waiting.outdated else []
    return f"waiting: {', '.join(parts)}"


def _why_no_ingest(waiting: WaitingFiles, broken: Collection[str], *, is_running: bool) -> str:
    if is_running and not waiting.is_empty:
        return f"{_counted(waiting)}; the next run takes in what is left once the one under way has ended"
    why = {name: "its contract is broken" if name in broken else "no such source" for name in waiting.unknown_folders}
    left = [*(f"{name}/ ({said})" for name, said in why.items()), *waiting.stray]
    ignored = f"; not taken in: {listed(left)}" if left else ""
    young = f"; still changing: {listed(waiting.unsettled)}" if waiting.unsettled else ""
    return f"no file to take in{young}{ignored}"


def _why_nothing(decisions: Sequence[Decision], found: Requests, running: int) -> str:
    counts = Counter(each.status.value for each in decisions)
    statuses = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    parts = [f"{running} runs under way; partitions: {statuses or 'none'}"]
    lacking = sorted(
        {"; ".join(each.reasons) for each in decisions if "waits for the contract" in " ".join(each.reasons)}
    )
    parts += lacking[:3]
    refused = [each for each in decisions if each.asset == "validated_events" and each.status is Status.BLOCKED]
    if refused:
        named = [f"{each.day} ({'; '.join(each.reasons)})" for each in refused]
        parts.append(f"blocked: {listed(named)}")
    if found.held_back:
        parts.append(f"not tried again yet: {listed(found.held_back)}")
    return "; ".join(parts)
