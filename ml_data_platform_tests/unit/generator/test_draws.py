"""Draws: integer arithmetic that equals its definition."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from ml_data_platform.generator.draws import Draws, Stream, cumulate, draw_key, scramble
from ml_data_platform.generator.rhythm import PART_EVENTS, plan_hours

MASK = 2**64 - 1


def splitmix_finaliser(number: int) -> int:
    """The published function on unbounded integers, cut to 64 bits."""
    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    number = (number ^ (number >> 27)) * 0x94D049BB133111EB & MASK
    return number ^ (number >> 31)


def test_scrambling_equals_its_definition() -> None:
    """The array arithmetic wraps exactly as 64-bit integers do."""
    numbers = [0, 1, 2, 10**12, 2**63, MASK]
    found = scramble(np.array(numbers, dtype=np.uint64), 0x1234)
    assert found.tolist() == [splitmix_finaliser(number ^ 0x1234) for number in numbers]


def test_scrambling_is_one_to_one() -> None:
    """A million consecutive numbers have a million images."""
    assert len(np.unique(scramble(np.arange(1_000_000, dtype=np.uint64), 99))) == 1_000_000


def test_streams_depend_on_their_whole_place() -> None:
    """The same place gives the same numbers; another seed, hour or part gives others."""
    first = Draws(1, Stream.HOURS, 2, 3).raw(8).tolist()
    assert Draws(1, Stream.HOURS, 2, 3).raw(8).tolist() == first
    others = [Draws(2, Stream.HOURS, 2, 3), Draws(1, Stream.HOURS, 3, 3), Draws(1, Stream.HOURS, 2, 4)]
    others += [Draws(1, Stream.DAYS, 2, 3), Draws(1 + 2**32, Stream.HOURS, 2, 3), Draws(1, Stream.HOURS, 2)]
    for other in others:
        assert not set(other.raw(8).tolist()) & set(first)


def test_numbers_of_neighbouring_seeds_are_scrambled_apart() -> None:
    """A hundred thousand consecutive numbers have disjoint images under the keys of eight neighbouring seeds."""
    numbers = np.arange(100_000, dtype=np.uint64)
    images = [scramble(numbers, draw_key(seed, Stream.EVENT_IDS)) for seed in range(8)]
    assert len(np.unique(np.concatenate(images))) == 800_000


@pytest.mark.parametrize("bound", [1, 2, 10, 3_600_000, 2**32])
def test_bounded_draws_stay_in_bounds(bound: int) -> None:
    """Draws below a bound are uniform on average and reach neither below 0 nor the bound."""
    found = Draws(1, Stream.DAYS).below(20_000, bound)
    assert found.min() >= 0
    assert found.max() < bound
    assert abs(found.mean() / bound - (bound - 1) / 2 / bound) < 0.01


def test_skewed_draws_have_their_mean() -> None:
    """A product of three uniforms has the mean of an eighth."""
    found = Draws(1, Stream.DAYS).skewed(100_000, 1_000_000)
    assert 0 <= found.min() <= found.max() < 1_000_000
    assert abs(found.mean() - 125_000) < 2_500


def test_weighted_draws_follow_their_weights() -> None:
    """Positions come as often as their weight says; weight zero never."""
    counts = np.bincount(Draws(1, Stream.DAYS).weighted(100_000, cumulate([1, 0, 3, 6])), minlength=4)
    assert counts[1] == 0
    assert np.abs(counts / 100_000 - np.array([0.1, 0, 0.3, 0.6])).max() < 0.01


@pytest.mark.parametrize(("days", "events"), [(1, 1), (1, 23), (14, 2_000), (2, 20_000_000)])
def test_hours_share_the_events_without_rest(days: int, events: int) -> None:
    """Hours follow each other without gap, numbered through, and hold the asked total; parts stay small."""
    hours = plan_hours(date(2026, 1, 1), days, events, seed=1)
    assert [hour.index for hour in hours] == list(range(24 * days))
    number = 0
    for hour in hours:
        for part in range(hour.parts):
            count, first = hour.part_events(part)
            assert first == number
            assert 0 <= count <= PART_EVENTS
            number += count
    assert number == days * events
