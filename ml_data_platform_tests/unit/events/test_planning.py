"""What is due, for states made by hand: one row of the table, one sentence of the design."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from ml_data_platform.events.due_runs import due_runs
from ml_data_platform.events.planning import Decision, Status, decide, expected_days, plan
from ml_data_platform_tests.planning_states import ASSETS, TRAINING, World, day, noon

FEATURES = ("session_features", *TRAINING)
READERS: dict[str, list[tuple[str, int]]] = {
    "raw_events": [("validated_events", 0)],
    "validated_events": [("session_summaries", 0), *(("session_features", offset) for offset in (-1, 0, 1))],
    "session_features": [(asset, 0) for asset in TRAINING],
}
Partitions = set[tuple[str, int]]


@pytest.fixture
def world() -> World:
    """Days 1 to 4 have one file each and are built, and so is the empty fifth day."""
    world = World()
    for number in range(1, 5):
        world.land(number, f"file-{number}")
    return settled(world)


def settled(world: World) -> World:
    """Build what is due, layer by layer, until nothing is."""
    for _ in range(5):
        runs = due_runs(plan(world.state(), expected_days(world.state())))
        for run in runs:
            if run.layer == runs[0].layer:
                world.run(run)
    assert due_runs(plan(world.state(), expected_days(world.state()))) == []
    return world


def found(world: World, *wanted: Status) -> Partitions:
    """Return the partitions with one of these statuses, over all expected days."""
    decisions = plan(world.state(), expected_days(world.state()))
    return {(each.asset, (each.day - day(1)).days + 1) for each in decisions if each.status in wanted}


def of_days(assets: tuple[str, ...], *numbers: int) -> Partitions:
    """Return the partitions of some assets and days."""
    return {(asset, number) for asset in assets for number in numbers}


def behind(partitions: Partitions) -> Partitions:
    """Return what reads some partitions, near or far downstream."""
    near = {(asset, number + offset) for name, number in partitions for asset, offset in READERS.get(name, [])}
    return near | behind(near) if near else set()


@dataclass(frozen=True)
class Case:
    """A change to a settled world, and the partitions that read the change itself."""

    name: str
    change: Callable[[World], object]
    dirty: Partitions


CASES = [
    Case("nothing", lambda _: None, set()),
    Case("the same bytes again", lambda world: world.land(2, "file-2"), set()),
    Case("time alone", lambda world: setattr(world, "now", noon(40)), set()),
    Case("a late file", lambda world: world.land(2, "late"), {("raw_events", 2)}),
    Case("a file of the empty day", lambda world: world.land(5, "late"), {("raw_events", 5), ("raw_events", 6)}),
    Case("a contract", lambda world: setattr(world, "contract", "other"), of_days(("validated_events",), 1, 2, 3, 4)),
    *(
        Case(
            f"{key} of {asset}",
            lambda world, asset=asset, key=key: world.configuration[asset].update({key: "other"}),
            of_days((asset,), 1, 2, 3, 4, 5),
        )
        for asset in ASSETS
        for key in ("code_version", "rules", "fold_count")
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_change_makes_exactly_its_readers_dirty(world: World, case: Case) -> None:
    """Dirty is what reads the change itself; what lies behind waits, all else is clean."""
    case.change(world)
    numbers = {(each - day(1)).days + 1 for each in expected_days(world.state())}
    waiting = {(asset, number) for asset, number in behind(case.dirty) if number in numbers}
    assert found(world, Status.DIRTY) == case.dirty
    # The empty day after a day with rows is built from nothing at all: it waits for its own rows only.
    new = {number for number in numbers if number > 5}
    assert found(world, Status.WAITING) == waiting | of_days(ASSETS[1:], *new)
    assert found(world, Status.BLOCKED, Status.NOT_NEEDED) == set()


def test_a_change_is_named(world: World) -> None:
    """The reason names the input, and how it changed."""
    world.land(2, "late")
    world.configuration["raw_events"].update(code_version="2", extra="x")
    assert decide(world.state(), "raw_events", day(2)).reasons == (
        "new extra",
        "new landed_files/shop/late",
        "changed code_version",
    )
    del world.configuration["raw_events"]["rules"]
    assert "gone rules" in decide(world.state(), "raw_events", day(3)).reasons


def test_the_first_build_goes_layer_by_layer() -> None:
    """Of days never built the events are due; features become due once their neighbours' events are there."""
    world = World()
    world.land(1, "a")
    world.land(2, "b")
    runs = due_runs(plan(world.state(), expected_days(world.state())))
    events = ("raw_events", "validated_events")
    assert [(run.layer, run.day, run.assets) for run in runs] == [(0, day(number), events) for number in (1, 2, 3)]
    world.run(runs[0])
    runs = due_runs(plan(world.state(), expected_days(world.state())))
    # The features of the first day wait for the second, the summaries do not.
    assert [(run.layer, run.day) for run in runs] == [(0, day(2)), (0, day(3)), (1, day(1))]
    assert found(world, Status.DIRTY) == {("raw_events", 2), ("raw_events", 3), ("session_summaries", 1)}


def test_days_that_nothing_asks_for_are_not_needed(world: World) -> None:
    """A day without rows is not built, unless it is complete and follows a day with rows, or is requested."""
    assert expected_days(world.state()) == [day(number) for number in range(1, 6)]
    for asset in ASSETS:
        assert decide(world.state(), asset, day(7)).status is Status.NOT_NEEDED
    assert decide(world.state(), "raw_events", day(7), is_requested=True).status is Status.DIRTY
    young = World(now=noon(2))
    young.land(1, "a")
    assert expected_days(young.state()) == [day(1)]
    assert decide(young.state(), "raw_events", day(2)).status is Status.NOT_NEEDED
    young.now = noon(3).replace(hour=0)
    assert expected_days(young.state()) == [day(1), day(2)]


def test_a_refused_day_blocks_what_cannot_do_without_it() -> None:
    """Without any good generation the day's own tables and its neighbours' features are blocked, by its name."""
    world = World(poison={day(3)})
    for number in range(1, 6):
        world.land(number, f"file-{number}")
    settled(world)
    expected = {("validated_events", 3), ("session_summaries", 3), *of_days(FEATURES, 2, 3, 4)}
    assert found(world, Status.BLOCKED) == expected
    for each in plan(world.state(), expected_days(world.state())):
        assert each.blocked_by == ((day(3),) if each.status is Status.BLOCKED else ())
    tries = world.builds.count(("validated_events", day(3)))
    settled(world)
    assert world.builds.count(("validated_events", day(3))) == tries == 1


def test_a_refused_day_with_a_good_generation_blocks_itself_alone(world: World) -> None:
    """What was built from the last good generation stays clean."""
    world.poison.add(day(3))
    world.land(3, "bad")
    settled(world)
    assert found(world, Status.BLOCKED) == {("validated_events", 3)}
    assert found(world, Status.DIRTY, Status.WAITING) == set()
    assert world.heads["validated_events"][day(3)].generation == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda world: world.land(2, "good"),
        lambda world: world.configuration["validated_events"].update(rules="looser"),
        lambda world: setattr(world, "contract", "corrected"),
    ],
    ids=["a further file", "other rules", "another contract"],
)
def test_a_refused_day_is_tried_again_when_its_inputs_change(change: Callable[[World], object]) -> None:
    """New rows, rules or contract make the day due; once it is published, so is all that it blocked."""
    world = World(poison={day(2)})
    for number in (1, 2, 3):
        world.land(number, f"file-{number}")
    settled(world)
    assert found(world, Status.BLOCKED)
    change(world)
    world.poison.clear()
    assert ("validated_events", 2) in found(world, Status.DIRTY, Status.WAITING)
    settled(world)
    assert found(world, Status.BLOCKED) == set()
    assert all(day(2) in world.heads[asset] for asset in ASSETS)


def test_a_missing_neighbour_is_not_an_empty_one() -> None:
    """Features need the day before where it has rows; the day after may come later, as long as nobody refused it."""
    world = World()
    for number in (1, 2, 3):
        world.land(number, f"file-{number}")
    for asset in ("raw_events", "validated_events"):
        world.build(asset, day(2))
    blocked = decide(world.state(), "session_features", day(2))
    assert (blocked.status, blocked.blocked_by) == (Status.BLOCKED, (day(1),))
    assert blocked.reasons == (f"needs validated_events of {day(1)}, which is not published",)
    for asset in ("raw_events", "validated_events"):
        world.build(asset, day(1))
    assert decide(world.state(), "session_features", day(2)).status is Status.DIRTY
    world.poison.add(day(3))
    world.build("raw_events", day(3))
    world.build("validated_events", day(3))
    assert decide(world.state(), "session_features", day(2)).blocked_by == (day(3),)


@pytest.mark.parametrize("delay_hours", [0, 6, 30])
def test_maturity_moves_in_whole_days(delay_hours: int) -> None:
    """Hour by hour, features become due only when the watermark passes a midnight that their labels look across."""
    delay = dt.timedelta(hours=delay_hours)
    world = World(now=noon(2) + delay, delay=delay)
    for number in (1, 2):
        world.land(number, f"file-{number}")
    settled(world)
    due: dict[dt.datetime, Partitions] = {}
    for _ in range(24 * 5):
        world.now += dt.timedelta(hours=1)
        open_ones = {each for each in found(world, Status.DIRTY, Status.WAITING) if each[0] not in TRAINING}
        if open_ones:
            due[world.now - delay] = open_ones
        settled(world)
    midnight = noon(1).replace(hour=0)
    assert due == {
        # The second day ends: both days learn labels. The third is empty, and complete at its own end.
        midnight + dt.timedelta(days=2): {("session_features", 1), ("session_features", 2)},
        midnight + dt.timedelta(days=3): {
            ("session_features", 2),
            *of_days(("raw_events", "validated_events", "session_features", "session_summaries"), 3),
        },
    }


def decided(world: World, lost: dict[tuple[str, dt.date], tuple[str, ...]]) -> dict[tuple[str, int], Decision]:
    """Return what is to be done about all partitions once files of some are lost."""
    state = replace(world.state(), lost_files=lost)
    return {(each.asset, (each.day - day(1)).days + 1): each for each in plan(state, expected_days(state))}


@pytest.mark.parametrize("asset", ASSETS)
def test_a_partition_whose_file_is_lost_is_built_again_and_nothing_else(world: World, asset: str) -> None:
    """Its reason names the file; what reads it waits, and is clean again when it comes out the same."""
    found = decided(world, {(asset, day(2)): ("data.parquet",)})
    assert {key for key, each in found.items() if each.status is Status.DIRTY} == {(asset, 2)}
    assert {key for key, each in found.items() if each.status is Status.WAITING} == behind({(asset, 2)})
    (reason,) = found[asset, 2].reasons
    assert reason.startswith(f"lost data.parquet of {asset}")
    assert found[asset, 2].lost == (reason,)


def test_rejected_rows_that_are_lost_are_gathered_again_also_of_a_refused_day(world: World) -> None:
    """By the stage that publishes them; the refusal holds for what is refused, not for what tells why."""
    lost = {("quarantined_events", day(2)): ("disposition=rejected/data.parquet",)}
    assert decided(world, lost)["validated_events", 2].status is Status.DIRTY
    world.poison.add(day(2))
    world.land(2, "poison")
    settled(world)
    assert decided(world, {})["validated_events", 2].status is Status.BLOCKED
    assert decided(world, lost)["validated_events", 2].status is Status.DIRTY


def test_what_reads_a_lost_file_that_cannot_be_built_again_is_blocked_by_it(world: World) -> None:
    """A day that waits for its contract stays blocked for that reason; a reader that is clean stays so."""
    state = replace(
        world.state(),
        contracts={},
        lost_files={("validated_events", day(2)): ("data.parquet",), ("session_summaries", day(2)): ("data.parquet",)},
    )
    found = {each.asset: each for each in plan(state, [day(2)])}
    assert found["validated_events"].status is Status.BLOCKED
    assert "contract" in found["validated_events"].reasons[0]
    assert found["session_summaries"].status is Status.BLOCKED
    assert "whose stored file is lost" in found["session_summaries"].reasons[0]
    assert found["date_partitions"].status is Status.CLEAN
