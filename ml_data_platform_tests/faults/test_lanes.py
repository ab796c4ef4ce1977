"""The fault lanes in their short versions, and the gate: the protocol less one step turns a lane red."""

from __future__ import annotations

import pytest

from ml_data_platform_tests.faults.lanes.children import close_idle_servers
from ml_data_platform_tests.faults.lanes.flushes import flushing_functions
from ml_data_platform_tests.faults.lanes.lane import Figures, Lane, Plan, fault_folder
from ml_data_platform_tests.faults.lanes.mutants import FLUSHED_TWICE, FLUSHES, MUTANTS
from ml_data_platform_tests.faults.lanes.registry import LANES
from ml_data_platform_tests.faults.lanes.scenarios import SCENARIOS

EVERY_PLACE = 1_000_000


@pytest.fixture(scope="module", autouse=True)
def _no_process_stays():
    yield
    close_idle_servers()


def run(lane: Lane, trials: int | None = None, *, in_turn: bool = False, **facts) -> Figures:
    """Run a lane's short version, where it can run; or all places in turn."""
    why = lane.missing()
    if why:
        pytest.skip(why)
    with fault_folder() as folder:
        return lane.measure(Plan(folder, trials or lane.short, **facts), in_turn=in_turn)


@pytest.mark.parametrize("lane", LANES.values(), ids=LANES)
def test_no_lane_finds_an_anomaly(lane):
    """Whatever strikes: no reader sees a part, nothing acknowledged is lost, the retry ends it exactly once."""
    figures = run(lane)
    assert figures.anomalies == []
    assert figures.trials >= lane.short


@pytest.mark.parametrize("name", MUTANTS)
def test_the_protocol_less_one_step_turns_its_lane_red(name):
    """Each step is needed: left out, the lane that the table names finds an anomaly, at one of all places in turn."""
    mutant = MUTANTS[name]
    lane = LANES[mutant.lane]
    facts = {"scenarios": mutant.scenarios, "calls": mutant.calls, "enough": 1}
    assert run(lane, EVERY_PLACE, in_turn=True, mutant=name, **facts).anomalies


@pytest.mark.parametrize("lane", [lane for lane in LANES.values() if lane.in_turn], ids=lambda lane: lane.name)
def test_the_whole_protocol_turns_no_lane_red(lane):
    """At the places at which the protocol less one step shows, the whole protocol shows nothing."""
    where = [mutant.scenarios for mutant in MUTANTS.values() if mutant.lane == lane.name]
    scenarios = {each for some in where for each in some} if all(where) else ()
    figures = run(lane, EVERY_PLACE, in_turn=True, scenarios=tuple(sorted(scenarios)))
    assert figures.anomalies == []
    assert figures.trials > 0


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
