"""The daemon is killed within a look of a sensor: before, between and after what the look leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import yaml

from ml_data_platform.defs.attempts import DUE_TAG
from ml_data_platform_tests.faults.pipeline.killed_ticks import IN_RUNS, INSTANCE, POINTS
from ml_data_platform_tests.pipeline_root import SHOP, START, PipelineRoot, day, settings_for, shop_lines

EVERYWHERE = [
    *(("landing_sensor", point) for point in (*POINTS, IN_RUNS[0])),
    *(("late_data_sensor", point) for point in (*POINTS, IN_RUNS[1])),
]
"""`make ticks` strikes at all of them."""
STRUCK = EVERYWHERE if os.environ.get("ALL_POINTS") else [EVERYWHERE[number] for number in (3, 5, 8)]
ROUNDS_TO_REST = 12
EVENTS = 5


@contextmanager
def looks(root: PipelineRoot, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start the program that forks a daemon for each order."""
    home = root.settings.dagster_home
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text(yaml.safe_dump(INSTANCE), encoding="utf-8")
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "ML_DATA_PLATFORM_ROOT": str(root.folder),
        "ML_DATA_PLATFORM_START_DATE": START.isoformat(),
        "ML_DATA_PLATFORM_SETTLE_SECONDS": "0",
        "ML_DATA_PLATFORM_SENSOR_INTERVAL_SECONDS": "1",
    }
    command = [sys.executable, "-m", "ml_data_platform_tests.faults.pipeline.killed_ticks"]
    with (
        (folder / "log").open("w", encoding="utf-8") as log,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment, text=True
        ) as process,
    ):
        yield process
        assert process.stdin is not None
        process.stdin.close()


def order(process: subprocess.Popen[str], kill: tuple[str, str] | None, rounds: int) -> int:
    """Have one daemon go round; returns its exit status, negative where it was killed."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps({"kill": kill, "rounds": rounds}) + "\n")
    process.stdin.flush()
    return int(process.stdout.readline())


def test_a_look_that_dies_at_any_point_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Files come, and each look of either sensor dies at the next point: in the end each event is there once.

    Every file was taken in once, each piece of work was done by one run that succeeded, and none is left unfinished.
    """
    root = PipelineRoot(settings_for(tmp_path / "root"))
    folder = root.settings.landing / SHOP
    folder.mkdir(parents=True)
    expected: list[str] = []
    with looks(root, tmp_path) as process:
        for number, (sensor, point) in enumerate(STRUCK):
            lines = shop_lines(day(1), EVENTS, name=f"f{number}", hour=number)
            expected += [line["event_id"] for line in lines]
            (folder / f"{number}.jsonl").write_text(
                "".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8"
            )
            said = (tmp_path / "log").read_text(encoding="utf-8")[-3000:]
            assert order(process, (sensor, point), ROUNDS_TO_REST) == -9, f"{sensor} was not struck at {point}: {said}"
        assert order(process, None, ROUNDS_TO_REST) == 0, (tmp_path / "log").read_text(encoding="utf-8")[-3000:]
    found = [row["event_id"].partition(":")[2] for row in root.rows("validated_events", day(1))]
    assert sorted(found) == sorted(expected)
    assert len(root.rows("session_features", day(1))) == len(expected)
    assert len(root.platform.ledger.records()) == len(STRUCK)
    with dg.DagsterInstance.from_config(str(root.settings.dagster_home)) as instance:
        runs = instance.get_runs()
    assert {run.status for run in runs} <= {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}
    # What a tick finds out about files and fields is recorded under runs that build nothing.
    built = [run for run in runs if run.status is dg.DagsterRunStatus.SUCCESS and DUE_TAG in run.tags]
    done = Counter(run.tags[DUE_TAG] for run in built)
    assert set(done.values()) == {1}
