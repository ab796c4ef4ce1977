"""A root that is moved, copied, or loses Dagster's history goes on where it was."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ml_data_platform.defs.instance import open_instance
from ml_data_platform.defs.owners import OWNERS_FOLDER
from ml_data_platform.defs.runs import OWNER_TAG, reap_orphans
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.pipeline_root import START, day, settings_for, shop_lines

pytestmark = pytest.mark.slow


@dg.job
def some_job() -> None:
    """A job without steps."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose default root holds one day."""
    cli = CommandLine(tmp_path_factory.mktemp("first"))
    cli.ok("init", "--start-date", START)
    (cli.folder / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in shop_lines(day(1), 20)))
    cli.ok("land", "a.jsonl", "--source", "demo_shop")
    cli.ok("backfill", "--from", day(1), "--to", day(1))
    return cli.folder


def state_of(cli: CommandLine) -> Any:
    """Return what `status` says about the day, its checks included, but not how far the clock is."""
    (found,) = json.loads(cli.ok("status", "--from", day(1), "--to", day(1), "--json").out)["days"]
    assert found.pop("watermarks").keys() == {"demo_shop"}
    return found


def test_a_moved_root_knows_its_history_and_goes_on(built: Path, tmp_path: Path) -> None:
    """Moved and moved back: nothing to build, the same checks; a late row rebuilds its day there."""
    before = state_of(CommandLine(built))
    moved = CommandLine(tmp_path)
    (built / ".platform").rename(tmp_path / ".platform")
    try:
        assert state_of(moved) == before
        assert "nothing to do" in moved.ok("backfill", "--from", day(1), "--to", day(1)).text
    finally:
        (tmp_path / ".platform").rename(built / ".platform")


def test_a_copy_is_repaired_and_is_a_root_of_its_own(built: Path, tmp_path: Path) -> None:
    """A plain copy, which breaks the links between view and objects: repaired; the first root sees nothing of it."""
    shutil.copytree(built / ".platform", tmp_path / ".platform")
    copy, before = CommandLine(tmp_path), state_of(CommandLine(built))
    assert "nothing to do" in copy.ok("backfill", "--from", day(1), "--to", day(1)).text
    view = tmp_path / f".platform/data/raw_events/dt={day(1)}/data.parquet"
    assert view.stat().st_nlink > 1
    (tmp_path / "late.jsonl").write_text(json.dumps(shop_lines(day(1), 1, name="late")[0]) + "\n")
    copy.ok("land", "late.jsonl", "--source", "demo_shop")
    copy.ok("backfill", "--from", day(1), "--to", day(1))
    assert state_of(copy)["partitions"]["raw_events"] == {"rows": 21, "generation": 2}
    assert state_of(CommandLine(built)) == before


def test_a_root_without_its_history_says_what_to_do(built: Path, tmp_path: Path) -> None:
    """Dagster's folder was deleted: refused with the way out; after that no table is built again."""
    shutil.copytree(built / ".platform", tmp_path / ".platform")
    shutil.rmtree(tmp_path / ".platform/dagster")
    cli = CommandLine(tmp_path)
    refused = cli("backfill")
    assert refused.status == 1
    assert "history bind --yes" in refused.text
    cli.ok("history", "bind", "--yes")
    assert "nothing to do" in cli.ok("backfill", "--from", day(1), "--to", day(1)).text
    assert state_of(cli)["status"] == "clean"


def test_runs_of_the_machine_that_a_root_came_from_do_not_block_it(tmp_path: Path) -> None:
    """A run that was under way when the root was copied: no process here holds its lock, so it is reported as failed."""
    settings = settings_for(tmp_path / "root")
    with open_instance(settings) as instance:
        folder = settings.dagster_home / OWNERS_FOLDER
        folder.mkdir()
        tags = {OWNER_TAG: "the-old-machine/4711/boot-99"}
        run = instance.create_run_for_job(some_job, status=dg.DagsterRunStatus.STARTED, tags=tags)
        assert reap_orphans(instance) == []
        (folder / f"{hashlib.sha256(tags[OWNER_TAG].encode()).hexdigest()[:32]}.lock").touch()
        assert reap_orphans(instance) == [run.run_id]
