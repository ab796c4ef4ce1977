"""When work that was tried before may be asked for again."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest

from ml_data_platform.defs.attempts import LONGEST_WAIT_SECONDS, Ending, Past, judge, what_failed

NOW = dt.datetime(2026, 3, 20, 12, tzinfo=dt.UTC)


def past(ending: Ending, seconds_ago: float) -> Past:
    """Return a run that ended some time ago."""
    return Past(f"run-{seconds_ago}", ending, NOW - dt.timedelta(seconds=seconds_ago), "said")


def test_work_that_was_never_tried_may_start() -> None:
    """As its first attempt, after no run."""
    verdict = judge([], NOW, 5)
    assert (verdict.attempt, verdict.after, verdict.why_not) == (1, "", "")


@pytest.mark.parametrize(("tried", "wait"), [(1, 5), (2, 10), (3, 20), (10, 2_560), (11, 3_600), (400, 3_600)])
def test_the_wait_doubles_up_to_an_hour_and_never_becomes_for_ever(tried: int, wait: int) -> None:
    """Just before the wait is over it may not, just after it may; the attempts are counted."""
    assert wait <= LONGEST_WAIT_SECONDS
    early = [past(Ending.MAY_PASS, wait - 0.5), *[past(Ending.MAY_PASS, 90_000)] * (tried - 1)]
    late = [past(Ending.MAY_PASS, wait + 0.5), *[past(Ending.MAY_PASS, 90_000)] * (tried - 1)]
    assert f"attempt {tried + 1} at" in judge(early, NOW, 5).why_not
    assert judge(late, NOW, 5).why_not == ""
    assert judge(late, NOW, 5).attempt == tried + 1


def test_what_would_fail_again_is_not_tried_again() -> None:
    """However long ago it was; the reason names the run and what it said."""
    why_not = judge([past(Ending.WOULD_FAIL_AGAIN, 1e6), past(Ending.MAY_PASS, 2e6)], NOW, 5).why_not
    assert "run-1000" in why_not
    assert "said" in why_not


def test_a_run_that_ended_well_and_left_its_work_undone_is_tried_later() -> None:
    """Neither at once, which could loop, nor never, which could miss."""
    assert judge([past(Ending.SUCCEEDED, 1)], NOW, 5).why_not
    assert not judge([past(Ending.SUCCEEDED, 6)], NOW, 5).why_not


def test_work_over_damaged_bytes_is_asked_for_once_they_are_whole() -> None:
    """Not again and again before, however long that takes, and without a wait then."""
    tried = [Past("run-1", Ending.DAMAGED, NOW - dt.timedelta(seconds=1), "said", "raw/abc")] * 9
    asked: list[str] = []
    why_not = judge(tried, NOW + dt.timedelta(days=9), 5, lambda key: bool(asked.append(key))).why_not
    assert "said" in why_not
    assert judge(tried, NOW, 5, lambda _: True).why_not == ""
    assert asked == ["raw/abc"]


def error(*names: str) -> Any:
    """Return a chain of serialised errors, outermost first."""
    found = None
    for name in reversed(names):
        found = SimpleNamespace(cls_name=name, message=f"{name}: text", cause=found)
    return found


@pytest.mark.parametrize(
    "names",
    [
        ("DagsterExecutionStepExecutionError", "OSError"),
        ("DagsterExecutionHandleOutputError", "ConnectionResetError"),
        ("DagsterExecutionStepExecutionError", "CommitConflictError"),
        ("IOException",),
        ("DagsterExecutionStepExecutionError", "RecordError"),
        ("DagsterExecutionLoadInputError", "VerificationError"),
        ("DagsterExecutionInterruptedError",),
    ],
)
def test_storage_and_the_end_of_a_process_may_pass(names: tuple[str, ...]) -> None:
    """The cause counts, however it is wrapped; damaged bytes wait for their repair, which changes no input."""
    assert what_failed(error(*names), None)[0]


@pytest.mark.parametrize("name", ["TypeError", "DagsterAssetCheckFailedError", "SchemaMismatchError", "MemoryError"])
def test_defects_and_refusals_would_fail_again(name: str) -> None:
    """The same inputs give the same answer."""
    may_pass, what = what_failed(error("DagsterExecutionStepExecutionError", name), None)
    assert not may_pass
    assert name in what


def test_the_class_that_a_failure_names_counts() -> None:
    """Errors of the platform reach Dagster as a Failure that names their class."""
    for name, may_pass in (("CommitConflictError", True), ("ContractError", False)):
        failure = SimpleNamespace(description="why", metadata={"error": SimpleNamespace(text=name)})
        assert what_failed(None, failure) == (may_pass, "why")
