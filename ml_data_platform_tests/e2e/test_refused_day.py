"""A backfill over a day that breaks its tolerance: the day is refused, the others are not."""

from __future__ import annotations

from typing import Any

import pytest

from ml_data_platform.generator.truth import DayTruth
from ml_data_platform.validation.suites import rules_for
from ml_data_platform_tests.e2e.checkout import Checkout
from ml_data_platform_tests.e2e.conftest import POISONED, POISONED_DAYS, TEST_SECONDS, FirstLife, SecondLife
from ml_data_platform_tests.pipeline_root import day

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(TEST_SECONDS)]
BLOCKING = "rejected_share_is_within_tolerance"
FEATURES = ("session_features", "date_partitions", "label_partitions", "stratified_partitions")
Planted = tuple[dict[Any, list[str]], dict[Any, DayTruth]]


def test_the_backfill_ends_as_failed(first_life: FirstLife) -> None:
    """Not COMPLETED_SUCCESS: a user who looks at the backfill alone sees that something is wrong."""
    status, runs = first_life.poisoned

    assert status == "COMPLETED_FAILED"
    assert {run.day for run in runs if run.status != "SUCCESS"} == {POISONED}


def test_the_refused_day_is_not_published_and_its_quarantine_is(
    checkout: Checkout, first_life: FirstLife, planted: Planted
) -> None:
    """No event of the day is published; every broken row and every repeat can be looked at."""
    partitions = first_life.partitions
    truth = planted[1][day(6)]

    assert partitions["validated_events"][POISONED] == "FAILED"
    assert not checkout.is_published("validated_events", day(6))
    assert partitions["raw_events"][POISONED] == partitions["quarantined_events"][POISONED] == "MATERIALIZED"
    assert len(checkout.rows("raw_events", day(6))) == truth.rows
    rejected = checkout.rows("quarantined_events", day(6), "disposition=rejected/data.parquet")
    assert len(rejected) == truth.rejected > 0


def test_the_other_day_of_the_backfill_is_published(
    checkout: Checkout, first_life: FirstLife, planted: Planted
) -> None:
    """The day before holds exactly the clean events that were planted."""
    assert first_life.partitions["validated_events"][POISONED_DAYS[0]] == "MATERIALIZED"
    assert len(checkout.rows("validated_events", day(5))) == planted[1][day(5)].kinds["clean"]


def test_checks_are_red_on_the_refused_day_only(first_life: FirstLife) -> None:
    """The check that blocks is red on its day and green beside it; no other day has a red check that blocks."""
    checks = first_life.seen.checks["validated_events"]
    blocking = {rule.name for rule in rules_for("validated_events") if rule.blocking}
    red = {name: {of for of, status in checks[name].items() if status != "SUCCEEDED"} for name in blocking}

    assert red[BLOCKING] == {POISONED}
    assert set().union(*red.values()) == {POISONED}
    assert [checks[BLOCKING][of] for of in POISONED_DAYS] == ["SUCCEEDED", "FAILED"]


def test_the_red_check_says_what_it_found(first_life: FirstLife, planted: Planted) -> None:
    """The check's evaluation is an error and shows the share that was found."""
    truth = planted[1][day(6)]

    assert first_life.refused_check["status"] == "FAILED"
    assert first_life.refused_check["severity"] == "ERROR"
    assert f"{truth.rejected / truth.rows:.3f}" in first_life.refused_check["observed"]


def test_features_that_read_the_refused_day_are_not_run(checkout: Checkout, first_life: FirstLife) -> None:
    """They would be built from a day that looks empty: the backfill runs none of them, the neighbours' neither."""
    _, runs = first_life.poisoned

    assert not {run.day for run in runs if "session_features" in run.assets} & set(POISONED_DAYS)
    for asset in FEATURES:
        assert not set(first_life.partitions[asset]) & set(POISONED_DAYS)
        assert not any(checkout.is_published(asset, of) for of in (day(5), day(6), day(7)))


def test_a_separate_run_of_a_neighbour_is_refused(second_life: SecondLife) -> None:
    """Features of the day before have no good generation to read: the run fails and names the day to mend."""
    assert f"validated_events of {POISONED}" in second_life.refused_run["session_features"]
