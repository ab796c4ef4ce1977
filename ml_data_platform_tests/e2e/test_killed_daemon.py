"""The real daemon is killed in the middle of a refresh, its cursors are lost, and files keep coming."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_data_platform_tests.e2e.checkout import Checkout
from ml_data_platform_tests.e2e.conftest import TEST_SECONDS
from ml_data_platform_tests.e2e.dagster_process import DagsterDev
from ml_data_platform_tests.e2e.killed_daemons import (
    Drop,
    ended_runs,
    faults,
    feeding,
    lose_cursors,
    opened,
    wait_for_rest,
)
from ml_data_platform_tests.e2e.user_interface import UserInterface
from ml_data_platform_tests.pipeline_root import day

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(TEST_SECONDS)]


def test_nothing_is_missed_or_done_twice_when_the_daemon_is_killed(tmp_path: Path) -> None:
    """Each change is refreshed once, and the end has the bytes of one clean build of the same files.

    A day was built before. A late file comes; all processes are killed while its refresh runs; what the daemon remembers
    of its sensors is deleted; two more files come from another process while the next daemon starts.
    """
    checkout = Checkout.made(tmp_path)
    drops = [
        Drop(0, "first", day(1), 20),
        Drop(0, "late", day(1), 5),
        Drop(1, "later", day(1), 5),
        Drop(2, "last", day(1), 5),
    ]
    root = opened(checkout)
    root.drop(drops[0].name, drops[0].lines)
    built = checkout.run("ml-data-platform", "backfill", "--from", str(day(1)), "--to", str(day(2)))
    assert built.returncode == 0, built.stderr

    log = tmp_path / "dagster_dev.log"
    with DagsterDev(checkout.folder, log, checkout.environment) as first, feeding(checkout, drops[1:2]):
        ui = UserInterface(first)
        working = first.wait_until(
            lambda: [run for run in ui.runs(statuses=["STARTED"]) if run.job == "refresh_day"], 900, "a refresh runs"
        )
        first.kill()
    assert lose_cursors(checkout) > 0
    with DagsterDev(checkout.folder, log, checkout.environment) as second, feeding(checkout, drops[2:]):
        ui = UserInterface(second)
        wait_for_rest(second, ui)
        ended = ended_runs(ui)
    assert [ended[run.run_id].split()[1] for run in working] == ["FAILURE"] * len(working)
    assert faults(checkout, drops, ended, tmp_path / "clean") == []
