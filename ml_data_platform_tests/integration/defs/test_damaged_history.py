"""Dagster's databases: what is damaged is named, repaired by a command, and what cannot be had again is said."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest

from ml_data_platform.defs.history_faults import told_of
from ml_data_platform.defs.history_repair import look_at_databases
from ml_data_platform.defs.instance import open_instance
from ml_data_platform.errors import HistoryError
from ml_data_platform.settings import Settings
from ml_data_platform.stages.platform import Platform, open_platform
from ml_data_platform_tests.pipeline_root import settings_for

DAYS = dg.StaticPartitionsDefinition(["a", "b"])
RUNS, INDEX, SCHEDULES = "history/runs.db", "history/runs/index.db", "schedules/schedules.db"
LONG_AGO = 1_000_000_000

with warnings.catch_warnings():
    warnings.simplefilter("ignore", dg.PreviewWarning)
    HOLDS = dg.AssetCheckSpec("holds", asset="thing", partitions_def=DAYS)


@dg.asset(partitions_def=DAYS, check_specs=[HOLDS])
def thing(context):
    """One row."""
    yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=context.partition_key == "a")])


@pytest.fixture(scope="module")
def used(tmp_path_factory) -> Path:
    """A root whose history holds two runs, bound to it."""
    settings = settings_for(tmp_path_factory.mktemp("used") / "root")
    job = dg.Definitions(assets=[thing], jobs=[dg.define_asset_job("all_of_it")]).resolve_job_def("all_of_it")
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with open_instance(settings) as instance:
        open_platform(settings).bind_instance(instance.run_storage.get_run_storage_id())
        for key in ("a", "b"):
            job.execute_in_process(instance=instance, partition_key=key, run_config=quiet)
    for path in (settings.dagster_home / "storage").rglob("*.db"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    return settings.root


@pytest.fixture
def platform(used: Path, tmp_path: Path) -> Platform:
    """A copy of that root, opened."""
    shutil.copytree(used, tmp_path / "root")
    return open_platform(settings_for(tmp_path / "root"))


def storage(settings: Settings) -> Path:
    """The folder of the databases."""
    return settings.dagster_home / "storage"


def a_run(settings: Settings) -> str:
    """The file of one run."""
    found = (path for path in (storage(settings) / "history" / "runs").glob("*.db") if path.stem != "index")
    return f"history/runs/{min(found).name}"


def garbage(path: Path) -> None:
    """Another first page, as after a write that went astray."""
    with path.open("r+b") as stream:
        stream.write(b"\xa5" * 4096)


def damaged_within(path: Path) -> None:
    """A whole first page, and none of the others."""
    size = path.stat().st_size
    with path.open("r+b") as stream:
        stream.seek(4096)
        stream.write(b"\xa5" * (size - 4096))


def cut_off(path: Path) -> None:
    """Half of the file."""
    os.truncate(path, path.stat().st_size // 2)


def emptied(path: Path) -> None:
    """No byte: to SQLite a whole database without tables."""
    os.truncate(path, 0)


def said(settings: Settings) -> list[tuple[str, str, str]]:
    """What the index says of checks, read without Dagster."""
    with closing(sqlite3.connect(storage(settings) / INDEX)) as database:
        asked = "SELECT partition, execution_status, run_id FROM asset_check_executions ORDER BY 1, 2, 3"
        return database.execute(asked).fetchall()


def test_a_whole_history_is_not_cried_over(platform: Platform) -> None:
    """Nothing is found, and nothing is written by looking."""
    before = {path: path.read_bytes() for path in storage(platform.settings).rglob("*") if path.is_file()}
    assert list(look_at_databases(platform, False)) == []
    assert {path: path.read_bytes() for path in storage(platform.settings).rglob("*") if path.is_file()} == before


def test_a_root_without_a_history_has_nothing_to_look_at(tmp_path: Path) -> None:
    """A root that was never built is whole."""
    platform = open_platform(settings_for(tmp_path / "root"))
    assert list(look_at_databases(platform, True)) == []
    assert not platform.settings.dagster_home.exists()


@pytest.mark.parametrize("damage", [garbage, damaged_within, cut_off, emptied, Path.unlink])
@pytest.mark.parametrize("which", [RUNS, INDEX, SCHEDULES, "run"])
def test_each_database_is_repaired_by_the_command(
    platform: Platform, which: str, damage: Callable[[Path], None]
) -> None:
    """Each is named, set aside and made anew; what checks said is there again, and the root is bound to the new list."""
    settings = platform.settings
    name = a_run(settings) if which == "run" else which
    if damage is Path.unlink and which in {SCHEDULES, "run"}:
        pytest.skip("Dagster makes that file when it is first needed: without it nothing is damaged")
    before, kept = said(settings), (storage(settings) / name).stat().st_ino
    damage(storage(settings) / name)

    (found,) = look_at_databases(platform, False)
    assert (found.key, found.is_repaired) == (f"dagster/storage/{name}", False)
    assert "verify --repair" in found.remedy

    (repaired,) = look_at_databases(platform, True)
    assert (repaired.key, repaired.is_repaired) == (found.key, True)
    assert ("made again" in repaired.detail) == (name == INDEX)
    assert ("lost" in repaired.detail) == (name != INDEX)
    if damage is not Path.unlink:
        assert (settings.root / "_store" / "damaged" / found.key).stat().st_ino == kept

    assert list(look_at_databases(platform, False)) == []
    assert said(settings) == before
    assert {state for _, state, _ in before} == {"SUCCEEDED", "FAILED"}
    with open_instance(settings) as instance:
        platform.bind_instance(instance.run_storage.get_run_storage_id())


def test_an_index_that_was_made_anew_lacks_what_runs_said(platform: Platform) -> None:
    """Dagster makes a missing index without a word: it is empty, which is found and repaired from the runs' files."""
    settings = platform.settings
    before = said(settings)
    (storage(settings) / INDEX).unlink()
    with open_instance(settings):
        pass
    assert said(settings) == []

    (found,) = look_at_databases(platform, True)

    assert "lacks what 2 runs said" in found.detail
    assert found.is_repaired
    assert said(settings) == before


def test_what_a_process_uses_is_not_repaired_under_it(platform: Platform) -> None:
    """The defect stays, with who is to be ended; after that it is repaired."""
    garbage(storage(platform.settings) / RUNS)
    code = "import sys; from pathlib import Path; from ml_data_platform.defs.owners import hold_owner_lock as hold; "
    code += "hold(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(platform.settings.dagster_home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as user:
        assert user.stdout is not None
        assert user.stdout.readline() == b"held\n"
        (found,) = look_at_databases(platform, True)
        assert not found.is_repaired
        assert "not repaired: process" in found.detail
        user.communicate()

    assert [each.is_repaired for each in look_at_databases(platform, True)] == [True]


@pytest.mark.parametrize("which", [RUNS, INDEX, SCHEDULES])
def test_a_damaged_history_ends_in_one_message(platform: Platform, which: str) -> None:
    """Whoever opens it learns the file, the command, and that tables do not depend on it."""
    path = storage(platform.settings) / which
    garbage(path)
    with pytest.raises(HistoryError) as refused:
        open_instance(platform.settings)
    for part in (str(path), "damaged", "verify --repair", "Tables, versions"):
        assert part in str(refused.value)


def test_a_held_history_is_not_called_damaged(platform: Platform) -> None:
    """Who holds a database for long is waited for, then named; `verify` does not set it aside."""
    path = storage(platform.settings) / RUNS
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(HistoryError) as refused, told_of(path), closing(sqlite3.connect(path, timeout=0)) as other:
            other.execute("SELECT 1 FROM runs")
        assert list(look_at_databases(platform, False)) == []
    assert "held by another process" in str(refused.value)
