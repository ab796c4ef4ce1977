"""Requests: which runs the sensors ask for, of all that are due.

Belongs here: order, bounds and keys of run requests. Does not belong here: what is due (``events.planning``), or whether a
failure is tried again (``defs.attempts``).
"""

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

import dagster as dg

from ml_data_platform.defs.attempts import ATTEMPT_TAG, DUE_TAG, judge, pasts_of
from ml_data_platform.defs.daily import ONLY_DIRTY_TAG
from ml_data_platform.defs.runs import PARTITION_TAG
from ml_data_platform.events.due_runs import DueRun, due_runs
from ml_data_platform.events.planning import LAYERS, Decision

MAX_IN_FLIGHT = 50
"""Runs that may wait or work at once; a long repair is asked for piece by piece, so that a new file does not wait
behind all of it."""
RUN_LAYERS: tuple[tuple[str, ...], ...] = (LAYERS[0], LAYERS[1] + LAYERS[2])
"""What one run of the sensor builds: the neighbours that features read must be settled before."""
MAX_NAMED = 5


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
    *,
    is_whole: Callable[[str], bool] = lambda _key: False,
) -> Requests:
    """Choose the runs to ask for now: oldest day first, each day to its end, and no more than may be under way.

    Args:
        instance: Where earlier runs are recorded.
        decisions: The planner's answer.
        running: Runs that have not ended; a day that one of them works on is left to it.
        now: The present, aware.
        interval_seconds: Wait after a first failure.
        is_whole: Tells of a stored file whether it has the bytes that its key names.
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
        verdict = judge(pasts.get(keys[each], ()), now, interval_seconds, is_whole)
        if verdict.why_not:
            found.held_back.append(f"{each.day} {', '.join(each.assets)}: {verdict.why_not}")
        elif each.day in asked or in_flight + len(asked) >= MAX_IN_FLIGHT:
            found.queued += 1
        else:
            asked.add(each.day)
            found.requests.append(_request(each, keys[each], verdict.attempt, verdict.after))
    return found


def due_key(due: DueRun, decisions: Iterable[Decision]) -> str:
    """Return a key of one run's work: the layer, the day, the inputs required of its assets, and what of them is lost."""
    found = list(decisions)
    required = {each.asset: dict(each.required) for each in found}
    lost = [text for each in found for text in each.lost]
    text = json.dumps([due.layer, due.day.isoformat(), required, *([lost] if lost else [])], sort_keys=True)
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


def listed(names: Sequence[str]) -> str:
    """Return names as one text, bounded."""
    return ", ".join(names[:MAX_NAMED]) + (f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else "")
