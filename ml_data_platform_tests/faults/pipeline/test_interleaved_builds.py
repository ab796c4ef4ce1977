"""Two builds of one partition at once: what was built from stale inputs never replaces what is current."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dagster as dg
import pytest

from ml_data_platform.errors import CommitConflictError
from ml_data_platform.stages import flow
from ml_data_platform_tests.pipeline_root import PipelineRoot, day, shop_lines

OF = day(2)
EVENTS = ["raw_events", "validated_events", "quarantined_events"]


def overtake(root: PipelineRoot) -> None:
    """Land one more file and build the day's events, as another process does."""
    root.drop("overtaking.jsonl", shop_lines(OF, 10, name="overtaking"))
    with ThreadPoolExecutor(1) as other:
        report = other.submit(root.backfill, [OF]).result()
    assert report.is_successful


def overtaken(
    monkeypatch: pytest.MonkeyPatch, root: PipelineRoot, asset: str, moment: str
) -> Callable[[], dict[Any, Any]]:
    """Let another build overtake the first build of ``asset``, before it looks at the head or after it built."""
    real = flow.build
    published: list[dict[Any, Any]] = []

    def build(platform: Any, name: str, *rest: Any) -> Any:
        if name != asset or published:
            return real(platform, name, *rest)
        published.append({})
        result = real(platform, name, *rest) if moment == "after the build" else None
        overtake(root)
        published[0] = root.heads()
        return result or real(platform, name, *rest)

    monkeypatch.setattr(flow, "build", build)
    return lambda: published[0]


@pytest.mark.parametrize("moment", ["before the build", "after the build"])
def test_a_build_from_stale_inputs_is_refused(
    copied_root: PipelineRoot, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A run that pinned old rows ends with a conflict once others published newer ones, and changes nothing."""
    copied_root.drop("first.jsonl", shop_lines(OF, 10, name="first"))
    assert copied_root.run(OF, ["raw_events"], instance).success
    by_others = overtaken(monkeypatch, copied_root, "validated_events", moment)
    result = copied_root.run(OF, EVENTS[1:], instance)
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    error = failure.step_failure_data.error
    assert error.cause.cls_name == CommitConflictError.__name__
    assert copied_root.heads() == by_others()
    published = {row["event_id"] for row in copied_root.rows("validated_events", OF)}
    assert {f"demo_shop:{OF}-{name}-{number}" for name in ("first", "overtaking") for number in range(10)} <= published
    assert copied_root.backfill([OF]).runs == 0


def test_a_build_that_others_did_too_changes_nothing(
    copied_root: PipelineRoot, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs from the same inputs, one overtaking the other: both end well, there is one new generation."""
    copied_root.drop("first.jsonl", shop_lines(OF, 10, name="first"))
    assert copied_root.run(OF, ["raw_events"], instance).success
    before, real = copied_root.generations(), flow.build
    inside: list[bool] = []

    def build(platform: Any, name: str, *rest: Any) -> Any:
        result = real(platform, name, *rest)
        if name == "validated_events" and not inside:
            inside.append(True)
            with ThreadPoolExecutor(1) as other:
                assert other.submit(copied_root.backfill, [OF]).result().is_successful
        return result

    monkeypatch.setattr(flow, "build", build)
    assert copied_root.run(OF, EVENTS[1:], instance).success
    after = copied_root.generations()
    assert {asset: after[asset, OF] - before[asset, OF] for asset in EVENTS} == dict(
        zip(EVENTS, (0, 1, 1), strict=True)
    )
