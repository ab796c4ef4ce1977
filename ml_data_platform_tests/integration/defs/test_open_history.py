"""The history that is kept open is Dagster's own, to every other process too."""

from __future__ import annotations

import re
import sqlite3
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest

from ml_data_platform.defs.instance import open_instance, prepare_home
from ml_data_platform.defs.open_history import OpenEventLog, OpenRunStorage
from ml_data_platform_tests.pipeline_root import settings_for

DAYS = dg.StaticPartitionsDefinition(["a", "b"])


with warnings.catch_warnings():
    warnings.simplefilter("ignore", dg.PreviewWarning)
    HOLDS = dg.AssetCheckSpec("holds", asset="thing", partitions_def=DAYS)


@dg.asset(partitions_def=DAYS, check_specs=[HOLDS])
def thing():
    """One row."""
    yield dg.MaterializeResult(metadata={"rows": 1}, check_results=[dg.AssetCheckResult(passed=True)])


def run(instance: dg.DagsterInstance, partition: str) -> dg.ExecuteInProcessResult:
    """Run one partition."""
    job = dg.Definitions(assets=[thing], jobs=[dg.define_asset_job("all_of_it")]).resolve_job_def("all_of_it")
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    return job.execute_in_process(instance=instance, partition_key=partition, run_config=quiet)


@pytest.fixture
def settings(tmp_path):
    """Settings of a new root."""
    return settings_for(tmp_path / "root")


def stock(settings) -> dg.DagsterInstance:
    """The instance of the same root as the UI opens it."""
    return dg.DagsterInstance.from_config(str(prepare_home(settings)))


def told(instance: dg.DagsterInstance, run_id: str) -> list[tuple[str, str | None, str]]:
    """What a run's events say, without their times and the process's id."""
    entries = instance.all_logs(run_id)
    return [
        (str(each.dagster_event_type), each.step_key, re.sub(r"[\d.]*\d(?: ?m?s\b)?", "#", each.user_message))
        for each in entries
    ]


def test_what_one_writes_the_other_reads_at_once(settings):
    """Runs, events, materializations and checks are seen by a stock instance while the open one still works."""
    with open_instance(settings) as opened, stock(settings) as other:
        assert isinstance(opened.event_log_storage, OpenEventLog)
        assert isinstance(opened.run_storage, OpenRunStorage)
        first, second = run(opened, "a"), run(opened, "b")
        assert first.success
        assert second.success
        for each in (first, second):
            assert other.get_run_by_id(each.run_id).status is dg.DagsterRunStatus.SUCCESS
            assert told(other, each.run_id) == told(opened, each.run_id)
            assert len(told(other, each.run_id)) > 8
        assert other.get_materialized_partitions(thing.key) == {"a", "b"}
        assert {info.partition_key for info in checks(other)} == {"a", "b"}
    left = {path.suffix for path in (settings.root / "dagster/storage/history").rglob("*") if path.is_file()}
    assert left == {".db"}, "closed files have no log beside them"


def test_events_are_those_that_dagster_writes_itself(settings, tmp_path):
    """The same run leaves the same events in the same tables, also in a run's file made from the empty one."""
    with open_instance(settings) as opened:
        run(opened, "a")
        mine = run(opened, "b")
        mine_told = told(opened, mine.run_id)
    with stock(settings_for(tmp_path / "other")) as other:
        theirs = run(other, "b")
        assert mine_told == told(other, theirs.run_id)
    mine_file, theirs_file = (
        root / f"dagster/storage/history/runs/{each.run_id}.db"
        for root, each in ((settings.root, mine), (tmp_path / "other", theirs))
    )
    assert schema(mine_file) == schema(theirs_file)
    assert rows_per_table(mine_file) == rows_per_table(theirs_file)


def test_both_kinds_write_at_the_same_time(settings):
    """Nothing is lost and nobody gives up while an open and a stock instance record events side by side."""

    def record(instance: dg.DagsterInstance, name: str) -> None:
        for number in range(40):
            instance.report_runless_asset_event(dg.AssetMaterialization(name, partition=str(number)))

    with open_instance(settings) as opened, stock(settings) as other:
        with ThreadPoolExecutor(2) as pool:
            for writer in [pool.submit(record, opened, "mine"), pool.submit(record, other, "theirs")]:
                writer.result(timeout=300)
        wanted = {str(number) for number in range(40)}
        for reader in (opened, other):
            for name in ("mine", "theirs"):
                assert reader.get_materialized_partitions(dg.AssetKey(name)) == wanted


def test_a_failed_transaction_leaves_nothing(settings):
    """An error within a transaction undoes it, and the connection goes on being used."""
    with open_instance(settings) as opened:
        run(opened, "b")
        before = len(opened.get_runs())
        with pytest.raises(ZeroDivisionError):
            break_off(opened.run_storage)
        assert run(opened, "a").success
        assert len(opened.get_runs()) == before + 1


def break_off(storage: OpenRunStorage) -> None:
    """Delete all runs, but for an error."""
    with storage.connect() as connection:
        connection.exec_driver_sql("DELETE FROM runs")
        raise ZeroDivisionError


def checks(instance: dg.DagsterInstance):
    """What the check of each partition said."""
    key = dg.AssetCheckKey(thing.key, "holds")
    return instance.event_log_storage.get_asset_check_partition_info([key])


def schema(path: Path) -> set[str]:
    """The tables and indexes of a file, as they were created."""
    with closing(sqlite3.connect(path)) as connection:
        return {str(row) for row in connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")}


def rows_per_table(path: Path) -> dict[str, int]:
    """The number of rows of every table of a file."""
    with closing(sqlite3.connect(path)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}
