"""A backfill of a range of days in the UI runs the neighbours of its days too: they must not make it fail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import PartitionBackfill

from ml_data_platform.stages.state import TABLES
from ml_data_platform_tests.pipeline_root import PipelineRoot, day, settings_for, shop_lines

TRAINING = ("session_features", "date_partitions", "label_partitions", "stratified_partitions")
BACKFILL = "backfill-1"


@pytest.fixture
def landed(tmp_path: Path) -> PipelineRoot:
    """A root in which the rows of one day were landed, and nothing was built."""
    root = PipelineRoot(settings_for(tmp_path / "root"))
    root.drop("one.jsonl", shop_lines(day(3), 5))
    return root


def ask_for(root: PipelineRoot, instance: dg.DagsterInstance, assets: Sequence[str], days: Sequence[int]) -> set[str]:
    """Record a backfill as the UI's request does, and return the days of its ``session_features``."""
    backfill = PartitionBackfill.from_asset_partitions(
        backfill_id=BACKFILL,
        asset_graph=root.definitions.resolve_asset_graph(),
        partition_names=[day(number).isoformat() for number in days],
        asset_selection=[dg.AssetKey(asset) for asset in assets],
        backfill_timestamp=root.now.timestamp(),
        tags={},
        dynamic_partitions_store=instance,
        all_partitions=False,
        title=None,
        description=None,
        run_config=None,
    )
    instance.add_backfill(backfill)
    assert backfill.asset_backfill_data is not None
    target = backfill.asset_backfill_data.target_subset.get_partitions_subset(dg.AssetKey("session_features"))
    return set(target.get_partition_keys())


def test_a_neighbour_that_nobody_asked_for_ends_well_without_its_upstream(
    landed: PipelineRoot, instance: dg.DagsterInstance
) -> None:
    """The backfill of day 2 runs the features of day 3, whose landed rows were never built: nothing is invented."""
    assert day(3).isoformat() in ask_for(landed, instance, list(TABLES), [2])

    result = landed.run(day(3), TRAINING, instance, **{"dagster/backfill": BACKFILL})

    assert result.success
    assert landed.heads() == {}
    events = [event.step_materialization_data.materialization for event in result.get_asset_materialization_events()]
    assert {event.asset_key.to_user_string() for event in events} == set(TRAINING)
    assert all("did not ask for this day" in str(event.metadata["nothing_built"].value) for event in events)


@pytest.mark.parametrize(
    ("assets", "days"),
    [(list(TABLES), [2, 3]), (["session_features"], [3]), ([], [])],
    ids=["asked for", "asked for alone", "not a backfill"],
)
def test_a_day_that_was_asked_for_is_refused_without_its_upstream(
    landed: PipelineRoot, instance: dg.DagsterInstance, assets: list[str], days: list[int]
) -> None:
    """Landed rows are never read as an empty day: features of them fail, and say what to build first."""
    tags = {"dagster/backfill": BACKFILL} if assets else {}
    if assets:
        assert day(3).isoformat() in ask_for(landed, instance, assets, days)

    result = landed.run(day(3), ["session_features"], instance, **tags)

    assert not result.success
    failure = result.failure_data_for_node("session_features")
    assert failure is not None
    assert "reads validated_events of 2026-03-04" in str(failure.user_failure_data)
