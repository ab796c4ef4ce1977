"""A watch that looks only where something changed sees what a look at everything sees."""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path

import pytest

from benchmarks.planning import SOURCE, START, land, make_root, publish
from ml_data_platform.events.lateness import ONE_DAY
from ml_data_platform.events.planning import UPSTREAM, Decision, Status, expected_days, plan, required_inputs
from ml_data_platform.stages import watching
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.state import read_state
from ml_data_platform.stages.watching import Watch
from ml_data_platform.storage.layout import Layout

SETTLED = {Status.CLEAN, Status.NOT_NEEDED}


def everything_open(platform: Platform) -> set[tuple[object, ...]]:
    """Return what is open, decided from everything that lies in the root."""
    state = read_state(platform)
    return as_facts(each for each in plan(state, expected_days(state)) if each.status not in SETTLED)


def as_facts(decisions: object) -> set[tuple[object, ...]]:
    """Return decisions as comparable values."""
    found: list[Decision] = list(decisions)  # type: ignore[call-overload]
    return {(each.asset, each.day, each.status, each.reasons, tuple(sorted(each.required.items()))) for each in found}


def build_one(platform: Platform, rng: random.Random) -> set[dt.date]:
    """Publish one dirty partition as a run would; return its day."""
    state = read_state(platform)
    dirty = [each for each in plan(state, expected_days(state)) if each.status is Status.DIRTY]
    if not dirty:
        return set()
    chosen = rng.choice(dirty)
    inputs = required_inputs(state, chosen.asset, chosen.day)
    publish(platform, chosen.asset, chosen.day, inputs)
    if chosen.asset == "validated_events":
        publish(platform, "quarantined_events", chosen.day, inputs)
    return {chosen.day}


@pytest.mark.parametrize("seed", range(3))
def test_a_watch_sees_what_a_look_at_everything_sees(tmp_path: Path, seed: int) -> None:
    """Whatever lands and is built between two looks, on old days or new ones, beside each other or far apart."""
    rng = random.Random(seed)
    platform = make_root(tmp_path / "root", days=12, records=12)
    watch = Watch(platform, monotonic=lambda: 0.0)
    assert watch.look() == []
    looks = 0
    for number in range(20):
        worked_on: set[dt.date] = set()
        for _ in range(rng.randint(1, 3)):
            if rng.random() < 0.4:
                days = {START + rng.randrange(-1, 16) * ONE_DAY for _ in range(rng.randint(1, 2))}
                land(platform, 1_000 + looks, sorted({max(day, START) for day in days}))
                looks += 1
            else:
                worked_on |= build_one(platform, rng)
        found = watch.look(worked_on)
        expected = everything_open(platform)
        assert as_facts(each for each in found if each.status not in SETTLED) == expected, number
        counted = list(watch.all_decisions())
        assert len(counted) == len({(each.asset, each.day) for each in counted})
        assert {each.asset for each in counted} == set(UPSTREAM)


def test_what_slips_through_is_found_by_the_next_look_at_everything(tmp_path: Path) -> None:
    """A partition that is rebuilt behind the watch's back is seen after a minute; a moved clock at once."""
    seconds = [0.0]
    platform = make_root(tmp_path / "root", days=6, records=6)
    watch = Watch(platform, monotonic=lambda: seconds[0])
    watch.look()
    publish(platform, "validated_events", START, {"unknown": "input"})
    assert watch.look() == []
    seconds[0] = watching.EVERYTHING_AFTER_SECONDS + 1
    assert {each.day for each in watch.look()} >= {START}
    assert Watch(platform, monotonic=lambda: 0.0).look() == watch.look()


def test_a_look_at_a_change_reads_no_other_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file for one day among thirty: only heads of days around it are read."""
    platform = make_root(tmp_path / "root", days=30, records=30)
    watch = Watch(platform, monotonic=lambda: 0.0)
    watch.look()
    land(platform, 99, [START + 15 * ONE_DAY])
    read: set[str] = set()
    head = type(platform.store).head
    monkeypatch.setattr(
        type(platform.store), "head", lambda store, asset, day: read.add(str(day)) or head(store, asset, day)
    )
    monkeypatch.setattr(type(platform.store), "heads", lambda *_: pytest.fail("all days were read"))
    assert {each.day for each in watch.look() if each.status is Status.DIRTY} == {START + 15 * ONE_DAY}
    assert read <= {str(START + number * ONE_DAY) for number in range(10, 21)}


def test_a_look_at_many_new_files_does_not_compare_each_with_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names of 4,000 files that landed since the last look are each taken apart once or twice, not 4,000 times."""
    platform = make_root(tmp_path / "root", days=1, records=1)
    watch = Watch(platform, monotonic=lambda: 0.0)
    watch.look()
    (record,) = platform.ledger.records()
    taken_apart = 0

    class Name(str):
        __slots__ = ()

        def partition(self, separator: str) -> tuple[str, str, str]:
            nonlocal taken_apart
            taken_apart += 1
            return super().partition(separator)

    many = [Name(f"{number:064x}.{record.routing_hash[:12]}.json") for number in range(4_000)]
    names = type(platform.store.objects).names
    objects, ledger = type(platform.store.objects), Layout.ledger_folder(SOURCE)
    names = objects.names
    monkeypatch.setattr(objects, "names", lambda self, folder: many if folder == ledger else names(self, folder))
    monkeypatch.setattr(type(platform.ledger), "record", lambda *_: record)
    watch.look()
    assert 0 < taken_apart <= 2 * len(many)
