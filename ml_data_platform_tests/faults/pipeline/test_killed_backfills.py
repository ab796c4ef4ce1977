"""A backfill that is killed leaves nothing that the next one does not mend; together they give the same bytes."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import dagster as dg
import pytest

from ml_data_platform.defs.instance import open_instance
from ml_data_platform.defs.runs import UNFINISHED
from ml_data_platform_tests.faults.pipeline.backfill_process import Backfills, backfills
from ml_data_platform_tests.pipeline_root import PipelineRoot, day, settings_for, shop_lines

KILLS = 4
DAYS = [day(number) for number in range(1, 4)]
PATIENCE_SECONDS = 120


@pytest.fixture
def root(tmp_path: Path) -> PipelineRoot:
    """Two landed days, not built, with settings that the command line finds."""
    root = PipelineRoot(settings_for(tmp_path / "root"))
    root.folder.mkdir()
    (root.folder / "platform.yaml").write_text(f"start_date: {root.settings.start_date}\n")
    for number, of in enumerate(DAYS[:2]):
        root.drop(f"{number}.jsonl", shop_lines(of, 20))
    return root


def commits(root: PipelineRoot) -> int:
    """Return how many generations were committed."""
    return len(list((root.folder / "_store").glob("*/log/*/*.json")))


def kill_after(server: Backfills, child: int, root: PipelineRoot, more: int, seconds: float) -> bool:
    """Kill a backfill some moment after it committed ``more`` generations; return whether it still ran."""
    goal, deadline = commits(root) + more, time.monotonic() + PATIENCE_SECONDS
    while commits(root) < goal and server.is_running(child):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(seconds)
    return server.kill(child) == -signal.SIGKILL


def statuses(root: PipelineRoot) -> list[dg.DagsterRunStatus]:
    """Return how the runs of a root's history ended."""
    with open_instance(root.settings) as instance:
        return [run.status for run in instance.get_runs()]


def test_killed_backfills_end_with_the_same_bytes(root: PipelineRoot, tmp_path: Path) -> None:
    """Four kills at random moments, seeded; the last backfill ends well, its history tells the truth."""
    undisturbed = root.copied(tmp_path / "undisturbed")
    assert undisturbed.backfill(DAYS).is_successful
    chooser = random.Random(20260302)
    killed = orphans = 0
    arguments = ("--root", root.folder, "--from", DAYS[0], "--to", DAYS[-1])
    with backfills() as server:
        for _ in range(KILLS):
            child = server.start(*arguments, output=tmp_path / "output.txt")
            is_killed = kill_after(server, child, root, chooser.randint(1, 4), chooser.uniform(0, 0.3))
            killed += is_killed
            orphans += sum(status in UNFINISHED for status in statuses(root))
        child = server.start(*arguments, output=tmp_path / "output.txt")
        assert server.wait(child) == 0, (tmp_path / "output.txt").read_text()
        again = server.start(*arguments, output=tmp_path / "again.txt")
        assert server.wait(again) == 0
    assert killed >= KILLS - 1
    assert root.contents() == undisturbed.contents()
    assert root.view() == undisturbed.view()
    assert list((root.folder / "_store" / "tmp").iterdir()) == []
    assert root.platform.store.recover().views_repaired == 0
    ended = statuses(root)
    assert not set(ended) & set(UNFINISHED)
    assert orphans > 0, "no kill hit a run: choose another seed"
    assert ended.count(dg.DagsterRunStatus.FAILURE) == orphans
    assert "nothing to do" in (tmp_path / "again.txt").read_text()
