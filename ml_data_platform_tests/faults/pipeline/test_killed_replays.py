"""A replay that is killed goes on: the same command ends what was decided, whatever was built of it by then."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import dagster as dg
import pytest

from ml_data_platform.defs.replay import replay
from ml_data_platform.stages.quarantine import Wanted
from ml_data_platform_tests.faults.pipeline.backfill_process import Backfills, backfills
from ml_data_platform_tests.pipeline_root import PipelineRoot, day, settings_for, shop_lines

CONTRACT = """source: s
format: jsonl
schema_version: {version}
lateness: {{watermark: clock, late_policy: {policy}}}
"""
DAYS = [day(1), day(2)]
KILLS_OF_ADMISSIONS = ({"dies_at_write": 1}, {"dies_at_write": 3}, {"dies_after": 2})
KILLS_OF_READINGS = ({"dies_at_write": 5}, {"dies_at_write": 9}, {"dies_after": 3})


def opened(folder: Path, *, version: str = "2", policy: str = "quarantine") -> PipelineRoot:
    """Return a root with one source and with settings that the command line finds."""
    (folder / "sources").mkdir(parents=True, exist_ok=True)
    (folder / "sources" / "s.yaml").write_text(CONTRACT.format(version=version, policy=policy))
    root = PipelineRoot(settings_for(folder, sources=folder / "sources"))
    (folder / "platform.yaml").write_text(f"start_date: {root.settings.start_date}\n")
    return root


@pytest.fixture(scope="module")
def server() -> Backfills:
    """What starts commands that can be killed."""
    with backfills() as found:
        yield found


def end(root: PipelineRoot, reason: str) -> None:
    """Replay to the end in this process."""
    with dg.DagsterInstance.ephemeral() as instance:
        assert replay(root.definitions, instance, root.platform, Wanted(reason), why="test").is_successful


def killed_and_ended(
    server: Backfills, root: PipelineRoot, reason: str, output: Path, kills: tuple[dict[str, int], ...]
) -> None:
    """Kill a replay again and again, then let it end; a further one has nothing to do."""
    arguments = ("--reason", reason, "--root", root.folder)
    for choices in kills:
        child = server.start(*arguments, command="replay", output=output, **choices)
        assert server.wait(child) == -signal.SIGKILL, (choices, output.read_text())
    for name in ("last.txt", "again.txt"):
        child = server.start(*arguments, "--json", command="replay", output=output.with_name(name))
        assert server.wait(child) == 0, output.with_name(name).read_text()
    assert json.loads(output.with_name("again.txt").read_text())["nothing_to_do"]


def test_admitted_rows_are_built_although_who_admitted_them_was_killed(server: Backfills, tmp_path: Path) -> None:
    """Right after the decision, between files, and between the layers of a day."""
    root = opened(tmp_path / "root")
    for number, of in enumerate(DAYS):
        root.drop(f"{number}.jsonl", shop_lines(of, 10), source="s")
    undisturbed = root.copied(tmp_path / "undisturbed")
    end(undisturbed, "too_late")
    assert {of for _, of in undisturbed.contents()} >= set(DAYS)
    killed_and_ended(server, root, "too_late", tmp_path / "output.txt", KILLS_OF_ADMISSIONS)
    assert root.contents() == undisturbed.contents()
    assert root.view() == undisturbed.view()


def test_files_that_were_read_again_are_built_although_the_replay_was_killed(server: Backfills, tmp_path: Path) -> None:
    """Rows get a day by a corrected contract; nothing is quarantined for the reason by then, and it is built all the same."""
    root = opened(tmp_path / "root", version="1", policy="reopen")
    for number, of in enumerate(DAYS):
        root.drop(f"{number}.jsonl", shop_lines(of, 10), source="s")
    assert root.view().keys() == {f"undated_rows/source=s/{name}" for name in names_of_undated(root)}
    undisturbed = root.copied(tmp_path / "undisturbed")
    undisturbed = opened(undisturbed.folder, policy="reopen")
    end(undisturbed, "undated")
    assert {of for _, of in undisturbed.contents()} >= set(DAYS)
    root = opened(root.folder, policy="reopen")
    killed_and_ended(server, root, "undated", tmp_path / "output.txt", KILLS_OF_READINGS)
    assert root.contents() == undisturbed.contents()
    assert root.view() == undisturbed.view()


def names_of_undated(root: PipelineRoot) -> list[str]:
    """Return the files of rows without a day."""
    return [path.name for path in (root.folder / "data" / "undated_rows" / "source=s").iterdir()]
