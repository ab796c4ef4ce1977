"""A run whose tag names no day of the calendar builds nothing and writes nowhere."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from ml_data_platform_tests.pipeline_root import PipelineRoot, settings_for
from ml_data_platform_tests.sensor_loop import QUIET

HOSTILE = ("../../../outside", "2026-03-02\n", "2026-02-30", "\u0662\u0660\u0662\u0666-03-02", "2026-03-02/..")


@pytest.mark.parametrize("key", HOSTILE)
def test_a_key_that_names_no_day_is_refused_before_anything_is_written(
    tmp_path: Path, instance: dg.DagsterInstance, key: str
) -> None:
    """Whoever launches a run over GraphQL writes its tags: the partition is taken for a day only if it is one."""
    root = PipelineRoot(settings_for(tmp_path / "root"))
    try:
        ended = root.definitions.resolve_job_def("rebuild").execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey("raw_events")],
            run_config=QUIET,
            tags={"dagster/partition": key},
            raise_on_error=False,
        )
        assert not ended.success
    except (dg.DagsterError, ValueError):
        pass  # Dagster refused it itself
    assert not (tmp_path / "outside").exists()
    written = [path for path in root.folder.rglob("*") if path.is_file()] if root.folder.exists() else []
    assert not [path for path in written if "log" in path.parts or "data" in path.parts or "objects" in path.parts]
