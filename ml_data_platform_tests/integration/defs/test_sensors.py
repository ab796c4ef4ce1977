"""The sensors ask for what is due, once, and say why they do not ask."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ml_data_platform.defs.attempts import DUE_TAG
from ml_data_platform.stages import flow
from ml_data_platform_tests.pipeline_root import SHOP, PipelineRoot, day, settings_for, shop_lines
from ml_data_platform_tests.sensor_loop import SensorLoop

SENSORS = ("landing_sensor", "late_data_sensor")


@pytest.fixture
def loop(tmp_path: Path, instance: dg.DagsterInstance) -> SensorLoop:
    """The sensors over an empty root."""
    return SensorLoop(PipelineRoot(settings_for(tmp_path / "root", settle_seconds=0)), instance)


def drop(loop: SensorLoop, name: str, lines: list[dict[str, Any]]) -> None:
    """Put a file into the landing folder; nothing takes it in but the sensor."""
    folder = loop.root.settings.landing / SHOP
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    age(loop, folder / name)


def age(loop: SensorLoop, path: Path) -> None:
    """Date a file before the root's clock, so that it lies still."""
    before = loop.root.now.timestamp() - 60
    os.utime(path, (before, before), follow_symlinks=False)


def days_of(requests: list[dg.RunRequest], asset: str) -> list[str]:
    """Return the days for which runs build ``asset``, in the order of the runs."""
    return [str(each.partition_key) for each in requests if dg.AssetKey(asset) in (each.asset_selection or [])]


def test_many_files_of_a_day_become_one_run_per_layer(loop: SensorLoop) -> None:
    """Five files of two days: one ingest run, and per day one run up to the events and one from the features on."""
    for number in range(5):
        drop(loop, f"{number}.jsonl", shop_lines(day(1 + number % 2), 5, name=f"f{number}"))
    done = [request for request in loop.requests("landing_sensor") if loop.execute(request)]
    assert [each.job_name for each in done] == ["ingest"]
    # From landing to the training partitions in two looks of the other sensor, which are five seconds apart or less;
    # what is asked for is built as its runs would build it.
    for build in (loop.root.judge, loop.root.backfill):
        done += loop.requests()
        assert build().is_successful
    # Day 3 has no rows; it is built because the labels of day 2 need to know that it is empty.
    assert days_of(done, "raw_events") == [str(day(number)) for number in (1, 2, 3)]
    assert days_of(done, "session_features") == [str(day(number)) for number in (1, 2, 3)]
    assert len(loop.root.rows("date_partitions", day(1))) == 15
    assert loop.turn() == []
    sensors = {name: loop.root.definitions.resolve_sensor_def(name).minimum_interval_seconds for name in SENSORS}
    assert sensors == {"landing_sensor": 30, "late_data_sensor": 5}


def test_a_run_in_flight_is_not_asked_for_again_and_what_comes_meanwhile_needs_one_more(loop: SensorLoop) -> None:
    """While a run of the day waits or works, nothing is asked for; files that came meanwhile lead to one run more."""
    loop.root.drop("a.jsonl", shop_lines(day(1), 5, name="a"))
    assert loop.root.backfill().is_successful
    loop.root.drop("late.jsonl", shop_lines(day(1), 5, name="b"))
    (asked,) = loop.requests()
    job = loop.root.definitions.resolve_job_def("refresh_day")
    for status in (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED):
        running = loop.instance.create_run_for_job(
            job, status=status, tags={**asked.tags, "dagster/partition": str(day(1))}
        )
        loop.root.drop(f"{status.value}.jsonl", shop_lines(day(1), 5, name=status.value))
        assert loop.requests() == []
        loop.instance.delete_run(running.run_id)
    (again,) = loop.requests()
    assert loop.execute(again) is not None
    assert days_of([again, *loop.requests()], "raw_events") == [str(day(1))]
    assert len(loop.root.rows("validated_events", day(1))) == 20


def test_two_looks_at_the_same_time_ask_for_the_same_run(loop: SensorLoop) -> None:
    """Two daemons by mistake: their requests have one run key, and Dagster starts one run of it."""
    loop.root.drop("a.jsonl", shop_lines(day(1), 5))
    first, second = loop.requests(), loop.requests()
    assert [each.run_key for each in first] == [each.run_key for each in second]
    assert loop.execute(first[0]) is not None
    assert loop.execute(second[0]) is None


def test_a_refused_day_is_not_tried_again_and_says_so_until_its_inputs_change(loop: SensorLoop) -> None:
    """Red checks, no second run, the day and the reason in the skip reason; a file that repairs it is built."""
    drop(loop, "bad.jsonl", shop_lines(day(1), 10, broken=10))
    done = loop.settle()
    assert days_of(done, "validated_events") == [str(day(1)), str(day(2))]
    said = str(loop.look().skip_reason)
    assert f"blocked: {day(1)}" in said
    assert "refused by a blocking check" in said
    drop(loop, "good.jsonl", shop_lines(day(1), 400, name="more", hour=10))
    assert days_of(loop.turn(), "validated_events") == []
    assert days_of(loop.turn(), "validated_events") == [str(day(1))]
    assert len(loop.root.rows("validated_events", day(1))) == 410


def test_a_defect_is_not_tried_again_and_is_named(loop: SensorLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A programming error on one day: one failed run, its text in the skip reason, the others go on."""
    build = flow.build

    def broken(platform: Any, asset: str, of: Any, *rest: Any) -> Any:
        if (asset, of) == ("raw_events", day(1)):
            raise TypeError("a defect of the code")
        return build(platform, asset, of, *rest)

    monkeypatch.setattr(flow, "build", broken)
    loop.root.drop("a.jsonl", shop_lines(day(1), 5))
    done = loop.settle()
    assert days_of(done, "raw_events").count(str(day(1))) == 1
    assert str(day(2)) in days_of(done, "validated_events")
    assert ("validated_events", day(2)) in loop.root.heads()
    said = str(loop.look().skip_reason)
    assert f"not tried again yet: {day(1)}" in said
    assert "a defect of the code" in said
    monkeypatch.setattr(flow, "build", build)
    loop.root.drop("c.jsonl", shop_lines(day(1), 5, name="c"))
    assert str(day(1)) in days_of(loop.turn(), "raw_events")
    assert len(loop.root.rows("validated_events", day(1))) == 10


def test_losing_the_history_of_runs_loses_and_repeats_nothing(loop: SensorLoop) -> None:
    """After all runs were deleted what is built stays built; a refused day stays refused without another run."""
    drop(loop, "a.jsonl", shop_lines(day(1), 20, name="a"))
    drop(loop, "bad.jsonl", shop_lines(day(3), 10, broken=10))
    loop.settle()
    before = loop.root.generations()
    for run in loop.instance.get_runs():
        loop.instance.delete_run(run.run_id)
    assert loop.turn() == []
    drop(loop, "late.jsonl", shop_lines(day(1), 5, name="late"))
    assert days_of(loop.settle(), "raw_events") == [str(day(1))]
    assert {key for key, value in loop.root.generations().items() if value != before.get(key)} >= {
        ("date_partitions", day(1))
    }


def test_no_more_runs_are_asked_for_than_may_be_under_way(loop: SensorLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oldest days first, and those that run count; what is left is asked for as they end."""
    monkeypatch.setattr("ml_data_platform.defs.requests.MAX_IN_FLIGHT", 3)
    for number in range(1, 6):
        loop.root.drop(f"{number}.jsonl", shop_lines(day(number), 5, name=str(number)))
    asked = loop.requests()
    assert [each.partition_key for each in asked] == [str(day(number)) for number in (1, 2, 3)]
    job = loop.root.definitions.resolve_job_def("refresh_day")
    for each in asked[:2]:
        tags = {**each.tags, "dagster/partition": str(each.partition_key)}
        loop.instance.create_run_for_job(job, status=dg.DagsterRunStatus.NOT_STARTED, tags=tags)
    assert [each.partition_key for each in loop.requests()] == [str(day(3))]
    assert all(DUE_TAG in each.tags for each in asked)


def test_a_file_that_cannot_be_taken_in_does_not_start_run_after_run(loop: SensorLoop) -> None:
    """A link in the landing folder is never taken in: after one run the sensor waits, longer each time, and says so."""
    folder = loop.root.settings.landing / SHOP
    folder.mkdir(parents=True)
    (folder / "link.jsonl").symlink_to(folder / "nowhere.jsonl")
    age(loop, folder / "link.jsonl")
    (request,) = loop.requests("landing_sensor")
    assert loop.execute(request) is not None
    assert loop.requests("landing_sensor") == []
    assert "attempt 2 at" in str(loop.look("landing_sensor").skip_reason)
