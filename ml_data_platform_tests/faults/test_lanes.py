"""The fault lanes in their short versions, and the gate: the protocol less one step turns a lane red."""

from __future__ import annotations

import pytest

from ml_data_platform_tests.faults.lanes.children import close_idle_servers
from ml_data_platform_tests.faults.lanes.flushes import flushing_functions
from ml_data_platform_tests.faults.lanes.lane import Figures, Lane, Plan, fault_folder
from ml_data_platform_tests.faults.lanes.mutants import FLUSHED_TWICE, FLUSHES, MUTANTS
from ml_data_platform_tests.faults.lanes.registry import LANES
from ml_data_platform_tests.faults.lanes.scenarios import SCENARIOS


@pytest.fixture(scope="module", autouse=True)
def _no_process_stays():
    yield
    close_idle_servers()


def run(lane: Lane, trials: int | None = None, **facts) -> Figures:
    """Run a lane's short version, where it can run."""
    why = lane.missing()
    if why:
        pytest.skip(why)
    with fault_folder() as folder:
        return lane.measure(Plan(folder, trials or lane.short, **facts))


@pytest.mark.parametrize("lane", LANES.values(), ids=LANES)
def test_no_lane_finds_an_anomaly(lane):
    """Whatever strikes: no reader sees a part, nothing acknowledged is lost, the retry ends it exactly once."""
    figures = run(lane)
    assert figures.anomalies == []
    assert figures.trials >= lane.short


@pytest.mark.parametrize("name", MUTANTS)
def test_the_protocol_less_one_step_turns_its_lane_red(name):
    """Each step is needed: left out, the lane that the table names finds an anomaly."""
    mutant = MUTANTS[name]
    lane = LANES[mutant.lane]
    # A few of them show only where a process died at one step; the lane stops when one has shown.
    trials = 2 * max(lane.short, 300)
    assert run(lane, trials, mutant=name, scenarios=mutant.scenarios, calls=mutant.calls, enough=1).anomalies


def test_the_table_knows_every_flush(tmp_path):
    """The functions that flush during commits, recoveries and landings are those that the gate leaves out in turn."""
    found = set()
    for scenario in SCENARIOS.values():
        scenario.prepare(tmp_path / scenario.name)
        found |= flushing_functions(lambda scenario=scenario: scenario.act(tmp_path / scenario.name))
    assert found == FLUSHES.keys() | FLUSHED_TWICE


def test_every_lane_has_a_control_that_fails():
    """The gate above runs each lane under a change that it must notice."""
    assert {lane.name for lane in LANES.values()} <= {mutant.lane for mutant in MUTANTS.values()}
    assert {lane.control for lane in LANES.values()} <= set(MUTANTS)
