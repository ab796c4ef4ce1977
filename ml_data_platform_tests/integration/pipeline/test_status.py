"""What the status says of a root is what the generator planted there."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dagster as dg
import pytest

from ml_data_platform.defs.history import check_counts
from ml_data_platform.errors import InstanceMismatchError
from ml_data_platform.events.planning import Status
from ml_data_platform.generator.truth import Planted, load_planted
from ml_data_platform.stages.state import TABLES
from ml_data_platform.stages.summary import summarise_days, summarise_landing
from ml_data_platform.validation.suites import rules_for
from ml_data_platform_tests.pipeline_root import SHOP, PipelineRoot, day, settings_for, shop_lines


@pytest.fixture
def planted(built_root: PipelineRoot) -> Planted:
    """What the generator counted while it wrote the built root's files."""
    found = load_planted(built_root.settings.landing)
    assert found is not None
    return found


def test_days_add_up_to_what_was_planted(built_root: PipelineRoot, planted: Planted) -> None:
    """Landed, valid, duplicate and rejected rows of each day, and nothing left to do."""
    summaries = {summary.day.isoformat(): summary for summary in summarise_days(built_root.platform)}
    empty = summaries.pop(day(5).isoformat())
    assert set(summaries) == set(planted.days)
    for key, truth in planted.days.items():
        found = summaries[key]
        assert found.landed_rows == found.rows["raw_events"] == truth.rows
        assert found.duplicate_rows == truth.duplicates
        assert found.rejected_rows == truth.rejected
        assert found.rows["validated_events"] == found.rows["session_features"] == truth.kinds["clean"]
        assert found.status is Status.CLEAN
    assert (empty.landed_rows, empty.rows["raw_events"], empty.status, empty.label_rate) == (0, 0, Status.CLEAN, None)


def test_the_label_rate_is_that_of_the_mature_rows(built_root: PipelineRoot) -> None:
    """Counted again in plain Python over the day's label files."""
    (summary,) = summarise_days(built_root.platform, [day(2)])
    positives, negatives = (
        len(built_root.rows("label_partitions", day(2), f"label={label}/data.parquet"))
        for label in ("positive", "negative")
    )
    assert summary.positive_rows == positives > 0
    assert summary.label_rate == positives / (positives + negatives)
    assert summary.to_json()["label_rate"] == summary.label_rate


def test_a_day_that_is_not_built_is_listed_when_asked_for(built_root: PipelineRoot) -> None:
    """Nothing landed and nothing needed, which is not the same as empty."""
    (summary,) = summarise_days(built_root.platform, [day(9)])
    assert summary.status is Status.NOT_NEEDED
    assert set(summary.rows.values()) == {None}
    assert (summary.duplicate_rows, summary.rejected_rows, summary.label_rate) == (None, None, None)


def test_landing_adds_up_to_what_was_planted(built_root: PipelineRoot, planted: Planted) -> None:
    """Files, rows, and rows without a day by reason."""
    landing = summarise_landing(built_root.platform)
    assert landing.files == {SHOP: {"landed": len(planted.files)}}
    assert landing.rows == planted.rows
    assert sum(landing.undated.values()) == planted.undated
    assert all(planted.kinds[reason] == count for reason, count in landing.undated.items())
    assert landing.failures == 0


def test_every_rule_is_a_check_of_every_day(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """After a build each rule of each table has a verdict for the day; a warning does not spoil the day."""
    root = PipelineRoot(settings_for(tmp_path / "root"))
    root.drop("a.jsonl", shop_lines(day(1), 30))
    # A tenth of a day's rows may be copies: more are a warning.
    root.drop("b.jsonl", [{**line, "client_version": "2"} for line in shop_lines(day(1), 6)])
    assert root.backfill([day(1)], instance).is_successful
    counts = check_counts(instance)
    assert list(counts) == [day(1).isoformat()]
    found = counts[day(1).isoformat()]
    assert found.failed == []
    # The copies have a client version that the rows which are kept have not.
    assert found.warned == [
        "validated_events: duplicate_share_is_within_tolerance",
        "validated_events: duplicates_are_identical",
    ]
    assert found.passed + len(found.warned) == sum(len(rules_for(asset)) for asset in TABLES)


def test_a_corrected_contract_reads_the_files_again(tmp_path: Path) -> None:
    """Rows that a wrong contract could not date are there after it was put right, and their days are due."""
    sources = tmp_path / "sources"
    sources.mkdir()
    text = "source: other_shop\nformat: jsonl\nschema_version: 2\nevent_time: {epoch_unit: %s}\n"
    (sources / "other_shop.yaml").write_text(text % "us")
    root = PipelineRoot(settings_for(tmp_path / "root", sources=sources, settle_seconds=0))
    landed = root.drop("a.jsonl", shop_lines(day(1), 20), source="other_shop")
    assert landed.record is not None
    assert landed.record.undated == {"event_time_before_start_date": 20}
    assert summarise_days(root.platform) == []

    (sources / "other_shop.yaml").write_text(text % "ms")
    again = PipelineRoot(root.settings)
    (known,) = again.land(tmp_path / "root_dropped" / "other_shop" / "a.jsonl", source="other_shop")
    assert known.record is not None
    assert known.record.rows_per_day == {day(1).isoformat(): 20}
    assert [summary.day for summary in summarise_days(again.platform)] == [day(1), day(2)]
    assert again.judge([day(1)]).is_successful
    assert len(again.rows("validated_events", day(1))) == 20
    assert summarise_landing(again.platform).undated == {}
    undated = again.folder / "data" / "undated_rows" / "source=other_shop"
    assert not undated.exists() or list(undated.iterdir()) == []


def test_a_root_belongs_to_one_instance(built_root: PipelineRoot, tmp_path: Path) -> None:
    """The first instance is its own, for good; another one is refused, and told which it is."""
    root = PipelineRoot(settings_for(tmp_path / "root"), now=dt.datetime(2026, 3, 20, tzinfo=dt.UTC))
    root.platform.bind_instance("first")
    root.platform.bind_instance("first")
    with pytest.raises(InstanceMismatchError) as caught:
        root.platform.bind_instance("second")
    assert (caught.value.expected, caught.value.got) == ("first", "second")
    # Ephemeral instances leave no history, so the root that was built in one is still free.
    built_root.copied(tmp_path / "copy").platform.bind_instance("first")
