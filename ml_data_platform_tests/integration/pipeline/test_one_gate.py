"""What the checks of ``date_partitions`` refuse, no training table publishes, whoever builds which of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import pytest

from ml_data_platform.datasets.selection import DATASETS, Request, select_partitions
from ml_data_platform.events.planning import Status, expected_days, plan
from ml_data_platform.stages.state import read_state
from ml_data_platform_tests.leaky_days import SESSIONS, VIEWS, telling_lines
from ml_data_platform_tests.pipeline_root import SHOP, PipelineRoot, day, settings_for, shop_lines
from ml_data_platform_tests.sensor_loop import SensorLoop

LEAKY = day(2)
RULE = "no_feature_tells_the_label"
GOOD = {RULE: 1.0}
"""Tolerances under which the same rows are published."""


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> PipelineRoot:
    """Three days that were landed, of which the second is leaky; nothing is built."""
    root = PipelineRoot(settings_for(tmp_path_factory.mktemp("leaky") / "root"))
    for number in (1, 3):
        root.drop(f"{number}.jsonl", shop_lines(day(number), 20))
    root.drop("leaky.jsonl", telling_lines(LEAKY))
    return root


@pytest.fixture
def root(landed: PipelineRoot, tmp_path: Path) -> PipelineRoot:
    """A copy of that root, to be changed."""
    return landed.copied(tmp_path / "root")


def tables_of(root: PipelineRoot, of: dt.date) -> set[str]:
    """Return the training tables that hold a day, as plain readers see it."""
    return {table for table in DATASETS if (root.folder / "data" / table / f"dt={of}").is_dir()}


def events_of(root: PipelineRoot, of: dt.date) -> dict[str, list[str]]:
    """Return the events of a day by training table, as plain readers see them."""
    files = {
        "date_partitions": ["data.parquet"],
        "label_partitions": [f"label={each}/data.parquet" for each in ("positive", "negative")],
        "stratified_partitions": [f"fold={each}/data.parquet" for each in range(5)],
    }
    return {
        table: sorted(row["event_id"] for name in names for row in root.rows(table, of, name))
        for table, names in files.items()
    }


def test_a_backfill_publishes_all_or_none(root: PipelineRoot) -> None:
    """The leaky day is in no table, the others in all; its failure names the rule; asked again, the same."""
    for _ in range(2):
        report = root.backfill()
        assert {each.day for each in report.failed} == {LEAKY}
        (refused,) = [each for each in report.failed if each.asset == "date_partitions"]
        assert RULE in refused.why
        assert refused.is_refused
        assert {each.asset for each in report.failed if "waits" in each.why} == set(DATASETS) - {"date_partitions"}
        assert tables_of(root, LEAKY) == set()
        assert tables_of(root, day(1)) == tables_of(root, day(3)) == set(DATASETS)


def test_the_same_day_without_the_leak_is_published(landed: PipelineRoot, tmp_path: Path) -> None:
    """Good form of the same content: the rows of other sessions, or a tolerance that allows for it, give all tables."""
    tolerant = landed.copied(tmp_path / "tolerant").with_settings(tolerances=GOOD)
    assert tolerant.backfill().is_successful
    other = PipelineRoot(settings_for(tmp_path / "other"))
    other.drop("good.jsonl", telling_lines(LEAKY, tells=False))
    assert other.backfill().is_successful
    for each in (tolerant, other):
        expected = sorted(f"{SHOP}:{line['event_id']}" for line in telling_lines(LEAKY))
        assert events_of(each, LEAKY) == dict.fromkeys(DATASETS, expected)
    assert len(expected) == 2 * SESSIONS * (VIEWS + 2)


@pytest.mark.parametrize(
    "assets",
    [
        ["label_partitions"],
        ["stratified_partitions"],
        ["label_partitions", "stratified_partitions"],
        ["session_features", "label_partitions"],
        ["session_features", *DATASETS],
    ],
    ids="+".join,
)
def test_a_run_of_any_of_the_tables_publishes_none(
    root: PipelineRoot, instance: dg.DagsterInstance, assets: Sequence[str]
) -> None:
    """Materialised in the UI, also before and after the checks were run: the run fails, and says what refuses it."""
    root.run(LEAKY, ["raw_events", "quarantined_events", "validated_events"], instance)
    root.run(day(3), ["raw_events", "quarantined_events", "validated_events"], instance)
    root.run(day(1), ["raw_events", "quarantined_events", "validated_events"], instance)
    root.run(LEAKY, ["session_features"], instance)
    for _ in range(2):
        result = root.run(LEAKY, assets, instance)
        assert not result.success
        assert tables_of(root, LEAKY) == set()
        if "date_partitions" not in assets:
            failed = [event for event in result.all_events if event.is_step_failure]
            said = [event.step_failure_data.user_failure_data.description for event in failed]
            assert said
            assert all("date_partitions" in str(text) for text in said)
        root.run(LEAKY, ["date_partitions"], instance)


def test_one_table_alone_can_be_built_where_the_checks_passed(root: PipelineRoot, instance: dg.DagsterInstance) -> None:
    """A good day: its label table is built again by itself, with the same bytes."""
    root.backfill()
    before = root.contents()
    for asset in ("label_partitions", "stratified_partitions"):
        assert root.run(day(1), [asset], instance).success
    assert root.contents() == before


def test_sensors_publish_all_or_none_and_come_to_rest(root: PipelineRoot, instance: dg.DagsterInstance) -> None:
    """The daemon builds what it may, asks no second time for what is refused, and goes on once its inputs change."""
    loop = SensorLoop(root, instance)
    loop.settle()
    assert tables_of(root, LEAKY) == set()
    assert tables_of(root, day(1)) == set(DATASETS)
    assert loop.turn() == []
    tolerant = SensorLoop(root.with_settings(tolerances=GOOD), instance)
    tolerant.settle()
    assert len({tuple(each) for each in events_of(root, LEAKY).values()}) == 1


def test_all_tables_keep_their_last_good_generation(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """Rows that make a day leaky come late: no table takes them, by any way; without a leak all three go on."""
    root = PipelineRoot(settings_for(tmp_path / "root"))
    root.drop("day.jsonl", telling_lines(LEAKY, name="first", sessions=1))
    assert root.backfill().is_successful
    before = events_of(root, LEAKY)
    root.drop("late.jsonl", telling_lines(LEAKY))
    root.backfill()
    for asset in DATASETS:
        root.run(LEAKY, [asset], instance)
    assert len(root.rows("session_features", LEAKY)) > len(before["date_partitions"])
    assert events_of(root, LEAKY) == before
    (chosen, *_) = [each for each in select_partitions(root.platform.store, Request()).days if each.day == str(LEAKY)]
    assert {record.inputs[f"session_features/{LEAKY}"] for record in chosen.partitions.values()} == {chosen.features}
    left = {each.asset: each.status for each in plan(read_state(root.platform), [LEAKY])}
    assert {left[asset] for asset in DATASETS} == {Status.DIRTY, Status.WAITING}
    assert root.with_settings(tolerances=GOOD).backfill().is_successful
    after = events_of(root, LEAKY)
    assert len({tuple(each) for each in after.values()}) == 1
    assert len(after["label_partitions"]) == len(before["label_partitions"]) + 2 * SESSIONS * (VIEWS + 2)


def test_a_stricter_rule_leaves_what_is_published_and_is_told(root: PipelineRoot) -> None:
    """A tolerance that no longer allows for a published day: the day stays, the plan says that it is not settled."""
    assert root.with_settings(tolerances=GOOD).backfill().is_successful
    before = events_of(root, LEAKY)
    report = root.backfill()
    assert [(each.asset, each.day) for each in report.failed] == [("date_partitions", LEAKY)]
    assert events_of(root, LEAKY) == before
    open_ones = [
        (each.asset, each.day)
        for each in plan(read_state(root.platform), expected_days(read_state(root.platform)))
        if each.status is not Status.CLEAN
    ]
    assert open_ones == [("date_partitions", LEAKY)]
