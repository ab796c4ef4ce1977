"""Sensors: dropped files are taken in, and the days that differ from what is required are refreshed.

Belongs here: turning what lies in the landing folder, and the planner's answer, into run requests. Does not belong
here: the answer (``events.planning``), or whether a failure is tried again (``defs.attempts``).

Neither sensor has a cursor. What is to be done follows from what is landed, published and running at each look, so
nothing is lost with a daemon, its queue or its history, and nothing is asked for twice.
"""

import datetime as dt
import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from ml_data_platform.defs.attempts import ATTEMPT_TAG, DUE_TAG, judge, pasts_of
from ml_data_platform.defs.daily import ONLY_DIRTY_TAG
from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.defs.runs import reap_orphans, unfinished_runs
from ml_data_platform.events.planning import LAYERS, Decision, DueRun, Status, due_runs, expected_days, plan
from ml_data_platform.stages.landed_files import WaitingFiles, waiting_files
from ml_data_platform.stages.state import read_state

PARTITION_TAG = "dagster/partition"
MAX_IN_FLIGHT = 50
"""Runs that may wait or work at once; a long repair is asked for piece by piece, so that a new file does not wait
behind all of it."""
REFRESH_SECONDS = 5
"""Least time between two looks at what is dirty: shorter than that of the landing folder, because what follows a run
that ended is to follow soon. Dagster looks no more often than this."""
RUN_LAYERS: tuple[tuple[str, ...], ...] = (LAYERS[0], LAYERS[1] + LAYERS[2])
"""What one run of the sensor builds: the neighbours that features read must be settled before."""
MAX_NAMED = 5


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
        is_running = any(run.job_name == "ingest" for run in unfinished_runs(context.instance))
        waiting = waiting_files(opened)
        if waiting.is_empty or is_running:
            return dg.SensorResult(skip_reason=_why_no_ingest(waiting, is_running=is_running))
        key = f"ingest-{waiting.fingerprint}"
        verdict = judge(pasts_of(context.instance, [key]).get(key, ()), dt.datetime.now(dt.UTC), interval_seconds)
        if verdict.why_not:
            return dg.SensorResult(skip_reason=f"{_counted(waiting)}, but {verdict.why_not}")
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
        for run_id in reap_orphans(context.instance):
            context.log.warning("run %s was reported as failed: its process is gone", run_id)
        opened.store.recover()
        # What runs is read before what is published: a run that ends in between is seen by the next look.
        running = unfinished_runs(context.instance)
        state = read_state(opened)
        decisions = plan(state, expected_days(state))
        found = choose_requests(context.instance, decisions, running, dt.datetime.now(dt.UTC), interval)
        if found.held_back:
            context.log.warning("not tried again yet: %s", _listed(found.held_back))
        if not found.requests:
            return dg.SensorResult(skip_reason=_why_nothing(decisions, found, len(running)))
        return dg.SensorResult(run_requests=found.requests)

    return late_data_sensor


@dataclass
class Requests:
    """What one look asks for.

    Attributes:
        requests: The runs.
        held_back: One line for each due run that is not asked for, because of how earlier ones ended.
        queued: Number of due runs that wait for others to end.
    """

    requests: list[dg.RunRequest] = field(default_factory=list)
    held_back: list[str] = field(default_factory=list)
    queued: int = 0


def choose_requests(
    instance: dg.DagsterInstance,
    decisions: Sequence[Decision],
    running: Collection[dg.DagsterRun],
    now: dt.datetime,
    interval_seconds: float,
) -> Requests:
    """Choose the runs to ask for now: oldest day first, each day to its end, and no more than may be under way.

    Args:
        instance: Where earlier runs are recorded.
        decisions: The planner's answer.
        running: Runs that have not ended; a day that one of them works on is left to it.
        now: The present, aware.
        interval_seconds: Wait after a first failure.
    """
    found = Requests()
    busy = {run.tags.get(PARTITION_TAG) for run in running}
    in_flight = sum(DUE_TAG in run.tags for run in running)
    due = sorted(due_runs(decisions, RUN_LAYERS), key=lambda each: (each.day, each.layer))
    free = [each for each in due if each.day.isoformat() not in busy]
    of_partition = {(each.asset, each.day): each for each in decisions}
    keys = {each: due_key(each, [of_partition[asset, each.day] for asset in each.assets]) for each in free}
    pasts = pasts_of(instance, keys.values())
    asked: set[dt.date] = set()
    for each in free:
        verdict = judge(pasts.get(keys[each], ()), now, interval_seconds)
        if verdict.why_not:
            found.held_back.append(f"{each.day} {', '.join(each.assets)}: {verdict.why_not}")
        elif each.day in asked or in_flight + len(asked) >= MAX_IN_FLIGHT:
            found.queued += 1
        else:
            asked.add(each.day)
            found.requests.append(_request(each, keys[each], verdict.attempt, verdict.after))
    return found


def due_key(due: DueRun, decisions: Iterable[Decision]) -> str:
    """Return a key of one run's work: the layer, the day and the inputs required of its assets."""
    required = {each.asset: dict(each.required) for each in decisions}
    text = json.dumps([due.layer, due.day.isoformat(), required], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _request(due: DueRun, key: str, attempt: int, after: str) -> dg.RunRequest:
    assets = [*due.assets, *(["quarantined_events"] if "validated_events" in due.assets else [])]
    return dg.RunRequest(
        job_name="refresh_day",
        run_key=f"{key}-{after}",
        partition_key=due.day.isoformat(),
        asset_selection=[dg.AssetKey(asset) for asset in assets],
        tags={DUE_TAG: key, ATTEMPT_TAG: str(attempt), ONLY_DIRTY_TAG: "true"},
    )


def _counted(waiting: WaitingFiles) -> str:
    parts = [f"{len(waiting.files)} files"] if waiting.files else []
    parts += [f"{waiting.outdated} files read under an older contract"] if waiting.outdated else []
    return f"waiting: {', '.join(parts)}"


def _why_no_ingest(waiting: WaitingFiles, *, is_running: bool) -> str:
    if is_running and not waiting.is_empty:
        return f"{_counted(waiting)}; the next run takes in what is left once the one under way has ended"
    left = [*(f"{name}/ (no such source)" for name in waiting.unknown_folders), *waiting.stray]
    ignored = f"; not taken in: {_listed(left)}" if left else ""
    young = f"; still changing: {_listed(waiting.unsettled)}" if waiting.unsettled else ""
    return f"no file to take in{young}{ignored}"


def _why_nothing(decisions: Sequence[Decision], found: Requests, running: int) -> str:
    counts = Counter(each.status.value for each in decisions)
    statuses = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    parts = [f"{running} runs under way; partitions: {statuses or 'none'}"]
    refused = [each for each in decisions if each.asset == "validated_events" and each.status is Status.BLOCKED]
    if refused:
        named = [f"{each.day} ({'; '.join(each.reasons)})" for each in refused]
        parts.append(f"blocked: {_listed(named)}")
    if found.held_back:
        parts.append(f"not tried again yet: {_listed(found.held_back)}")
    return "; ".join(parts)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_NAMED]) + (f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else "")
