"""A day that breaks its tolerance is not published, holds up only what reads it, and says so."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dagster as dg
import pytest

from ml_data_platform.defs.history import check_counts
from ml_data_platform.errors import BlockedUpstreamError
from ml_data_platform.events.planning import UPSTREAM, Status, expected_days, plan
from ml_data_platform.stages.state import read_state
from ml_data_platform_tests.pipeline_root import PipelineRoot, day, settings_for, shop_lines

POISONED = day(3)
DAYS = [day(number) for number in range(1, 6)]
TRAINING = ("date_partitions", "label_partitions", "stratified_partitions")
FEATURES = ("session_features", *TRAINING)
TOLERANCE = "rejected_share_is_within_tolerance"


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> PipelineRoot:
    """Five days of 20 good events each, landed and not built; the third has 5 broken rows among its 25."""
    root = PipelineRoot(settings_for(tmp_path_factory.mktemp("poisoned") / "root"))
    for number, of in enumerate(DAYS):
        root.drop(f"{number}.jsonl", shop_lines(of, 20, broken=5 if of == POISONED else 0))
    return root


def published(root: PipelineRoot, asset: str) -> list[dt.date]:
    """Return the days of an asset that have a generation."""
    return sorted(of for name, of in root.heads() if name == asset)


def test_a_refused_day_holds_up_only_what_reads_it(poisoned: PipelineRoot, instance: dg.DagsterInstance) -> None:
    """The day's events are not published, its quarantine is; other days' are; the features around it are blocked."""
    report = poisoned.backfill(DAYS, instance)
    good = [of for of in DAYS if of != POISONED]
    far = [day(1), day(5)]
    assert published(poisoned, "raw_events") == DAYS
    assert published(poisoned, "quarantined_events") == DAYS
    assert published(poisoned, "validated_events") == good
    assert published(poisoned, "session_summaries") == good
    for asset in FEATURES:
        assert published(poisoned, asset) == far, asset
    assert len(poisoned.rows("quarantined_events", POISONED, "disposition=rejected/data.parquet")) == 5
    assert [(each.asset, each.day) for each in report.failed] == [("validated_events", POISONED)]
    assert TOLERANCE in report.failed[0].why
    blocked = {(each.asset, each.day): each.blocked_by for each in report.blocked}
    expected = {(asset, of): (POISONED,) for asset in FEATURES for of in (day(2), day(3), day(4))}
    assert blocked == expected | {("session_summaries", POISONED): (POISONED,)}
    assert not report.is_successful

    checks = check_counts(instance)
    assert {key: counts.failed for key, counts in checks.items() if counts.failed} == {
        POISONED.isoformat(): ["validated_events: event_types_are_known", f"validated_events: {TOLERANCE}"]
    }

    again = poisoned.backfill(DAYS, instance)
    assert again.runs == 0
    assert not again.failed
    assert {(each.asset, each.day) for each in again.blocked} >= {("validated_events", POISONED), *expected}
    assert not again.is_successful


def test_a_raised_tolerance_publishes_the_day(poisoned: PipelineRoot, tmp_path: Path) -> None:
    """Another tolerance is another input: every day's events are judged anew, and the day is published."""
    root = poisoned.copied(tmp_path / "root").with_settings(tolerances={TOLERANCE: 0.5, "event_types_are_known": 0.5})
    before = root.contents()
    dirty = [each for each in plan(read_state(root.platform), DAYS) if each.status is Status.DIRTY]
    assert {(each.asset, each.day) for each in dirty} == {("validated_events", of) for of in DAYS}
    report = root.backfill()
    assert report.is_successful
    for asset in UPSTREAM:
        assert published(root, asset)[:5] == DAYS, asset
    assert len(root.rows("validated_events", POISONED)) == 20
    after = root.contents()
    assert {key: after[key] for key in before} == before | {
        key: after[key] for key in before if key[0] in FEATURES and key[1] == day(5)
    }


def test_a_day_without_a_good_generation_refuses_its_readers(
    poisoned: PipelineRoot, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    """A separate run of the features is refused by name of the day that blocks them; nothing is published."""
    root = poisoned.copied(tmp_path / "root")
    for of in (day(2), day(3), day(4)):
        result = root.run(of, ["session_features"], instance)
        (failure,) = [event for event in result.all_events if event.is_step_failure]
        data = failure.step_failure_data
        assert data.user_failure_data.metadata["error"].value == BlockedUpstreamError.__name__
        assert f"blocked_by={POISONED}" in data.user_failure_data.description
        for asset in TRAINING:
            assert not root.run(of, [asset], instance).success
    assert root.generations() == poisoned.generations()


def test_a_good_generation_stays_and_is_used(copied_root: PipelineRoot, instance: dg.DagsterInstance) -> None:
    """Bad rows that land later leave the last good generation in place, and what reads it goes on with it."""
    of, before = day(2), copied_root.heads()
    view = copied_root.rows("validated_events", of)
    copied_root.drop("poison.jsonl", shop_lines(of, 5, broken=600))
    report = copied_root.backfill(None, instance)
    assert [(each.asset, each.day) for each in report.failed] == [("validated_events", of)]
    assert report.runs == 1
    after = copied_root.heads()
    changed = {key for key in after if after[key] != before.get(key)}
    assert changed == {("raw_events", of), ("quarantined_events", of)}
    assert copied_root.rows("validated_events", of) == view

    again = copied_root.backfill(None, instance)
    assert (again.runs, again.is_successful) == (0, False)
    assert [(each.asset, each.day) for each in again.blocked] == [("validated_events", of)]
    assert copied_root.run(of, ["session_features", *TRAINING], instance).success
    assert copied_root.heads() == after
    assert expected_days(read_state(copied_root.platform)) == DAYS


@pytest.mark.parametrize(
    ("good", "broken", "is_refused"), [(0, 1, False), (0, 2, False), (0, 3, True), (5, 1, False), (1, 0, False)]
)
def test_a_day_of_a_row_or_two_blocks_nobody(tmp_path, good, broken, is_refused):
    """A stray broken row is set aside with a warning, and the days beside it are built; from three on a day is refused."""
    root = PipelineRoot(settings_for(tmp_path / "root"))
    for number in (1, 3):
        root.drop(f"{number}.jsonl", shop_lines(day(number), 40))
    root.drop("2.jsonl", shop_lines(day(2), good, broken=broken))
    with dg.DagsterInstance.ephemeral() as instance:
        report = root.backfill(instance=instance)
        checks = check_counts(instance)[day(2).isoformat()]
    assert report.is_successful is not is_refused, report
    warned = "validated_events: nearly_all_rows_are_valid" in checks.warned
    assert warned is (broken > 0)
    assert bool(checks.failed) is is_refused
    assert len(root.rows("quarantined_events", day(2), "disposition=rejected/data.parquet")) == broken
    built = {of for asset, of in root.heads() if asset == "date_partitions"}
    assert ({day(1), day(2), day(3)} <= built) is not is_refused
    if not is_refused:
        assert len(root.rows("validated_events", day(2))) == good


def test_where_nothing_is_tolerated_one_row_is_enough(tmp_path):
    """Who sets a tolerance to 0 means it."""
    root = PipelineRoot(settings_for(tmp_path / "root", tolerances={TOLERANCE: 0.0}))
    root.drop("1.jsonl", shop_lines(day(1), 40, broken=1))
    (failed,) = root.backfill([day(1)]).failed
    assert failed.is_refused
