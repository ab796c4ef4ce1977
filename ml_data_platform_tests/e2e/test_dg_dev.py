"""`dg dev` in a copy of the checkout: what is asked for in its UI and by the command line beside it is one history.

Starting takes long, so one process serves all tests: they look at what came of the requests that were made to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from ml_data_platform.generator.truth import DayTruth
from ml_data_platform.stages.state import TABLES
from ml_data_platform.validation.suites import rules_for
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.e2e.checkout import Checkout, generated_days
from ml_data_platform_tests.e2e.conftest import TEST_SECONDS, Seen
from ml_data_platform_tests.e2e.dagster_process import DG_DEV, DagsterDev
from ml_data_platform_tests.e2e.user_interface import Run, UserInterface
from ml_data_platform_tests.pipeline_root import day, shop_lines

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(TEST_SECONDS)]
EVENTS = 20
GOOD, AFTER, OTHER, POISONED = (day(number).isoformat() for number in (1, 2, 5, 6))
"""A day that is landed, the one after it, of which nothing is, and two generated ones, the second of them poisoned."""
SINGLE_FILE = ("raw_events", "validated_events", "session_features", "date_partitions")
FEATURES = ("session_features", "date_partitions", "label_partitions", "stratified_partitions")
REFUSING = "rejected_share_is_within_tolerance"


@dataclass(frozen=True)
class Launched:
    """What was asked for in the UI.

    Attributes:
        ui: It, which is open.
        landed_files: How the run of the asset without partitions ended.
        poisoned: Id of the backfill over the poisoned day.
        good: Id of the backfill over the good day.
    """

    ui: UserInterface
    landed_files: str
    poisoned: str
    good: str


@dataclass(frozen=True)
class Asked:
    """What came of it.

    Attributes:
        ui: The UI.
        good: How the backfill over the good day ended, and its runs.
        poisoned: How the backfill over the poisoned day ended, and its runs.
        seen: What the UI showed when both had ended.
        published_rows: Rows of tables of the good day then, by asset.
    """

    ui: UserInterface
    good: tuple[str, list[Run]]
    poisoned: tuple[str, list[Run]]
    seen: Seen
    published_rows: Mapping[str, int]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy of the checkout whose root is empty."""
    return Checkout.made(tmp_path_factory.mktemp("e2e"))


@pytest.fixture(scope="module")
def truth(checkout: Checkout) -> Mapping[str, DayTruth]:
    """The files of all days, dropped; returns what was planted in the generated ones."""
    days = [day(5), day(6)]
    lines, planted = generated_days(checkout.folder.parent / "generated", days, day(6), events_per_day=100)
    checkout.drop("shop.jsonl", shop_lines(day(1), EVENTS))
    for of, texts in lines.items():
        checkout.drop(f"generated_{of}.jsonl", texts)
    return {of.isoformat(): planted[of] for of in days}


@pytest.fixture(scope="module")
def dagster(checkout: Checkout) -> Iterator[DagsterDev]:
    """A `dg dev` over the checkout; neither a root nor a DAGSTER_HOME is named to it."""
    log = checkout.folder.parent / "dagster_dev.log"
    with DagsterDev(checkout.folder, log, checkout.environment, DG_DEV) as process:
        yield process


@pytest.fixture(scope="module")
def sensor(dagster: DagsterDev) -> Mapping[str, Any]:
    """State of the landing sensor when it has looked, before anybody touched it; from then on the sensors are off."""
    ui = UserInterface(dagster)

    def looked() -> dict[str, Any] | None:
        found = ui.sensor()
        return found if any(tick["status"] == "SKIPPED" for tick in found["ticks"]) else None

    found = dagster.wait_until(looked, 900, "the sensor looks")
    ui.switch_sensors(on=False)
    return found


@pytest.fixture(scope="module")
def launched(dagster: DagsterDev, sensor: Mapping[str, Any], request: pytest.FixtureRequest) -> Launched:
    """Files are dropped and taken in by hand, and two ranges of days are asked for."""
    ui = UserInterface(dagster)
    request.getfixturevalue("truth")
    landed_files = ui.ended_run(ui.launch(["landed_files"], None))
    return Launched(ui, landed_files, ui.launch_backfill(TABLES, [OTHER, POISONED]), ui.launch_backfill(TABLES, [GOOD]))


@pytest.fixture(scope="module")
def poisoned(launched: Launched) -> tuple[str, list[Run]]:
    """How the backfill over the poisoned day ended; the daemon looks at backfills each 30 s, so each is waited for apart."""
    return launched.ui.ended_backfill(launched.poisoned)


@pytest.fixture(scope="module")
def asked(checkout: Checkout, launched: Launched, poisoned: tuple[str, list[Run]]) -> Asked:
    """Both backfills have ended."""
    ui, good = launched.ui, launched.ui.ended_backfill(launched.good)
    rows = {asset: len(checkout.rows(asset, GOOD)) for asset in SINGLE_FILE}
    return Asked(ui=ui, good=good, poisoned=poisoned, seen=Seen.by(ui), published_rows=rows)


@dataclass(frozen=True)
class Beside:
    """What the command line said while the UI was open.

    Attributes:
        status: Of its `status`, the exit status.
        days: What that said, by day.
        report: What its `backfill` over the day after the good one said, as JSON.
        seen: What the UI showed after it.
    """

    status: int
    days: Mapping[str, Mapping[str, Any]]
    report: Mapping[str, Any]
    seen: Seen


@pytest.fixture(scope="module")
def beside(checkout: Checkout, asked: Asked) -> Beside:
    """The command line over the same root, beside the open UI."""
    cli = CommandLine(checkout.folder)
    status = cli("status", "--json")
    report = json.loads(cli.ok("backfill", "--from", AFTER, "--to", AFTER, "--json").out)
    days = {each["day"]: each for each in json.loads(status.out)["days"]}
    return Beside(status.status, days, report, Seen.by(asked.ui))


def test_dg_lists_the_definitions(dagster: DagsterDev) -> None:
    """`dg` loads the code location from the checkout: every asset, job and sensor."""
    listed = UserInterface(dagster).definitions()

    assert listed["assets"] == {"landed_files", "dataset_versions", "conversion_model", *TABLES}
    assert {"ingest", "refresh_day", "rebuild"} <= listed["jobs"]
    assert listed["sensors"] == {"landing_sensor", "late_data_sensor", "pull_sensor"}


def test_the_sensor_runs_without_being_switched_on(sensor: Mapping[str, Any]) -> None:
    """A newly started platform watches its landing folder, as often as the root's settings say."""
    assert (sensor["status"], sensor["interval"]) == ("RUNNING", 1)
    assert not any(tick["error"] for tick in sensor["ticks"])


def test_an_asset_without_partitions_is_built(launched: Launched) -> None:
    """The button that materializes it takes the dropped files in."""
    assert launched.landed_files == "SUCCESS"


def test_the_backfill_over_a_refused_day_ends_as_failed(poisoned: tuple[str, list[Run]]) -> None:
    """Not COMPLETED_SUCCESS: a user who looks at the backfill alone sees that something is wrong."""
    status, runs = poisoned

    assert status == "COMPLETED_FAILED"
    assert {run.day for run in runs if run.status != "SUCCESS"} == {POISONED}


def test_a_backfill_over_a_range_ends_green(asked: Asked) -> None:
    """Every table of the day is materialised, the neighbours' runs included."""
    status, runs = asked.good

    assert status == "COMPLETED_SUCCESS"
    assert {run.status for run in runs} == {"SUCCESS"}
    assert {asset: asked.seen.partitions[asset][GOOD] for asset in TABLES} == dict.fromkeys(TABLES, "MATERIALIZED")


def test_every_check_of_the_day_is_green(asked: Asked) -> None:
    """All checks that the suites name are shown for the day, and passed."""
    for asset in TABLES:
        shown = asked.seen.checks[asset]
        assert set(shown) == {rule.name for rule in rules_for(asset)}
        assert {days.get(GOOD) for days in shown.values()} == {"SUCCEEDED"}, asset


def test_the_published_tables_hold_what_was_dropped(asked: Asked) -> None:
    """The day has its events in every table, once; its labels are immature: nobody knows the day after."""
    assert asked.published_rows == {**dict.fromkeys(SINGLE_FILE, EVENTS), "date_partitions": 0}


def test_no_data_is_invented_for_the_neighbours(asked: Asked) -> None:
    """The backfill ran the features of the day after its range, of which nothing was built: checks were skipped."""
    _, runs = asked.good

    assert AFTER in {run.day for run in runs if "session_features" in run.assets}
    assert AFTER not in asked.seen.partitions["validated_events"]
    assert {days[AFTER] for days in asked.seen.checks["session_features"].values()} == {"SKIPPED"}
    assert not any(AFTER in days for days in asked.seen.checks["validated_events"].values())


def test_the_refused_day_is_not_published_and_its_quarantine_is(
    checkout: Checkout, asked: Asked, truth: Mapping[str, DayTruth]
) -> None:
    """No event of the day is published; every broken row and every repeat can be looked at."""
    partitions = asked.seen.partitions

    assert partitions["validated_events"][POISONED] == "FAILED"
    assert not checkout.is_published("validated_events", day(6))
    assert partitions["raw_events"][POISONED] == partitions["quarantined_events"][POISONED] == "MATERIALIZED"
    assert len(checkout.rows("raw_events", POISONED)) == truth[POISONED].rows
    rejected = checkout.rows("quarantined_events", POISONED, "disposition=rejected/data.parquet")
    assert len(rejected) == truth[POISONED].rejected > 0


def test_the_other_day_of_the_backfill_is_published(
    checkout: Checkout, asked: Asked, truth: Mapping[str, DayTruth]
) -> None:
    """The day before holds exactly the clean events that were planted."""
    assert asked.seen.partitions["validated_events"][OTHER] == "MATERIALIZED"
    assert len(checkout.rows("validated_events", OTHER)) == truth[OTHER].kinds["clean"]


def test_checks_are_red_on_the_refused_day_only(asked: Asked) -> None:
    """The check that blocks is red on its day and green beside it; no other day has a red check that blocks."""
    checks = asked.seen.checks["validated_events"]
    blocking = {rule.name for rule in rules_for("validated_events") if rule.blocking}
    red = {name: {of for of, status in checks[name].items() if status != "SUCCEEDED"} for name in blocking}

    assert red[REFUSING] == {POISONED}
    assert set().union(*red.values()) == {POISONED}
    assert (checks[REFUSING][OTHER], checks[REFUSING][POISONED]) == ("SUCCEEDED", "FAILED")


def test_the_red_check_says_what_it_found(asked: Asked, truth: Mapping[str, DayTruth]) -> None:
    """The check's evaluation is an error and shows the share that was found."""
    found = asked.ui.check_execution("validated_events", REFUSING, POISONED)

    assert (found["status"], found["severity"]) == ("FAILED", "ERROR")
    assert f"{truth[POISONED].rejected / truth[POISONED].rows:g}" in found["observed"]


def test_features_that_read_the_refused_day_are_not_run(checkout: Checkout, asked: Asked) -> None:
    """They would be built from a day that looks empty: the backfill runs none of them, the neighbours' neither."""
    _, runs = asked.poisoned

    assert not {run.day for run in runs if "session_features" in run.assets} & {OTHER, POISONED}
    for asset in FEATURES:
        assert not set(asked.seen.partitions[asset]) & {OTHER, POISONED}
        assert not any(checkout.is_published(asset, of) for of in (day(5), day(6), day(7)))


def test_the_command_line_sees_the_checks_of_the_ui(asked: Asked, beside: Beside) -> None:
    """`status` counts the checks that runs of the UI recorded, while the UI is open; for the red one it exits with 1."""
    assert beside.status == 1
    checks_of_a_day = sum(len(asked.seen.checks[asset]) for asset in TABLES)
    assert beside.days[GOOD]["checks"] == {
        "passed": checks_of_a_day,
        "failed": [],
        "warned": [],
        "found": {},
        "missing": [],
        "expected": checks_of_a_day,
    }
    assert f"validated_events: {REFUSING}" in beside.days[POISONED]["checks"]["failed"]
    assert beside.days[POISONED]["status"] == "blocked"


def test_the_ui_shows_runs_of_the_command_line(asked: Asked, beside: Beside) -> None:
    """What the command line built while the UI was open is in its runs, under their job, in partitions and checks."""
    new = beside.seen.runs.keys() - asked.seen.runs.keys()

    assert len(new) == beside.report["runs"] > 0
    assert new <= asked.ui.runs_of_jobs()["refresh_day"]
    assert beside.seen.partitions["validated_events"][AFTER] == "MATERIALIZED"
    checks = {check: days.get(AFTER) for check, days in beside.seen.checks["validated_events"].items()}
    assert None not in checks.values()
    assert checks["event_ids_are_unique"] == "SUCCEEDED"


def test_the_partitions_are_green_and_the_refused_one_is_red(page: Page, asked: Asked) -> None:
    """The page of a built day shows when and by which job it was materialised; the refused day shows that it failed."""
    at = f"{asked.ui.dagster.url}/assets/validated_events?view=partitions&partition="
    page.goto(at + GOOD)

    expect(page.get_by_text("Failed (1)")).to_be_visible()
    expect(page.get_by_text("Materialized", exact=True)).to_be_visible()
    expect(page.get_by_text("published_rows")).to_be_visible()
    page.goto(at + POISONED)
    expect(page.get_by_text("failed, and did not materialize this asset")).to_be_visible()


def test_the_checks_are_named_after_what_holds(page: Page, asked: Asked) -> None:
    """Every check is listed; the one that refused a day says that it blocks, what its rule is and what it found."""
    page.goto(f"{asked.ui.dagster.url}/assets/validated_events?view=checks&checkDetail={REFUSING}")

    expect(page.get_by_text(f"Checks ({len(asked.seen.checks['validated_events'])})")).to_be_visible()
    expect(page.get_by_text("event_ids_are_unique").first).to_be_visible()
    expect(
        page.get_by_text("Of no source do over 5 % of the day's raw rows, and 3 or more, fail a row rule").first
    ).to_be_visible()
    expect(page.get_by_text("blocking", exact=True).first).to_be_visible()
    expect(page.get_by_text("observed_value").first).to_be_visible()
