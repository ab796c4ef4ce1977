"""The record of the Dagster history that a root belongs to: damaged, lost or another one, and repaired where that is safe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ml_data_platform.defs.instance import open_instance
from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.defs.verified_history import bind_to_own_history, look_at_history
from ml_data_platform.errors import InstanceMismatchError, RecordError
from ml_data_platform.storage.history_binding import HistoryBinding
from ml_data_platform_tests.pipeline_root import START, PipelineRoot, settings_for, shop_lines

JUDGED = ("raw_events", "quarantined_events", "validated_events")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> PipelineRoot:
    """Events of one day, built by a run of the root's own history; to be copied."""
    root = PipelineRoot(settings_for(tmp_path_factory.mktemp("built") / "root"))
    root.drop("a.jsonl", shop_lines(START, 5))
    with open_instance(root.settings) as instance:
        bind(root)
        assert root.run(START, JUDGED, instance).success
    return root


@pytest.fixture
def root(built: PipelineRoot, tmp_path: Path) -> PipelineRoot:
    """A copy of it."""
    return built.copied(tmp_path / "root")


def bind(root: PipelineRoot) -> None:
    """Bind the root to its own history, as every command and sensor does."""
    with open_instance(root.settings) as instance:
        PlatformResource.of(root.settings).bind(instance)


def record(root: PipelineRoot) -> Path:
    """Return the file of the record."""
    return root.folder / "_store" / "instance.json"


def put(root: PipelineRoot, data: bytes) -> None:
    """Put other bytes in its place."""
    record(root).unlink()
    record(root).write_bytes(data)


def found(root: PipelineRoot, *, is_repair: bool = False) -> list[bool]:
    """Return what verification finds: for each defect whether it was repaired."""
    return [defect.is_repaired for defect in look_at_history(root.platform, is_repair)]


def test_a_whole_record_is_whole(root: PipelineRoot) -> None:
    """So is that of a root that was never used, and one in the form of before, which is given a digest once."""
    assert found(root) == []
    bound = json.loads(record(root).read_bytes())["instance_id"]
    put(root, json.dumps({"instance_id": bound}).encode())
    assert found(root) == []
    bind(root)
    assert HistoryBinding(root.platform.store.objects).adopt()
    assert not HistoryBinding(root.platform.store.objects).adopt()
    assert json.loads(record(root).read_bytes())["digest"]
    assert found(root) == []
    bind(root)


@pytest.mark.parametrize("number", [1, 60, 130])
def test_a_changed_record_is_named_and_repaired(root: PipelineRoot, number: int) -> None:
    """One flipped bit stops all that would write to the history; the one in the folder has the runs, so it is bound."""
    data = bytearray(record(root).read_bytes())
    data[number % len(data)] ^= 2
    put(root, bytes(data))
    with pytest.raises(RecordError, match="verify --repair"):
        bind(root)
    assert found(root) == [False]
    assert found(root, is_repair=True) == [True]
    assert found(root) == []
    bind(root)


def test_half_a_record_is_named_too(root: PipelineRoot) -> None:
    """And an empty one, and one that is lost, which the history itself brings back."""
    for data in (b"", record(root).read_bytes()[:40]):
        put(root, data)
        assert found(root) == [False]
    record(root).unlink()
    assert found(root) == [False]
    bind(root)
    assert found(root) == []


def test_a_history_without_the_runs_of_the_root_is_not_taken_by_itself(root: PipelineRoot, tmp_path: Path) -> None:
    """Where the record is lost and another root's history lies in the folder, a person decides."""
    other = PipelineRoot(settings_for(tmp_path / "other"))
    with open_instance(other.settings) as instance:
        other.drop("a.jsonl", shop_lines(START, 5))
        assert other.run(START, JUDGED, instance).success
    (root.settings.dagster_home / "storage").rename(tmp_path / "moved")
    (other.settings.dagster_home / "storage").rename(root.settings.dagster_home / "storage")
    assert found(root, is_repair=True) == [False]
    record(root).unlink()
    with pytest.raises(InstanceMismatchError, match="history bind --yes"):
        bind(root)
    assert found(root, is_repair=True) == [False]
    bind_to_own_history(root.platform)
    bind(root)
    assert found(root) == []


def test_a_new_history_in_the_place_of_a_deleted_one_needs_a_word(root: PipelineRoot, tmp_path: Path) -> None:
    """Deleting it stops what would record runs; `history bind` begins anew."""
    root.settings.dagster_home.rename(tmp_path / "deleted")
    assert found(root) == []
    with pytest.raises(InstanceMismatchError, match="history bind --yes"):
        bind(root)
    bind_to_own_history(root.platform)
    bind(root)
