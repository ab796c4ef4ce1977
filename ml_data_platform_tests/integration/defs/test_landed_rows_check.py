"""The check of landed rows in Dagster: red as long as a red file counts, whoever landed what since."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import dagster as dg
import pytest

from ml_data_platform.defs.unusable_rows import KEY
from ml_data_platform.stages.decisions import replace_landed
from ml_data_platform_tests.pipeline_root import PipelineRoot, settings_for
from ml_data_platform_tests.sensor_loop import SensorLoop
from ml_data_platform_tests.unusable_logs import SOURCE, rows, write, write_contract

DAY = "2026-03-02"


@pytest.fixture
def loop(tmp_path: Path, instance: dg.DagsterInstance) -> SensorLoop:
    """The sensors over an empty root with one contract."""
    write_contract(tmp_path, "csv")
    root = tmp_path / ".platform"
    return SensorLoop(PipelineRoot(settings_for(root, sources=root / "sources", settle_seconds=0)), instance)


def drop(loop: SensorLoop, name: str, good: int, bad: int) -> Path:
    """Put a file into the landing folder, dated before the root's clock."""
    path = write(loop.root.settings.landing / SOURCE / name, rows(good, day=DAY, bad=bad, name=name[0]))
    before = loop.root.now.timestamp() - 60
    os.utime(path, (before, before))
    return path


def said(loop: SensorLoop) -> dg.AssetCheckEvaluation | None:
    """Return what the check said last."""
    record = loop.instance.event_log_storage.get_latest_asset_check_execution_by_key([KEY]).get(KEY)
    return record.evaluation if record is not None else None


def level(loop: SensorLoop) -> str:
    """Return the colour that the UI shows."""
    found = said(loop)
    assert isinstance(found, dg.AssetCheckEvaluation)
    return "green" if found.passed else "red" if found.severity is dg.AssetCheckSeverity.ERROR else "yellow"


def table(loop: SensorLoop) -> dict[str, tuple[str, int, int]]:
    """Return the files that the check lists."""
    found = said(loop)
    assert found is not None
    value = found.metadata["table"]
    assert isinstance(value, dg.TableMetadataValue)
    return {
        str(line.data["file"]): (str(line.data["level"]), int(line.data["rows"]), int(line.data["unusable_rows"]))
        for line in value.records
    }


def test_a_red_file_stays_red_beside_later_good_ones(loop: SensorLoop) -> None:
    """The run that lands it ends well and shows the check red; a good file later changes nothing, and nothing is retried."""
    drop(loop, "a.csv", 50, 50)
    loop.settle()
    assert level(loop) == "red"
    assert table(loop) == {"a.csv": ("red", 100, 50)}
    found = said(loop)
    assert found is not None
    assert "50 of 100 rows (50.00%) reach no day: 50 event_time_unreadable" in str(found.description)
    assert '"at":"yesterday"' in str(found.metadata["examples"].value)
    assert f"ml-data-platform quarantine show --source {SOURCE} --reason undated" in str(found.metadata["table"].value)
    assert all(run.status is dg.DagsterRunStatus.SUCCESS for run in loop.instance.get_runs())
    assert len(loop.root.rows("validated_events", loop.root.settings.start_date)) == 50
    runs = loop.instance.get_runs_count()
    for _ in range(3):
        assert loop.turn() == []
    assert loop.instance.get_runs_count() == runs
    drop(loop, "b.csv", 100, 0)
    drop(loop, "c.csv", 100, 5)
    loop.settle()
    assert level(loop) == "red"
    assert table(loop) == {"a.csv": ("red", 100, 50), "c.csv": ("warn", 105, 5)}


def test_what_the_command_line_lands_and_decides_is_shown_too(loop: SensorLoop, tmp_path: Path) -> None:
    """The check follows the ledger without a run of landed_files: red, yellow once the file is replaced, green at last."""
    assert loop.turn() == []
    assert said(loop) is None
    bad = write(tmp_path / "a.csv", rows(50, day=DAY, bad=50))
    (first,) = loop.root.land(bad, source=SOURCE)
    loop.settle()
    assert level(loop) == "red"
    (second,) = loop.root.land(write(tmp_path / "b.csv", rows(99, day=DAY, bad=1)), source=SOURCE)
    assert first.record is not None
    assert second.record is not None
    digest = hashlib.sha256(bad.read_bytes()).hexdigest()
    replace_landed(loop.root.platform, SOURCE, digest, second.record)
    loop.settle()
    assert (level(loop), table(loop)) == ("yellow", {"b.csv": ("warn", 100, 1)})
    (third,) = loop.root.land(write(tmp_path / "c.csv", rows(100, day=DAY)), source=SOURCE)
    assert third.record is not None
    replace_landed(loop.root.platform, SOURCE, second.record.sha256, third.record)
    loop.settle()
    assert level(loop) == "green"
    before = loop.instance.get_runs_count()
    loop.turn()
    assert loop.instance.get_runs_count() == before


def test_a_rejected_file_is_listed_though_later_runs_read_their_files(loop: SensorLoop) -> None:
    """A file of which nothing could be read is red like one without a usable row, with the reason."""
    path = drop(loop, "a.csv", 1, 0)
    path.write_text("other;header\n1;2\n", encoding="utf-8")
    before = loop.root.now.timestamp() - 60
    os.utime(path, (before, before))
    loop.settle()
    drop(loop, "b.csv", 100, 0)
    loop.settle()
    assert level(loop) == "red"
    assert table(loop) == {"a.csv": ("red", 0, 0)}
