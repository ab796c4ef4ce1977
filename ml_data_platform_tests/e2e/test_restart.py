"""One root, one history: over restarts, and whether it is reached by the UI, `dg` or the command line."""

from __future__ import annotations

import json

import pytest

from ml_data_platform.stages.state import TABLES
from ml_data_platform_tests.e2e.conftest import GOOD_DAYS, POISONED, TEST_SECONDS, FirstLife, SecondLife
from ml_data_platform_tests.pipeline_root import day

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(TEST_SECONDS)]


def test_runs_partitions_and_checks_survive_a_restart(first_life: FirstLife, second_life: SecondLife) -> None:
    """The platform's `dev` shows the same runs, partitions and checks as `dg dev` in the checkout; no DAGSTER_HOME is set."""
    assert len(first_life.seen.runs) > len(GOOD_DAYS)
    assert second_life.seen == first_life.seen


def test_a_sensor_that_was_stopped_stays_stopped(second_life: SecondLife) -> None:
    """It is the same sensor of the same code location, though `dev` found it another way than `dg dev`."""
    assert second_life.sensor["status"] == "STOPPED"


def test_the_command_line_sees_the_checks_of_the_ui(first_life: FirstLife, second_life: SecondLife) -> None:
    """`status` counts the checks that runs of the UI recorded, while the UI is open; for the red one it exits with 1."""
    assert second_life.status.returncode == 1, second_life.status.stderr
    days = {each["day"]: each for each in json.loads(second_life.status.stdout)["days"]}

    checks_of_a_day = sum(len(first_life.seen.checks[asset]) for asset in TABLES)
    assert days[GOOD_DAYS[0]]["checks"] == {
        "passed": checks_of_a_day,
        "failed": [],
        "warned": [],
        "found": {},
        "missing": [],
        "expected": checks_of_a_day,
    }
    assert "validated_events: rejected_share_is_within_tolerance" in days[POISONED]["checks"]["failed"]
    assert days[POISONED]["status"] == "blocked"


def test_the_command_line_goes_on_where_the_ui_was(second_life: SecondLife) -> None:
    """Its backfill does not try the refused day again, says what is blocked by it, and builds what was missing."""
    assert second_life.backfilled.returncode == 1, second_life.backfilled.stderr
    report = json.loads(second_life.backfilled.stdout)

    built = {(each["asset"], each["day"]) for each in report["built"]}
    assert {of for asset, of in built if asset == "validated_events"} == {str(day(number)) for number in (3, 4, 7)}
    blocked = {(each["asset"], each["day"]) for each in report["blocked"]}
    assert {of for asset, of in blocked if asset == "session_features"} == {str(day(number)) for number in (5, 6, 7)}
    assert report["failed"] == []


def test_the_ui_shows_runs_of_the_command_line(second_life: SecondLife) -> None:
    """What the command line built while the UI was open is in its runs, under their job, in partitions and checks."""
    before, after, of = second_life.seen, second_life.seen_after, str(day(4))

    # The run of the UI that is refused meanwhile is none of them.
    new = {run_id for run_id in after.runs.keys() - before.runs.keys() if after.runs[run_id] == "SUCCESS"}
    assert len(new) == json.loads(second_life.backfilled.stdout)["runs"] > 0
    assert new <= second_life.ui.runs_of_jobs()["refresh_day"]
    assert of not in before.partitions["validated_events"]
    assert after.partitions["date_partitions"][of] == "MATERIALIZED"
    assert {days.get(of) for days in after.checks["date_partitions"].values()} == {"SUCCEEDED"}


def test_dg_lists_the_definitions(first_life: FirstLife) -> None:
    """`dg` loads the code location from the checkout: every asset, check, job and sensor."""
    assert first_life.listed.returncode == 0, first_life.listed.stderr
    found = json.loads(first_life.listed.stdout[first_life.listed.stdout.index("{") :])

    listed = {asset["asset_key"] for asset in found["assets"]}
    assert listed == {"landed_files", "dataset_versions", "conversion_model", *TABLES}
    assert {"ingest", "refresh_day", "rebuild"} <= {job["name"] for job in found["jobs"]}
    assert {sensor["name"] for sensor in found["sensors"]} == {"landing_sensor", "late_data_sensor", "pull_sensor"}
