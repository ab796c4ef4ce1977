"""Whatever happens in whatever order, planning from the present state ends where a fresh build would.

Histories are random: files land, the clock moves, configuration changes, runs are done, or die half-way.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from ml_data_platform.events.due_runs import DueRun, due_runs
from ml_data_platform.events.planning import LAYERS, State, Status, expected_days, plan
from ml_data_platform_tests.planning_states import ASSETS, DAY, TRAINING, World, noon

Planner = Callable[[State], list[DueRun]]
Step = tuple[str, int, int]

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["land", "land", "clock", "configure", "contract", "build", "build", "die"]),
        st.integers(1, 5),
        st.integers(0, 4),
    ),
    max_size=14,
)


def due(state: State) -> list[DueRun]:
    """Return what the platform's planner would run now."""
    return due_runs(plan(state, expected_days(state)))


def play(world: World, step: Step, planner: Planner) -> None:
    """Do one step of a history."""
    what, number, variant = step
    if what == "land":
        world.land(number, f"file-{number}-{variant}")
    elif what == "clock":
        world.now += dt.timedelta(hours=7 * variant)
    elif what == "configure":
        world.configuration[ASSETS[(number * 5 + variant) % len(ASSETS)]]["rules"] = f"r{variant}"
    elif what == "contract":
        world.contract = f"c{variant}"
    else:
        for run in planner(world.state())[: variant + 1]:
            if what == "build":
                world.run(run)
            else:
                # The process dies after the first asset of the run.
                world.run(DueRun(run.layer, run.day, run.assets[:1]))


def settle(world: World, planner: Planner) -> None:
    """Ask the planner and do what it says, until it says nothing."""
    for _ in range(12):
        runs = planner(world.state())
        if not runs:
            return
        for run in runs:
            world.run(run)
    raise AssertionError("the planner never comes to rest")


def from_scratch(world: World) -> dict[str, dict[dt.date, str]]:
    """Return the contents that a build of everything from nothing gives, asset by asset: the oracle."""
    fresh = World(
        files=world.files,
        now=world.now,
        configuration=world.configuration,
        contract=world.contract,
    )
    wanted = set(expected_days(world.state()))
    for asset in ASSETS:
        for of in sorted(wanted):
            fresh.build(asset, of)
    return {asset: {of: head.content for of, head in heads.items()} for asset, heads in fresh.heads.items()}


def contents(world: World) -> dict[str, dict[dt.date, str]]:
    """Return what is published."""
    return {asset: {of: head.content for of, head in heads.items()} for asset, heads in world.heads.items()}


def ends_where_a_fresh_build_does(history: list[Step], planner_of: Callable[[], Planner]) -> bool:
    """Play a history, settle, and compare with the oracle."""
    world, planner = World(now=noon(3)), planner_of()
    for step in history:
        play(world, step, planner)
    settle(world, planner)
    return contents(world) == from_scratch(world)


@given(STEPS)
def test_every_history_ends_where_a_fresh_build_does(history: list[Step]) -> None:
    """Deaths, late files and changes leave no trace: the contents are those of a build from nothing."""
    assert ends_where_a_fresh_build_does(history, lambda: due)


@given(STEPS, st.randoms(use_true_random=False))
def test_a_plan_is_a_function_of_the_state(history: list[Step], shuffler: random.Random) -> None:
    """Asked again, or for days and assets in another order, the planner says the same."""
    world = World(now=noon(3))
    for step in history:
        play(world, step, due)
    state, days = world.state(), expected_days(world.state())
    first = plan(state, days)
    mixed = list(days)
    shuffler.shuffle(mixed)
    assert plan(world.state(), [*mixed, *days]) == first
    assert plan(state, days, assets=reversed(ASSETS)) == first
    assert len(first) == len(days) * len(ASSETS)


@given(STEPS, st.sets(st.integers(1, 6)))
def test_one_pass_over_the_layers_is_enough(history: list[Step], poisoned: set[int]) -> None:
    """After each layer was built once, in order, nothing is due; what is left is blocked, by a refused day."""
    world = World(now=noon(3), poison={noon(number).date() for number in poisoned})
    for step in history:
        play(world, step, due)
    days = expected_days(world.state())
    for layer in LAYERS:
        for run in due_runs(plan(world.state(), days, assets=layer)):
            world.run(run)
    left = [each for each in plan(world.state(), days) if each.status is not Status.CLEAN]
    assert all(each.status is Status.BLOCKED and set(each.blocked_by) <= world.poison for each in left)
    assert all(each.blocked_by for each in left)
    before = contents(world)
    settle(world, due)
    assert contents(world) == before


@given(STEPS, st.lists(st.tuples(st.integers(1, 5), st.booleans()), max_size=4))
def test_what_one_training_table_refuses_none_publishes(history: list[Step], turns: list[tuple[int, bool]]) -> None:
    """Days turn leaky and clean again between the steps: label and fold tables hold only what the checks have passed.

    Once settled, the three tables of a day are of the same features, or none is there.
    """
    world = World(now=noon(3))
    passed: set[str] = set()
    for number, step in enumerate(history):
        if number < len(turns):
            of, is_leaky = noon(turns[number][0]).date(), turns[number][1]
            (world.leaky.add if is_leaky else world.leaky.discard)(of)
        play(world, step, due)
        passed |= {features_of(world, "date_partitions", of) for of in world.heads["date_partitions"]}
        for table in ("label_partitions", "stratified_partitions"):
            assert {features_of(world, table, of) for of in world.heads[table]} <= passed
    for _ in range(3):
        for run in due(world.state()):
            world.run(run)
    for of in expected_days(world.state()):
        assert len({features_of(world, table, of) for table in TRAINING if of in world.heads[table]}) <= 1
        assert len({of in world.heads[table] for table in TRAINING}) == 1


def features_of(world: World, asset: str, of: dt.date) -> str:
    """Return the day and the content of the features that a training table was built from."""
    key = f"session_features/{of}"
    return f"{key} {world.heads[asset][of].inputs[key]}"


@given(STEPS, st.integers(0, 23))
def test_what_is_settled_is_not_built_again(history: list[Step], hour: int) -> None:
    """Of a settled world nothing is due, at this instant and at any other of the same day."""
    world = World(now=noon(3))
    for step in history:
        play(world, step, due)
    settle(world, due)
    world.now = world.now.replace(hour=hour)
    assert due(world.state()) == []


def edge_triggered() -> Planner:
    """A planner that remembers what it has seen: each file makes its day due once."""
    seen: set[tuple[dt.date, str]] = set()

    def planner(state: State) -> list[DueRun]:
        new = {(of, name) for of, names in state.landed.items() for name in names} - seen
        seen.update(new)
        days = {of + offset * DAY for of, _ in new for offset in (-1, 0, 1)} & set(expected_days(state))
        return [DueRun(number, of, layer) for number, layer in enumerate(LAYERS) for of in sorted(days)]

    return planner


def forgetful_of_neighbours() -> Planner:
    """A planner that rebuilds a changed day, and not the features beside it."""

    def planner(state: State) -> list[DueRun]:
        decisions = plan(state, expected_days(state))
        changed = {each.day for each in decisions if each.asset == "raw_events" and each.status is Status.DIRTY}
        return [run for run in due_runs(decisions) if run.layer == 0] + [
            DueRun(number, of, layer) for number, layer in enumerate(LAYERS) if number for of in sorted(changed)
        ]

    return planner


@pytest.mark.parametrize("mutant", [edge_triggered, forgetful_of_neighbours])
def test_a_planner_with_a_memory_is_caught(mutant: Callable[[], Planner]) -> None:
    """The property above is no tautology: it finds histories on which other planners end elsewhere."""
    many = settings(max_examples=5_000, database=None, suppress_health_check=list(HealthCheck), deadline=None)
    try:
        history = find(
            STEPS,
            lambda history: not ends_where_a_fresh_build_does(history, mutant),
            settings=many,
            random=random.Random(1),
        )
    except NoSuchExample:
        pytest.fail("no history tells this planner from the real one")
    assert ends_where_a_fresh_build_does(history, lambda: due)
