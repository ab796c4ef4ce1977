"""The fault lanes in their short versions, and the gate: the protocol less one step turns a lane red."""

from __future__ import annotations

import pytest

from ml_data_platform_tests.faults.lanes.lane import Figures, Lane, Plan, fault_folder
from ml_data_platform_tests.faults.lanes.mutants import MUTANTS
from ml_data_platform_tests.faults.lanes.registry import LANES


def run(lane: Lane, **facts) -> Figures:
    """Run a lane's short version, where it can run."""
    why = lane.missing()
    if why:
        pytest.skip(why)
    with fault_folder() as folder:
        return lane.measure(Plan(folder, lane.short, **facts))


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
    assert run(lane, mutant=name, scenarios=mutant.scenarios, calls=mutant.calls, enough=1).anomalies


def test_every_lane_has_a_control_that_fails():
    """The gate above runs each lane under a change that it must notice."""
    assert {lane.name for lane in LANES.values()} <= {mutant.lane for mutant in MUTANTS.values()}
    assert {lane.control for lane in LANES.values()} <= set(MUTANTS)
