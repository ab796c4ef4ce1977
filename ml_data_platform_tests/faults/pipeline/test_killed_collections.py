"""A `gc` that is killed at any removal takes nothing that must stay, and the next one ends it."""

from __future__ import annotations

import signal
from pathlib import Path

from ml_data_platform.stages.verification import verify
from ml_data_platform_tests.faults.pipeline.backfill_process import backfills
from ml_data_platform_tests.pipeline_root import START, PipelineRoot, settings_for, shop_lines

REMOVALS_BEFORE_A_KILL = (1, 2)


def test_killed_collections_take_nothing_that_must_stay(tmp_path: Path) -> None:
    """Of two generations of a day the newest is whole after each kill; the last collection leaves nothing to remove."""
    root = PipelineRoot(settings_for(tmp_path / "root"))
    root.folder.mkdir()
    (root.folder / "platform.yaml").write_text(f"start_date: {START}\n")
    for name in ("a", "b"):
        root.drop(f"{name}.jsonl", shop_lines(START, 5, name=name))
        assert root.backfill([START]).is_successful
    contents, view = root.contents(), root.view()
    arguments = ("--root", root.folder, "--keep-last", 1, "--older-than", "0m")
    with backfills() as server:
        for removals in REMOVALS_BEFORE_A_KILL:
            output = tmp_path / "output.txt"
            child = server.start(*arguments, command="gc", output=output, dies_at_write=removals)
            assert server.wait(child) == -signal.SIGKILL, output.read_text()
            assert (root.contents(), root.view()) == (contents, view)
            assert verify(root.platform).defects == ()
        for name in ("last.txt", "again.txt"):
            child = server.start(*arguments, command="gc", output=tmp_path / name)
            assert server.wait(child) == 0, (tmp_path / name).read_text()
    assert "nothing to remove" in (tmp_path / "again.txt").read_text()
    assert (root.contents(), root.view()) == (contents, view)
    assert verify(root.platform).defects == ()
    assert root.backfill([START]).runs == 0
