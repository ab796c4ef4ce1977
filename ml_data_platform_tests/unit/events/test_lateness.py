"""Watermarks and maturity at their borders, by hand."""

from __future__ import annotations

import datetime as dt

import pytest

from ml_data_platform.events.lateness import clock_watermark, end_of_day, is_complete, mature_through, start_of_day

THE_DAY = dt.date(2026, 2, 28)
MICRO = dt.timedelta(microseconds=1)


def at(day: int, hour: int = 0, month: int = 3) -> dt.datetime:
    """Return an instant of 2026, UTC."""
    return dt.datetime(2026, month, day, hour, tzinfo=dt.UTC)


def test_a_day_is_half_open() -> None:
    """It begins at midnight UTC and ends where the next one begins, also at the end of a month."""
    assert start_of_day(THE_DAY) == at(28, month=2)
    assert end_of_day(THE_DAY) == at(1) == start_of_day(dt.date(2026, 3, 1))


def test_the_watermark_follows_the_clock() -> None:
    """Events are expected to have arrived up to the clock less the delay."""
    assert clock_watermark(at(1, 5), dt.timedelta(hours=6)) == at(28, 23, month=2)


@pytest.mark.parametrize(
    ("watermark", "expected"),
    [(end_of_day(THE_DAY) - MICRO, False), (end_of_day(THE_DAY), True), (end_of_day(THE_DAY) + MICRO, True)],
)
def test_a_day_is_complete_from_its_end_on(watermark: dt.datetime, expected: bool) -> None:
    """A watermark at the very end is enough; an instant in another zone counts as the instant that it is."""
    assert is_complete(THE_DAY, watermark) is expected
    assert is_complete(THE_DAY, watermark.astimezone(dt.timezone(dt.timedelta(hours=-9)))) is expected


@pytest.mark.parametrize(
    ("watermark", "is_next_built", "expected"),
    [
        (at(28, 12, month=2), False, at(28, 12, month=2)),
        (at(28, 12, month=2), True, at(28, 12, month=2)),
        (at(1, 6), False, at(1)),
        (at(1, 6), True, at(1, 6)),
        (at(2), True, at(2)),
        (at(9), True, at(2)),
        (at(9), False, at(1)),
    ],
)
def test_labels_are_known_through(watermark: dt.datetime, is_next_built: bool, expected: dt.datetime) -> None:
    """Up to the watermark, the end of what is built, and the end of the day after: whichever is first."""
    assert mature_through(THE_DAY, {"shop": watermark}, next_day_is_built=is_next_built) == {"shop": expected}


def test_sources_mature_each_for_itself() -> None:
    """A slow source holds no other back."""
    known = mature_through(THE_DAY, {"slow": at(28, 1, month=2), "fast": at(3)}, next_day_is_built=True)
    assert known == {"fast": at(2), "slow": at(28, 1, month=2)}
    assert mature_through(THE_DAY, {}, next_day_is_built=True) == {}
