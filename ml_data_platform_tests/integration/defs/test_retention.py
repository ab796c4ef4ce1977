"""Old runs are removed with all that belongs to them, and nothing that is shown changes."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import warnings
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from ml_data_platform.defs.attempts import DUE_TAG
from ml_data_platform.defs.instance import open_instance
from ml_data_platform.defs.retention import expired_runs, remove_runs
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.pipeline_root import START, PipelineRoot, day, settings_for, shop_lines

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
DAYS = dg.StaticPartitionsDefinition(["a", "b", "c"])
FAR = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", dg.PreviewWarning)
    HOLDS = dg.AssetCheckSpec("holds", asset="thing", partitions_def=DAYS)


@dg.asset(partitions_def=DAYS, check_specs=[HOLDS])
def thing(context):
    """Something with a check; a run with the tag breaks off."""
    if "breaks" in context.run.tags:
        raise ZeroDivisionError
    yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=context.partition_key != "c")])


def run(instance: dg.DagsterInstance, partition: str, **tags: str) -> str:
    """Materialize a partition; returns the run's id."""
    job = dg.Definitions(assets=[thing], jobs=[dg.define_asset_job("all_of_it")]).resolve_job_def("all_of_it")
    named = {DUE_TAG if name == "due" else name: value for name, value in tags.items()}
    done = job.execute_in_process(
        instance=instance, partition_key=partition, run_config=QUIET, tags=named, raise_on_error=False
    )
    return done.run_id


@pytest.fixture(params=["sqlite", "postgres"])
def instance(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance of a root, with either history."""
    chosen = {}
    if request.param == "postgres":
        pytest.importorskip("dagster_postgres", reason="`pip install ml-data-platform[postgres]` installs it")
        from ml_data_platform_tests.postgres_server import postgres_server

        with postgres_server() as url:
            chosen = {"storage": {"postgres": {"postgres_url": url}}}
            with open_instance(settings_for(tmp_path / "root", dagster=chosen)) as opened:
                yield opened
        return
    with open_instance(settings_for(tmp_path / "root")) as opened:
        yield opened


def shown(instance: dg.DagsterInstance) -> tuple:
    """What UI and `status` show of the asset."""
    key = dg.AssetCheckKey(thing.key, "holds")
    checks = instance.event_log_storage.get_asset_check_partition_info([key])
    newest = instance.event_log_storage.get_latest_storage_id_by_partition(
        thing.key, dg.DagsterEventType.ASSET_MATERIALIZATION
    )
    last = instance.get_latest_materialization_event(thing.key)
    return (
        sorted((str(info.partition_key), str(info.latest_execution_status)) for info in checks),
        dict(newest),
        last.run_id if last else None,
    )


def test_runs_go_that_nothing_needs(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """A run goes where later ones say all that it said; not one that is newer, unfinished, or not to be tried again."""
    superseded, red, failed = run(instance, "a"), run(instance, "c"), run(instance, "b", breaks="1")
    attempts = [run(instance, "b", breaks="1", due="inputs 1") for _ in range(2)]
    elsewhere = run(instance, "b")
    kept_a = run(instance, "a")
    waiting = instance.create_run_for_job(nothing, tags={"waits": "1"}).run_id
    logs = tmp_path / "root" / "dagster" / "compute_logs" / superseded
    before = shown(instance)
    assert [(key, status.rpartition(".")[2]) for key, status in before[0]] == [
        ("a", "SUCCEEDED"),
        ("b", "SUCCEEDED"),
        ("c", "FAILED"),
    ]

    assert expired_runs(instance, dt.datetime(2020, 1, 1, tzinfo=dt.UTC)) == []
    found = expired_runs(instance, FAR)
    assert set(found) >= {superseded, failed, attempts[0]}
    assert not {red, elsewhere, kept_a, waiting, attempts[1]} & set(found)
    assert logs.exists()

    remove_runs(instance, found)
    assert shown(instance) == before
    assert [instance.get_run_by_id(run_id) for run_id in found] == [None] * len(found)
    left = {each.run_id for each in instance.get_runs()}
    assert left == {red, elsewhere, kept_a, waiting, attempts[1]}
    assert len(instance.all_logs(kept_a)) > 5
    assert not logs.exists()
    assert expired_runs(instance, FAR) == []
    assert run(instance, "a") != kept_a


def test_who_is_stopped_in_between_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is listed until all that belongs to it is gone, so the next call finds it."""
    with open_instance(settings_for(tmp_path / "root")) as instance:
        superseded, _ = run(instance, "a"), run(instance, "a")

        def stop(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(instance.compute_log_manager, "delete_logs", stop)
            with pytest.raises(KeyboardInterrupt):
                remove_runs(instance, [superseded])
        assert expired_runs(instance, FAR) == [superseded]
        remove_runs(instance, [superseded])
        assert instance.get_run_by_id(superseded) is None


def test_gc_removes_old_runs_and_status_says_the_same(tmp_path: Path) -> None:
    """After a late file has rebuilt a day, the runs before it go; nothing of them is left in the root."""
    cli = CommandLine(tmp_path)
    cli.ok("init", "--start-date", START)
    root = PipelineRoot(settings_for(tmp_path / ".platform"))
    with open_instance(root.settings) as instance:
        for name in ("first", "late"):
            root.drop(f"{name}.jsonl", shop_lines(day(1), 20, name=name))
            assert root.run(day(1), ["raw_events", "validated_events"], instance).success
    cli.build(days=[day(1)])
    asked = ("status", "--from", day(1), "--to", day(1), "--json")
    before = json.loads(cli.ok(*asked).out)["days"]
    history = tmp_path / ".platform" / "dagster" / "storage" / "history"
    runs = listed(history)

    assert json.loads(cli.ok("gc", "--json").out)["runs_removed"] == 0
    would = json.loads(cli.ok("gc", "--dry-run", "--runs-older-than", "0m", "--json").out)["runs_removed"]
    assert 0 < would < len(runs)
    assert listed(history) == runs
    assert f"removed {would} run" in cli.ok("gc", "--runs-older-than", "0m").text
    left = listed(history)
    assert len(left) == len(runs) - would
    assert {path.stem for path in (history / "runs").glob("*.db")} - {"index"} <= left
    after = json.loads(cli.ok(*asked).out)["days"]
    for each in [*before, *after]:
        each.pop("watermarks", None)
    assert after == before
    assert "nothing to do" in cli.ok("backfill", "--from", day(1), "--to", day(1)).text
    cli.ok("verify")


def listed(history: Path) -> set[str]:
    """Ids of the runs, as SQLite has them."""
    with sqlite3.connect(history / "runs.db") as connection:
        found = {row[0] for row in connection.execute("SELECT run_id FROM runs")}
        assert {row[0] for row in connection.execute("SELECT run_id FROM run_tags")} <= found
    return found


@dg.job
def nothing() -> None:
    """A job without steps."""
