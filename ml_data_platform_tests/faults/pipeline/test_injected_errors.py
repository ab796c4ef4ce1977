"""Errors of the medium: what may pass is tried again, what may not is reported once; nothing is half published."""

from __future__ import annotations

import errno
import gc
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ml_data_platform.defs import io_manager
from ml_data_platform.stages import flow
from ml_data_platform.storage.local_objects import LocalObjectStore
from ml_data_platform_tests.pipeline_root import PipelineRoot, day, settings_for, shop_lines

OF = day(1)
RETRY = dg.DagsterEventType.STEP_UP_FOR_RETRY


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(io_manager, "FIRST_DELAY_SECONDS", 0.01)


@pytest.fixture
def root(tmp_path: Path) -> PipelineRoot:
    """One landed day, not built."""
    root = PipelineRoot(settings_for(tmp_path / "root"))
    root.drop("a.jsonl", shop_lines(OF, 20))
    return root


class FailingPuts:
    """Fails the first writes of objects of one asset."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, asset: str, code: int, times: int) -> None:
        self.left = times
        real = LocalObjectStore.put_object

        def put_object(store: LocalObjectStore, key: str, source: Path, **facts: Any) -> bool:
            if f"/{asset}/" in key and self.left:
                self.left -= 1
                raise OSError(code, "injected")
            return real(store, key, source, **facts)

        monkeypatch.setattr(LocalObjectStore, "put_object", put_object)


def litter(root: PipelineRoot) -> list[Path]:
    """Return what lies in the folder of temporary files, once what is unreachable is gone."""
    gc.collect()
    return list((root.folder / "_store" / "tmp").rglob("*"))


@pytest.mark.parametrize("asset", ["raw_events", "validated_events"])
def test_an_error_that_passes_is_tried_again(
    root: PipelineRoot, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, asset: str
) -> None:
    """After one EIO the step runs again and publishes, once."""
    faults = FailingPuts(monkeypatch, asset, errno.EIO, times=1)
    result = root.run(OF, ["raw_events", "validated_events", "quarantined_events"], instance)
    assert result.success
    assert faults.left == 0
    assert [event.step_key for event in result.all_events if event.event_type is RETRY] == [asset]
    assert set(root.generations().values()) == {1}
    assert len(root.rows("validated_events", OF)) == 20
    assert litter(root) == []


def test_an_error_while_building_is_tried_again(
    root: PipelineRoot, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same holds where a stage reads and writes, before anything is committed."""
    real, errors = flow.build, [OSError(errno.EIO, "injected")]

    def build(*arguments: Any) -> Any:
        if errors:
            raise errors.pop()
        return real(*arguments)

    monkeypatch.setattr(flow, "build", build)
    result = root.run(OF, ["raw_events"], instance)
    assert result.success
    assert [event.step_key for event in result.all_events if event.event_type is RETRY] == ["raw_events"]


def test_an_error_that_stays_is_given_up(
    root: PipelineRoot, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EIO without end: the step fails after a bounded number of attempts."""
    FailingPuts(monkeypatch, "raw_events", errno.EIO, times=10**9)
    result = root.run(OF, ["raw_events"], instance)
    assert not result.success
    assert len([event for event in result.all_events if event.event_type is RETRY]) == io_manager.MAX_RETRIES
    assert root.generations() == {}
    assert litter(root) == []


def test_a_full_disk_is_reported_at_once(
    root: PipelineRoot, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC is not tried again; the report names what failed and what waits behind it, and space mends it."""
    FailingPuts(monkeypatch, "raw_events", errno.ENOSPC, times=1)
    report = root.backfill([OF], instance)
    failed = {each.asset: each.why for each in report.failed}
    assert "injected" in failed.pop("raw_events")
    assert "waits" in failed.pop("validated_events")
    assert not failed
    assert {each.asset for each in report.blocked} == {"session_features", "session_summaries"} | {
        "date_partitions",
        "label_partitions",
        "stratified_partitions",
    }
    assert report.runs == 1
    (record,) = instance.get_run_records()
    events = instance.all_logs(record.dagster_run.run_id)
    assert not [event for event in events if event.dagster_event and event.dagster_event.event_type is RETRY]
    assert root.generations() == {}
    assert litter(root) == []
    assert root.backfill([OF], instance).is_successful


def test_a_refused_day_is_not_tried_again(root: PipelineRoot, instance: dg.DagsterInstance) -> None:
    """A red blocking check ends the step at its first attempt."""
    root.drop("bad.jsonl", shop_lines(OF, 0, name="bad", broken=20))
    result = root.run(OF, ["raw_events", "validated_events", "quarantined_events"], instance)
    assert not result.success
    assert [event for event in result.all_events if event.event_type is RETRY] == []
    assert {asset for asset, _ in root.generations()} == {"raw_events", "quarantined_events"}
