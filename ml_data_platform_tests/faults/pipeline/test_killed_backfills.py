"""A backfill that is killed leaves nothing that the next one does not mend; together they give the same bytes."""

from __future__ import annotations

import signal
from pathlib import Path

import dagster as dg
import pytest

from ml_data_platform.defs.instance import open_instance
from ml_data_platform.defs.runs import UNFINISHED
from ml_data_platform_tests.faults.pipeline.backfill_process import backfills
from ml_data_platform_tests.pipeline_root import PipelineRoot, day, settings_for, shop_lines

COMMITS_BEFORE_A_KILL = (2, 1, 3, 1)
DAYS = [day(number) for number in range(1, 4)]


@pytest.fixture
def root(tmp_path: Path) -> PipelineRoot:
    """Two landed days, not built, with settings that the command line finds."""
    root = PipelineRoot(settings_for(tmp_path / "root"))
    root.folder.mkdir()
    (root.folder / "platform.yaml").write_text(f"start_date: {root.settings.start_date}\n")
    for number, of in enumerate(DAYS[:2]):
        root.drop(f"{number}.jsonl", shop_lines(of, 20))
    return root


def statuses(root: PipelineRoot) -> list[dg.DagsterRunStatus]:
    """Return how the runs of a root's history ended."""
    with open_instance(root.settings) as instance:
        return [run.status for run in instance.get_runs()]


def test_killed_backfills_end_with_the_same_bytes(root: PipelineRoot, tmp_path: Path) -> None:
    """Four kills, each in the midst of a run; the last backfill ends well, its history tells the truth."""
    undisturbed = root.copied(tmp_path / "undisturbed")
    assert undisturbed.backfill(DAYS).is_successful
    orphans = 0
    arguments = ("--root", root.folder, "--from", DAYS[0], "--to", DAYS[-1])
    with backfills() as server:
        for commits in COMMITS_BEFORE_A_KILL:
            child = server.start(*arguments, output=tmp_path / "output.txt", dies_after=commits)
            assert server.wait(child) == -signal.SIGKILL, (tmp_path / "output.txt").read_text()
            orphans += sum(status in UNFINISHED for status in statuses(root))
        child = server.start(*arguments, output=tmp_path / "output.txt")
        assert server.wait(child) == 0, (tmp_path / "output.txt").read_text()
        again = server.start(*arguments, output=tmp_path / "again.txt")
        assert server.wait(again) == 0
    assert root.contents() == undisturbed.contents()
    assert root.view() == undisturbed.view()
    assert list((root.folder / "_store" / "tmp").iterdir()) == []
    assert root.platform.store.recover().views_repaired == 0
    ended = statuses(root)
    assert not set(ended) & set(UNFINISHED)
    assert orphans == len(COMMITS_BEFORE_A_KILL)
    assert ended.count(dg.DagsterRunStatus.FAILURE) == orphans
    assert "nothing to do" in (tmp_path / "again.txt").read_text()
