"""What a command did stands in the UI as what a sensor or a person did there: under its job, with the same facts."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.tags import REPOSITORY_LABEL_TAG

from ml_data_platform.defs.command_runs import COMMAND_TAG, listed_under
from ml_data_platform.defs.instance import open_instance
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.pipeline_root import SHOP, PipelineRoot, day, settings_for, shop_lines
from ml_data_platform_tests.sensor_loop import QUIET

LOCATION = "__repository__@ml_data_platform"
"""As Dagster labels the runs that its UI and daemon launch from this code location."""


def newest(instance: dg.DagsterInstance, asset: str) -> tuple[dict[str, Any], dg.DagsterRun]:
    """Return the metadata of the newest materialization of an asset, and its run."""
    record = instance.get_latest_materialization_event(dg.AssetKey(asset))
    assert record is not None
    assert record.asset_materialization is not None
    run = instance.get_run_by_id(record.run_id)
    assert run is not None
    return {name: value.value for name, value in record.asset_materialization.metadata.items()}, run


def listed(instance: dg.DagsterInstance, job: str) -> list[dg.DagsterRun]:
    """Return the runs that the page of a job lists: it asks for the name and the code location."""
    return list(instance.get_runs(dg.RunsFilter(job_name=job, tags={REPOSITORY_LABEL_TAG: LOCATION})))


def checks(instance: dg.DagsterInstance, asset: str) -> dict[str, tuple[bool, dict[str, Any]]]:
    """Return what the checks of an asset without partitions said last."""
    specs = ("files_are_readable", "contracts_are_readable", "landed_rows_are_usable")
    keys = [dg.AssetCheckKey(dg.AssetKey(asset), name) for name in specs]
    found = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    return {
        key.name: (each.evaluation.passed, {name: value.value for name, value in each.evaluation.metadata.items()})
        for key, each in found.items()
    }


def test_land_shows_what_the_ingest_job_shows(tmp_path: Path) -> None:
    """The same files, one of them unreadable, by the command and by the job: the same facts, checks and job."""
    command = CommandLine(tmp_path)
    shown = {}
    for way in ("command", "job"):
        soon = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
        root = PipelineRoot(settings_for(tmp_path / way, settle_seconds=0), soon)
        root.folder.mkdir(exist_ok=True)
        (root.folder / "platform.yaml").write_text(f"start_date: {day(1)}\nsettle_seconds: 0\n", encoding="utf-8")
        folder = root.settings.landing / SHOP
        folder.mkdir(parents=True)
        (folder / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in shop_lines(day(1), 5)))
        (folder / "b.jsonl.gz").write_bytes(b"\x1f\x8b and no more")
        with open_instance(root.settings) as instance:
            if way == "command":
                assert command("land", "--root", root.folder).status == 1
            else:
                root.definitions.resolve_job_def("ingest").execute_in_process(instance=instance, run_config=QUIET)
            shown[way] = (newest(instance, "landed_files")[0], checks(instance, "landed_files"))
            run = newest(instance, "landed_files")[1]
            assert (run.job_name, run.status) == ("ingest", dg.DagsterRunStatus.SUCCESS)
            if way == "command":
                assert [each.run_id for each in listed(instance, "ingest")] == [run.run_id]
                assert run.tags[COMMAND_TAG] == "land"
                (record,) = instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))
                assert 0 < (record.end_time or 0) - (record.start_time or 0) < 600
    assert shown["command"] == shown["job"]
    facts, found = shown["command"]
    assert (facts["files"], facts["landed_rows"]) == (2, 5)
    assert found["files_are_readable"][0] is False
    assert found["contracts_are_readable"][0] is True


def test_a_backfill_is_listed_under_the_job_that_the_sensor_starts(tmp_path: Path) -> None:
    """Every run of it names the code location, from its beginning on; other runs of the process do not."""
    root = PipelineRoot(settings_for(tmp_path / "root"))
    root.drop("a.jsonl", shop_lines(day(1), 5))
    with open_instance(root.settings) as instance:
        assert root.backfill([day(1)], instance).is_successful
        runs = listed(instance, "refresh_day")
        assert len(runs) == 3
        origins = {run.remote_job_origin for run in runs}
        assert {origin.job_name for origin in origins if origin is not None} == {"refresh_day"}
        other = root.run(day(1), ["raw_events"], instance)
        unlisted = instance.get_run_by_id(other.run_id)
        assert unlisted is not None
        assert unlisted.remote_job_origin is None


def test_an_instance_is_left_as_it_was(instance: dg.DagsterInstance) -> None:
    """Also where a run in the block fails."""
    before = instance.create_run_for_job
    with listed_under(instance, "refresh_day"):
        assert instance.create_run_for_job != before
    with pytest.raises(ZeroDivisionError), listed_under(instance, "refresh_day"):
        _ = 1 // 0
    assert instance.create_run_for_job == before
