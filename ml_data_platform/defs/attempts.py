"""Attempts: whether a piece of work that was tried before may be asked for again, and when.

Belongs here: what became of earlier runs of the same inputs, and how long to wait after them. Does not belong here:
which work is due (``events.planning``), or starting it (``defs.sensors``).

A failure that may pass (storage, a process that was killed) is tried again later and later, without end: at worst once
an hour, so that a long outage mends itself. A failure that the same inputs give again is not, until the inputs change. One over stored bytes that are damaged is tried
again once they are whole, and not before.
All that is known is read from the runs themselves: where their history was deleted, the work is tried once more.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

import dagster as dg

DUE_TAG = "ml_data_platform/due"
ATTEMPT_TAG = "ml_data_platform/attempt"
LONGEST_WAIT_SECONDS = 3_600
MAX_DOUBLINGS = 12
MAX_SHOWN = 160
DAMAGED_KEY = "damaged"
"""Under which a failed step carries the key of the stored file that it refused to build upon."""
KEYS_PER_QUERY = 200


class Ending(StrEnum):
    """How a run ended, as far as trying again is concerned."""

    SUCCEEDED = "ended well"
    MAY_PASS = "failed, which may pass"  # noqa: S105 - no password
    WOULD_FAIL_AGAIN = "failed"
    DAMAGED = "failed, until stored bytes are repaired"


@dataclass(frozen=True)
class Past:
    """One run that ended.

    Attributes:
        run_id: The run.
        ending: How it ended.
        at: When, aware.
        what: What it said.
        damaged: Key of the stored file that it refused to build upon; empty where there was none.
    """

    run_id: str
    ending: Ending
    at: dt.datetime
    what: str = ""
    damaged: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether work may be asked for now.

    Attributes:
        attempt: Number of the next run of the same inputs, from 1 on.
        after: The run before it; empty for the first. With the inputs it names the attempt, so that two who ask at
            the same time ask for the same.
        why_not: Why not now; empty where it may.
    """

    attempt: int
    after: str = ""
    why_not: str = ""


def judge(
    pasts: Sequence[Past],
    now: dt.datetime,
    interval_seconds: float,
    is_whole: Callable[[str], bool] = lambda _key: False,
) -> Verdict:
    """Decide whether work may be asked for (again).

    Args:
        pasts: The runs of the same inputs that ended, newest first.
        now: The present, aware.
        interval_seconds: Wait after the first run; it doubles with each further one, up to an hour.
        is_whole: Tells of a stored file whether it has the bytes that its key names.
    """
    if not pasts:
        return Verdict(1)
    newest, number = pasts[0], len(pasts) + 1
    if newest.ending is Ending.WOULD_FAIL_AGAIN:
        return Verdict(number, newest.run_id, f"run {newest.run_id[:8]} failed on these inputs: {newest.what}")
    if newest.ending is Ending.DAMAGED:
        why = "" if is_whole(newest.damaged) else f"run {newest.run_id[:8]} failed: {newest.what}"
        return Verdict(number, newest.run_id, why)
    wait = min(interval_seconds * 2 ** min(len(pasts) - 1, MAX_DOUBLINGS), LONGEST_WAIT_SECONDS)
    due = newest.at + dt.timedelta(seconds=wait)
    if now < due:
        said = f" ({newest.what})" if newest.what else ""
        why = f"run {newest.run_id[:8]} {newest.ending.value}{said}; attempt {number} at {due:%H:%M:%S} UTC"
        return Verdict(number, newest.run_id, why)
    return Verdict(number, newest.run_id)


def pasts_of(instance: dg.DagsterInstance, keys: Iterable[str]) -> Mapping[str, Sequence[Past]]:
    """Return the ended runs of each piece of work, newest first; work without any is left out."""
    wanted = sorted(set(keys))
    found: dict[str, list[Past]] = {}
    for start in range(0, len(wanted), KEYS_PER_QUERY):
        tags = {DUE_TAG: wanted[start : start + KEYS_PER_QUERY]}
        for record in instance.get_run_records(filters=dg.RunsFilter(tags=tags)):
            run = record.dagster_run
            if run.is_finished:
                at = dt.datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), dt.UTC)
                ending, what, damaged = _ending(instance, run)
                past = Past(run.run_id, ending, at, what, damaged)
                found.setdefault(run.tags[DUE_TAG], []).append(past)
    return found


_ENDINGS: dict[str, tuple[Ending, str, str]] = {}
"""What was found out about failed runs: they have ended and say the same for ever."""


def _ending(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[Ending, str, str]:
    if run.status is dg.DagsterRunStatus.SUCCESS:
        return Ending.SUCCEEDED, "its inputs were not what is required now", ""
    if run.run_id not in _ENDINGS:
        _ENDINGS[run.run_id] = _how_it_failed(instance, run)
    return _ENDINGS[run.run_id]


def _how_it_failed(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[Ending, str, str]:
    if run.status is dg.DagsterRunStatus.CANCELED:
        return Ending.MAY_PASS, "it was stopped", ""
    records = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    steps = [
        event.step_failure_data for record in records if (event := record.event_log_entry.dagster_event) is not None
    ]
    failures = [what_failed(step.error, step.user_failure_data) for step in steps]
    if not failures:
        return Ending.MAY_PASS, "no step failed: its process died, or it was never started", ""
    for step, (_, what) in zip(steps, failures, strict=True):
        damaged = _told(step.user_failure_data, DAMAGED_KEY)
        if damaged:
            return Ending.DAMAGED, what, damaged
    lasting = [what for may_pass, what in failures if not may_pass]
    if len(lasting) == len(failures):
        return Ending.WOULD_FAIL_AGAIN, lasting[0], ""
    return Ending.MAY_PASS, next(what for may_pass, what in failures if may_pass), ""


def what_failed(error: Any, user_failure: Any) -> tuple[bool, str]:
    """Tell of a failed step whether the same inputs may succeed later, and what it said, bounded.

    Args:
        error: Dagster's serialised error; it may be missing.
        user_failure: What a ``Failure`` carried, e.g. the class of an error of the platform; it may be missing.
    """
    names, message = [], ""
    while error is not None:
        names.append(error.cls_name or "")
        message = " ".join(error.message.split())
        error = error.cause
    if user_failure is not None:
        names.append(_told(user_failure, "error"))
        message = user_failure.description or message
    return bool(passing_errors() & set(names)), message[:MAX_SHOWN]


def _told(user_failure: Any, name: str) -> str:
    """Return a text that a ``Failure`` carried; empty where it has none."""
    told = None if user_failure is None else user_failure.metadata.get(name)
    return str(getattr(told, "text", told) or "")


@lru_cache(maxsize=1)
def passing_errors() -> frozenset[str]:
    """Return the names of the errors that may be gone when the same work is tried again.

    Storage, the network, a database that is locked, another writer, stored bytes that wait for their repair, and the end
    of a process.
    """
    named = {"IOException", "OperationalError", "CommitConflictError", "CommitExpiredError", "CommitStateUnknownError"}
    # Stored bytes that are damaged: a repair, or a copy from a backup, mends them without changing any input.
    damaged = {"RecordError", "VerificationError", "DamagedObjectError"}
    ended = {"DagsterExecutionInterruptedError", "KeyboardInterrupt", "SystemExit"}
    return frozenset(named | damaged | ended | {kind.__name__ for kind in _with_subclasses(OSError)})


def _with_subclasses(kind: type[BaseException]) -> set[type[BaseException]]:
    return {kind}.union(*(_with_subclasses(each) for each in kind.__subclasses__()))
