"""A run that selects one of two tables of a stage."""

from __future__ import annotations

import dagster as dg
import pytest

from ml_data_platform.defs.backfill import QUIET
from ml_data_platform.defs.location import build_definitions
from ml_data_platform_tests.pipeline_root import PipelineRoot, day, settings_for, shop_lines


@pytest.mark.parametrize("selected", ["validated_events", "quarantined_events"])
def test_events_and_their_quarantine_are_published_together(
    selected: str, tmp_path, instance: dg.DagsterInstance
) -> None:
    """Whichever of the two a run selects, both get a generation from the same inputs, and both are reported."""
    root = PipelineRoot(settings_for(tmp_path / "root"))
    root.drop("one.jsonl", shop_lines(day(1), 30, broken=1))
    job = build_definitions(root.settings).resolve_job_def("rebuild")
    for assets in (["raw_events"], [selected]):
        result = job.execute_in_process(
            instance=instance,
            partition_key=day(1).isoformat(),
            asset_selection=[dg.AssetKey(asset) for asset in assets],
            run_config=QUIET,
        )
        assert result.success
    reported = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert reported == {"validated_events", "quarantined_events"}
    store = root.platform.store
    heads = [store.head(asset, day(1)) for asset in ("validated_events", "quarantined_events")]
    assert [head.rows for head in heads] == [30, 1]
    assert heads[0].inputs == heads[1].inputs
