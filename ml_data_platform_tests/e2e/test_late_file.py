"""A file that is dropped into the landing folder is taken in by itself, whatever day its rows fall on."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from ml_data_platform_tests.e2e.checkout import Checkout
from ml_data_platform_tests.e2e.conftest import EVENTS, TEST_SECONDS, SecondLife
from ml_data_platform_tests.e2e.user_interface import Run, UserInterface
from ml_data_platform_tests.pipeline_root import day, shop_lines

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(TEST_SECONDS)]
LATE_EVENTS = 10
UNFINISHED = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED"]


def test_a_late_file_repairs_the_day_it_belongs_to(checkout: Checkout, second_life: SecondLife) -> None:
    """Its rows reach the training partitions of a day in the past that was built before, and nothing else changes.

    Day 1 is built again, and the features of day 2, which read day 1; day 3 reads neither.
    """
    ui, late = second_life.ui, shop_lines(day(1), LATE_EVENTS, name="late", hour=20)
    known = {run.run_id for run in ui.runs()}
    checkout.drop("late.jsonl", late)

    dropped = time.time()
    ui.switch_sensors(on=True)
    ui.dagster.wait_until(
        lambda: len(checkout.rows("date_partitions", day(1))) > EVENTS, 900, "the rows reach date_partitions"
    )
    ui.dagster.wait_until(
        lambda: not ui.runs(statuses=UNFINISHED) and _is_at_rest(ui.sensor("late_data_sensor")), 900, "all is done"
    )
    ui.switch_sensors(on=False)

    expected = {line["event_id"] for line in shop_lines(day(1), EVENTS) + late}
    for asset, files in _files(checkout).items():
        found = [row["event_id"].partition(":")[2] for file in files for row in checkout.rows(asset, day(1), file)]
        assert sorted(found) == sorted(expected), asset
    new = [run for run in ui.runs() if run.run_id not in known]
    assert {run.status for run in new} == {"SUCCESS"}
    assert [run.job for run in new].count("ingest") == 1
    assert {run.day for run in new if "raw_events" in run.assets} == {str(day(1))}
    assert {run.day for run in new if "session_features" in run.assets} == {str(day(1)), str(day(2))}
    _require_no_idle_look(ui, new, dropped)


def _require_no_idle_look(ui: UserInterface, runs: Sequence[Run], dropped: float) -> None:
    """Each sensor asks within two looks: for the file once it lies there, for what is dirty once a run has ended."""
    asked = [bool(look["runIds"]) for look in ui.ticks("landing_sensor", dropped)]
    assert True in asked[:2], asked
    (taken_in,) = [run for run in runs if run.job == "ingest"]
    refreshed = [run for run in runs if "raw_events" in run.assets]
    for ended in (taken_in.ended, *(run.ended for run in refreshed)):
        assert ended is not None
        asked = [bool(look["runIds"]) for look in ui.ticks("late_data_sensor", ended)]
        assert True in asked[:2], (ended, asked)


def _is_at_rest(sensor: dict[str, object]) -> bool:
    newest = sensor["ticks"][0]  # type: ignore[index]
    return bool(newest["status"] == "SKIPPED" and "dirty" not in newest["skipReason"])


def _files(checkout: Checkout) -> dict[str, list[str]]:
    """Return training table to the files of day 1."""
    tables = ("date_partitions", "label_partitions", "stratified_partitions")
    folders = {table: checkout.root / "data" / table / f"dt={day(1)}" for table in tables}
    return {
        table: sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet"))
        for table, folder in folders.items()
    }
