"""A day that breaks its tolerance is not published, holds up only what reads it, and says so."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pytest

from ml_data_platform.defs.backfill import BackfillReport
from ml_data_platform.defs.history import CheckCounts, check_counts
from ml_data_platform.errors import BlockedUpstreamError
from ml_data_platform.events.planning import UPSTREAM, Status, expected_days, plan
from ml_data_platform.stages.state import TABLES, read_state
from ml_data_platform.stages.stored_checks import stored_checks_of_days
from ml_data_platform_tests.pipeline_root import PipelineRoot, day, settings_for, shop_lines

POISONED = day(3)
DAYS = [day(number) for number in range(1, 6)]
TRAINING = ("date_partitions", "label_partitions", "stratified_partitions")
FEATURES = ("session_features", *TRAINING)
TOLERANCE = "rejected_share_is_within_tolerance"


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> tuple[PipelineRoot, BackfillReport]:
    """Five days of 20 good events each, and how building them ended; the third has 5 broken rows among its 25."""
    root = PipelineRoot(settings_for(tmp_path_factory.mktemp("poisoned") / "root"))
    for number, of in enumerate(DAYS):
        root.drop(f"{number}.jsonl", shop_lines(of, 20, broken=5 if of == POISONED else 0))
    return root, root.backfill(DAYS)


@pytest.fixture
def root(poisoned: tuple[PipelineRoot, BackfillReport], tmp_path: Path) -> PipelineRoot:
    """A copy of that root, to be changed."""
    return poisoned[0].copied(tmp_path / "root")


def checks_of(root: PipelineRoot) -> Mapping[str, CheckCounts]:
    """Return per day how its checks ended, as the commits have it."""
    every = {of.isoformat(): [*TABLES] for of in DAYS}
    with dg.DagsterInstance.ephemeral() as empty:
        return check_counts(empty, None, every, stored_checks_of_days(root.platform))


def published(root: PipelineRoot, asset: str) -> list[dt.date]:
    """Return the days of an asset that have a generation."""
    return sorted(of for name, of in root.heads() if name == asset)


def test_a_refused_day_holds_up_only_what_reads_it(poisoned: tuple[PipelineRoot, BackfillReport]) -> None:
    """The day's events are not published, its quarantine is; other days' are; the features around it are blocked."""
    root, report = poisoned
    good = [of for of in DAYS if of != POISONED]
    far = [day(1), day(5)]
    assert published(root, "raw_events") == DAYS
    assert published(root, "quarantined_events") == DAYS
    assert published(root, "validated_events") == good
    assert published(root, "session_summaries") == good
    for asset in FEATURES:
        assert published(root, asset) == far, asset
    assert len(root.rows("quarantined_events", POISONED, "disposition=rejected/data.parquet")) == 5
    assert [(each.asset, each.day) for each in report.failed] == [("validated_events", POISONED)]
    assert TOLERANCE in report.failed[0].why
    blocked = {(each.asset, each.day): each.blocked_by for each in report.blocked}
    expected = {(asset, of): (POISONED,) for asset in FEATURES for of in (day(2), day(3), day(4))}
    assert blocked == expected | {("session_summaries", POISONED): (POISONED,)}
    assert not report.is_successful

    assert {key: counts.failed for key, counts in checks_of(root).items() if counts.failed} == {
        POISONED.isoformat(): ["validated_events: event_types_are_known", f"validated_events: {TOLERANCE}"]
    }

    again = root.backfill(DAYS)
    assert again.runs == 0
    assert not again.failed
    assert {(each.asset, each.day) for each in again.blocked} >= {("validated_events", POISONED), *expected}
    assert not again.is_successful


def test_a_raised_tolerance_publishes_the_day(root: PipelineRoot) -> None:
    """Another tolerance is another input: every day's events are judged anew, and the day is published."""
    root = root.with_settings(tolerances={TOLERANCE: 0.5, "event_types_are_known": 0.5})
    before = root.contents()
    dirty = [each for each in plan(read_state(root.platform), DAYS) if each.status is Status.DIRTY]
    assert {(each.asset, each.day) for each in dirty} == {("validated_events", of) for of in DAYS}
    assert root.backfill(DAYS).is_successful
    for asset in UPSTREAM:
        assert published(root, asset) == DAYS, asset
    assert len(root.rows("validated_events", POISONED)) == 20
    after = root.contents()
    assert {key: after[key] for key in before} == before | {
        key: after[key] for key in before if key[0] in FEATURES and key[1] == day(5)
    }


def test_a_day_without_a_good_generation_refuses_its_readers(root: PipelineRoot, instance: dg.DagsterInstance) -> None:
    """A separate run of the features is refused by name of the day that blocks them; nothing is published."""
    before = root.generations()
    for of in (day(2), day(3), day(4)):
        result = root.run(of, ["session_features"], instance)
        (failure,) = [event for event in result.all_events if event.is_step_failure]
        data = failure.step_failure_data
        assert data.user_failure_data.metadata["error"].value == BlockedUpstreamError.__name__
        assert f"blocked_by={POISONED}" in data.user_failure_data.description
    for asset in TRAINING:
        assert not root.run(POISONED, [asset], instance).success
    assert root.generations() == before


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


def test_a_day_of_a_row_or_two_blocks_nobody(tmp_path: Path) -> None:
    """A stray broken row is set aside with a warning, and the days beside it are built; from three on a day is refused."""
    root = PipelineRoot(settings_for(tmp_path / "root"))
    rows = {1: (0, 1), 2: (0, 2), 3: (5, 1), 4: (1, 0), 5: (0, 3)}
    for number, (good, broken) in rows.items():
        root.drop(f"{number}.jsonl", shop_lines(day(number), good, broken=broken))
    report = root.judge(DAYS)
    assert [(each.asset, each.day) for each in report.failed] == [("validated_events", day(5))]
    checks = checks_of(root)
    for number, (good, broken) in rows.items():
        found = checks[day(number).isoformat()]
        assert ("validated_events: nearly_all_rows_are_valid" in found.warned) is (broken > 0)
        assert bool(found.failed) is (number == 5)
        rejected = root.rows("quarantined_events", day(number), "disposition=rejected/data.parquet")
        assert len(rejected) == broken
        assert number == 5 or len(root.rows("validated_events", day(number))) == good
    assert root.backfill([day(2)]).is_successful
    assert published(root, "date_partitions") == [day(2)]


def test_where_nothing_is_tolerated_one_row_is_enough(tmp_path: Path) -> None:
    """Who sets a tolerance to 0 means it."""
    root = PipelineRoot(settings_for(tmp_path / "root", tolerances={TOLERANCE: 0.0}))
    root.drop("1.jsonl", shop_lines(day(1), 40, broken=1))
    (failed,) = root.judge([day(1)]).failed
    assert failed.is_refused
