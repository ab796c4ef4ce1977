"""What a user starts in the UI ends as the UI should show it."""

from __future__ import annotations

import pytest

from ml_data_platform.stages.state import TABLES
from ml_data_platform.validation.suites import rules_for
from ml_data_platform_tests.e2e.checkout import Checkout
from ml_data_platform_tests.e2e.conftest import (
    EVENTS,
    GOOD_DAYS,
    NEVER_LANDED,
    SINGLE_FILE,
    TEST_SECONDS,
    FirstLife,
    SecondLife,
)

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(TEST_SECONDS)]


def test_the_sensor_runs_without_being_switched_on(first_life: FirstLife) -> None:
    """A newly started platform watches its landing folder, as often as the root's settings say."""
    assert first_life.sensor["status"] == "RUNNING"
    assert first_life.sensor["interval"] == 1
    assert first_life.sensor["ticks"][0]["error"] is None


def test_single_partitions_are_built(first_life: FirstLife) -> None:
    """Materializing an unpartitioned asset, an asset of one day and the job that refreshes a day all end well."""
    assert first_life.single_runs == {"landed_files": "SUCCESS", "raw_events": "SUCCESS", "refresh_day": "SUCCESS"}


def test_a_backfill_over_a_range_ends_green(first_life: FirstLife) -> None:
    """Every table of every day of the range is materialised, the neighbours' runs included."""
    status, runs = first_life.good

    assert status == "COMPLETED_SUCCESS"
    assert {run.status for run in runs} == {"SUCCESS"}
    for asset in TABLES:
        assert [first_life.partitions[asset][of] for of in GOOD_DAYS] == ["MATERIALIZED"] * len(GOOD_DAYS), asset


def test_every_check_of_every_day_is_green(first_life: FirstLife) -> None:
    """All checks that the suites name are shown for each day of its own, and passed."""
    for asset in TABLES:
        shown = first_life.seen.checks[asset]
        assert set(shown) == {rule.name for rule in rules_for(asset)}
        for of in GOOD_DAYS:
            assert {days.get(of) for days in shown.values()} == {"SUCCEEDED"}, (asset, of)


def test_the_published_tables_hold_what_was_dropped(first_life: FirstLife) -> None:
    """Each day has its events in every table, once; labels of the last day are immature: nobody knows the day after."""
    expected = {(asset, of): EVENTS for asset in SINGLE_FILE for of in GOOD_DAYS}

    assert first_life.published_rows == {**expected, ("date_partitions", GOOD_DAYS[1]): 0}


def test_labels_mature_once_the_following_day_is_built(checkout: Checkout, second_life: SecondLife) -> None:
    """The command line built the empty day after: the training rows of the day before it followed."""
    assert second_life.seen_after.partitions["validated_events"][NEVER_LANDED] == "MATERIALIZED"
    assert len(checkout.rows("date_partitions", GOOD_DAYS[1])) == EVENTS


def test_no_data_is_invented_for_the_neighbours(first_life: FirstLife) -> None:
    """The backfill ran the features of the day after its range, of which nothing was built: checks were skipped."""
    _, runs = first_life.good

    assert NEVER_LANDED in {run.day for run in runs if "session_features" in run.assets}
    assert NEVER_LANDED not in first_life.partitions["validated_events"]
    assert {days[NEVER_LANDED] for days in first_life.seen.checks["session_features"].values()} == {"SKIPPED"}
    assert not any(NEVER_LANDED in days for days in first_life.seen.checks["validated_events"].values())
