"""Sensors: dropped files are taken in, and the days they touched are refreshed.

Belongs here: turning the planner's answer into run requests. Does not belong here: the answer
(``events.planning``).
"""

import datetime as dt
import hashlib
import json
from collections import Counter
from collections.abc import Sequence

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from ml_data_platform.defs.daily import ONLY_DIRTY_TAG
from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.defs.runs import reap_orphans
from ml_data_platform.events.planning import LAYERS, Decision, DueRun, due_runs, expected_days, plan
from ml_data_platform.stages.landed_files import WaitingFiles, waiting_files
from ml_data_platform.stages.state import read_state

DUE_TAG = "ml_data_platform/due"
PARTITION_TAG = "dagster/partition"
MAX_ATTEMPTS = 3
MAX_REQUESTS_PER_TICK = 50
RUN_LAYERS: tuple[tuple[str, ...], ...] = (LAYERS[0], LAYERS[1] + LAYERS[2])
"""What one run of the sensor builds: the neighbours that features read must be settled before."""
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def landing_sensor(
    ingest: UnresolvedAssetJobDefinition, refresh_day: UnresolvedAssetJobDefinition, *, interval_seconds: int
) -> dg.SensorDefinition:
    """Define the sensor that starts these jobs; it looks at most once in ``interval_seconds``."""

    @dg.sensor(
        name="landing_sensor",
        jobs=[ingest, refresh_day],
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Takes in files once they lie still in the landing folder, and refreshes the days that differ from what "
            "they should be built from, whatever day that is. Holds no cursor: nothing is missed."
        ),
    )
    def landing_sensor(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.SensorResult:
        opened = platform.open()
        platform.bind(context.instance)
        reap_orphans(context.instance)
        opened.store.recover()
        running = _unfinished(context.instance)
        requests: list[dg.RunRequest] = []
        waiting = waiting_files(opened)
        if not waiting.is_empty and not any(run.job_name == "ingest" for run in running):
            attempt = _attempts(context.instance, waiting.fingerprint)
            requests.append(
                dg.RunRequest(
                    job_name="ingest",
                    run_key=f"ingest-{waiting.fingerprint}-{attempt}",
                    tags={DUE_TAG: waiting.fingerprint},
                )
            )
        state = read_state(opened)
        decisions = plan(state, expected_days(state))
        busy = {run.tags.get(PARTITION_TAG) for run in running}
        for due in due_runs(decisions, RUN_LAYERS):
            if due.day.isoformat() in busy or len(requests) >= MAX_REQUESTS_PER_TICK:
                continue
            request = _request(context, due, decisions)
            if request is not None:
                requests.append(request)
        if not requests:
            return dg.SensorResult(skip_reason=_why_nothing(decisions, len(running), waiting))
        return dg.SensorResult(run_requests=requests)

    return landing_sensor


def _unfinished(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    return list(instance.get_runs(filters=dg.RunsFilter(statuses=UNFINISHED)))


def _attempts(instance: dg.DagsterInstance, due: str) -> int:
    return int(instance.get_runs_count(filters=dg.RunsFilter(tags={DUE_TAG: due})))


def _request(context: dg.SensorEvaluationContext, due: DueRun, decisions: Sequence[Decision]) -> dg.RunRequest | None:
    key = due_key(due, decisions)
    attempt = _attempts(context.instance, key)
    if attempt >= MAX_ATTEMPTS:
        context.log.warning("%s: gave up after %s runs on the same inputs; see the last one", due.day, attempt)
        return None
    assets = [*due.assets, *(["quarantined_events"] if "validated_events" in due.assets else [])]
    return dg.RunRequest(
        job_name="refresh_day",
        run_key=f"{key}-{attempt}",
        partition_key=due.day.isoformat(),
        asset_selection=[dg.AssetKey(asset) for asset in assets],
        tags={DUE_TAG: key, ONLY_DIRTY_TAG: "true"},
    )


def due_key(due: DueRun, decisions: Sequence[Decision]) -> str:
    """Return a key of one run's work: the layer, the day and the inputs required of its assets."""
    required = {
        each.asset: dict(each.required) for each in decisions if each.day == due.day and each.asset in due.assets
    }
    text = json.dumps([due.layer, due.day.isoformat(), required], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _why_nothing(decisions: Sequence[Decision], running: int, waiting: WaitingFiles) -> str:
    counts = Counter(each.status.value for each in decisions)
    found = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    left = [*(f"{name}/ (no such source)" for name in waiting.unknown_folders), *waiting.stray]
    ignored = f"; not taken in: {', '.join(left[:3])}{' …' if len(left) > 3 else ''}" if left else ""
    return f"{running} runs under way; partitions: {found or 'none'} at {dt.datetime.now(dt.UTC):%H:%M:%S} UTC{ignored}"
