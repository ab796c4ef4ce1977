"""A query beyond the setting `memory_limit` ends in one message that names it; rows are not called refused, none is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ml_data_platform.datasets.load_dataset import load_dataset
from ml_data_platform.errors import EngineMemoryError
from ml_data_platform_tests.command_line import CommandLine, Result
from ml_data_platform_tests.pipeline_root import PipelineRoot
from ml_data_platform_tests.version_root import cut

LITTLE = {"ML_DATA_PLATFORM_MEMORY_LIMIT": "1MB"}


def write(path: Path, name: str) -> None:
    """Write a few events of one day."""
    event = {"user_id": "u", "session_id": "s", "event_type": "search", "timestamp": "2026-06-01T10:00:00Z"}
    path.write_text("".join(json.dumps({**event, "event_id": f"{name}{number}"}) + "\n" for number in range(50)))


def names_the_setting(result: Result) -> bool:
    """Tell whether a command failed and said that it was memory, and how much of it there was."""
    return result.status == 1 and "memory" in result.text and "1MB" in result.text and "`memory_limit`" in result.text


def test_landing_and_building_say_that_it_is_memory(tmp_path: Path) -> None:
    """A file is not landed and a day is not built, with that reason alone; with more memory all rows are there."""
    cli = CommandLine(tmp_path)
    for name in ("a", "b"):
        write(tmp_path / f"{name}.jsonl", name)
    cli.ok("land", "a.jsonl", "--source", "demo_shop", "--historical")
    built = cli("backfill", environment=LITTLE)
    assert names_the_setting(built), built
    assert "efused" not in built.text
    landed = cli("land", "b.jsonl", "--source", "demo_shop", "--historical", environment=LITTLE)
    assert names_the_setting(landed), landed
    cli.ok("land", "b.jsonl", "--source", "demo_shop", "--historical")
    cli.build()
    published = (tmp_path / ".platform" / "data" / "validated_events").rglob("*.parquet")
    assert sum(pq.read_metadata(path).num_rows for path in published) == 100


def test_rows_of_a_version_say_that_it_is_memory(
    built_root: PipelineRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading for training raises the error that names the setting; with more memory the rows come out."""
    root = built_root.copied(tmp_path / "root")
    manifest = cut(root).manifest
    with monkeypatch.context() as little:
        for name, value in LITTLE.items():
            little.setenv(name, value)
        with pytest.raises(EngineMemoryError, match="`memory_limit`"):
            len(load_dataset(manifest.tag, root=root.folder).to_arrow())
    assert len(load_dataset(manifest.tag, root=root.folder).to_arrow()) == manifest.datasets[0].rows
