"""Two lives of one root: a first `dg dev` in which everything is asked for, and a second one after it.

Starting takes long, so all tests of this folder share the two. The first ends before the second begins, and leaves
what was seen in it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ml_data_platform.generator.truth import DayTruth
from ml_data_platform.stages.state import TABLES
from ml_data_platform_tests.e2e.checkout import Checkout, generated_days
from ml_data_platform_tests.e2e.dagster_process import DG_DEV, DagsterDev
from ml_data_platform_tests.e2e.user_interface import Run, UserInterface
from ml_data_platform_tests.pipeline_root import day, shop_lines

TEST_SECONDS = 1_800
"""Bound of one test, in which a machine that does other things too starts both processes."""
EVENTS = 60
GOOD_DAYS = [day(number).isoformat() for number in (1, 2)]
"""Two days of good events; the first is the first of the platform, and of the day after nothing was landed."""
NEVER_LANDED = day(3).isoformat()
POISONED_DAYS = [day(number).isoformat() for number in (5, 6)]
"""Two generated days, the second of which is poisoned."""
POISONED = day(6).isoformat()
SINGLE_FILE = ("raw_events", "validated_events", "session_features", "date_partitions")


@dataclass(frozen=True)
class Seen:
    """What the UI shows: runs by id with their end, partitions by asset, checks by asset."""

    runs: Mapping[str, str]
    partitions: Mapping[str, Mapping[str, str]]
    checks: Mapping[str, Mapping[str, Mapping[str, str]]]

    @classmethod
    def by(cls, ui: UserInterface) -> Seen:
        """Look at everything."""
        return cls(
            {run.run_id: run.status for run in ui.runs()},
            {asset: ui.partitions(asset) for asset in TABLES},
            {asset: ui.checks(asset) for asset in TABLES},
        )


@dataclass(frozen=True)
class FirstLife:
    """What came of the requests made to the first process.

    Attributes:
        sensor: State of the landing sensor before anybody touched it.
        single_runs: How the runs of single partitions ended, by what was asked for.
        listed: What `dg list defs` said meanwhile.
        good: How the backfill over the good days ended, and its runs.
        poisoned: How the backfill over the poisoned day ended, and its runs.
        partitions: What the UI showed when both had ended, by asset.
        published_rows: Rows of tables of the good days then, by asset and day.
        refused_check: Evaluation of the check that refused the poisoned day.
        seen: What the UI showed at the end.
    """

    sensor: Mapping[str, Any]
    single_runs: Mapping[str, str]
    listed: subprocess.CompletedProcess[str]
    good: tuple[str, list[Run]]
    poisoned: tuple[str, list[Run]]
    partitions: Mapping[str, Mapping[str, str]]
    published_rows: Mapping[tuple[str, str], int]
    refused_check: Mapping[str, Any]
    seen: Seen


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy of the checkout whose root is empty."""
    return Checkout.made(tmp_path_factory.mktemp("e2e"))


@pytest.fixture(scope="session")
def planted(checkout: Checkout) -> tuple[dict[Any, list[str]], dict[Any, DayTruth]]:
    """Lines and truth of a good day and the poisoned day."""
    return generated_days(checkout.folder.parent / "generated", [day(5), day(6)], day(6), events_per_day=300)


@pytest.fixture(scope="session")
def first_life(checkout: Checkout, planted: tuple[dict[Any, list[str]], dict[Any, DayTruth]]) -> FirstLife:
    """A `dg dev` in a copy of the checkout: single partitions, a good backfill and one over a poisoned day."""
    with DagsterDev(checkout.folder, _log(checkout, 1), checkout.environment, DG_DEV) as dagster:
        ui = UserInterface(dagster)
        sensor = dagster.wait_until(lambda: ui.sensor() if ui.sensor()["ticks"] else None, 900, "the sensor looks")
        ui.switch_sensors(on=False)
        for of in (day(1), day(2)):
            checkout.drop(f"shop_{of}.jsonl", shop_lines(of, EVENTS))
        for of, lines in planted[0].items():
            checkout.drop(f"generated_{of}.jsonl", lines)
        ingest = ui.ended_run(ui.launch(["landed_files"], None))
        over_poison = ui.launch_backfill(TABLES, POISONED_DAYS)
        started = {"raw_events": ui.launch(["raw_events"], GOOD_DAYS[1])}
        started["refresh_day"] = ui.launch(TABLES, GOOD_DAYS[0], job="refresh_day")
        over_good = ui.launch_backfill(TABLES, GOOD_DAYS)
        listed = checkout.run("dg", "list", "defs", "--json")
        ended = {name: ui.ended_run(run_id) for name, run_id in started.items()}
        poisoned = ui.ended_backfill(over_poison)
        good = ui.ended_backfill(over_good)
        partitions = {asset: ui.partitions(asset) for asset in TABLES}
        return FirstLife(
            sensor=sensor,
            single_runs={"landed_files": ingest, **ended},
            listed=listed,
            good=good,
            poisoned=poisoned,
            partitions=partitions,
            published_rows={(asset, of): len(checkout.rows(asset, of)) for asset in SINGLE_FILE for of in GOOD_DAYS},
            refused_check=ui.check_execution("validated_events", "rejected_share_is_within_tolerance", POISONED),
            seen=Seen.by(ui),
        )


@dataclass(frozen=True)
class SecondLife:
    """The second process, and what it showed.

    Attributes:
        ui: Its UI, which is open.
        seen: What it showed before anything was asked of it.
        sensor: State of the landing sensor then.
        status: What `status` of the command line said.
        backfilled: What a backfill of the command line over the rest of the days said, while the UI was open.
        refused_run: Failed steps of a separate run for the neighbour of the poisoned day.
        seen_after: What the UI showed after that.
    """

    ui: UserInterface
    seen: Seen
    sensor: Mapping[str, Any]
    status: subprocess.CompletedProcess[str]
    backfilled: subprocess.CompletedProcess[str]
    refused_run: Mapping[str, str]
    seen_after: Seen


@pytest.fixture(scope="session")
def second_life(checkout: Checkout, first_life: FirstLife) -> Iterator[SecondLife]:
    """The platform's own `dev` over the same root after the first process has ended, and the command line beside it."""
    rest = ("--from", str(day(3)), "--to", str(day(7)))
    with DagsterDev(checkout.folder, _log(checkout, 2), checkout.environment) as dagster:
        ui = UserInterface(dagster)
        seen, sensor = Seen.by(ui), ui.sensor()
        refused = ui.launch(["session_features"], POISONED_DAYS[0])
        status = checkout.run("ml-data-platform", "status", "--json")
        ui.ended_run(refused)
        yield SecondLife(
            ui=ui,
            seen=seen,
            sensor=sensor,
            status=status,
            backfilled=checkout.run("ml-data-platform", "backfill", *rest, "--json"),
            refused_run=ui.failures(refused),
            seen_after=Seen.by(ui),
        )


def _log(checkout: Checkout, life: int) -> Path:
    return checkout.folder.parent / f"dagster_dev_{life}.log"
