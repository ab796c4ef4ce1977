"""What is counted over a day is counted by source, so that sources do not hide each other."""

from __future__ import annotations

import datetime as dt

import pytest

from ml_data_platform.stages.result import SourceShares, most_unusual_ratio

DAY = dt.date(2026, 6, 10)


def days(*rows: int) -> dict[dt.date, int]:
    """Return rows of the days just before, the latest first."""
    return {DAY - dt.timedelta(days=back): count for back, count in enumerate(rows, start=1)}


def test_the_largest_share_is_that_of_one_source() -> None:
    """Of a day without rows there is none; every source is listed, the worst first."""
    shares = SourceShares({"big": 10_000, "small": 4}, {"big": 500, "small": 3})
    assert shares.largest == 0.75
    assert shares.lines == ("small: 3 of 4 rows", "big: 500 of 10,000 rows")
    assert SourceShares({}, {}).largest is None


def test_few_rows_of_a_source_are_judged_apart() -> None:
    """One or two affected rows do not count as a share of their own day, nor hide that of another source."""
    shares = SourceShares({"big": 100, "small": 2, "tiny": 1}, {"big": 7, "small": 1, "tiny": 1})
    assert (shares.largest_of(3), shares.largest_of(1)) == (0.07, 1.0)
    assert SourceShares({"a": 10}, {}).largest_of(3) == 0
    assert SourceShares({}, {}).largest_of(3) is None


@pytest.mark.parametrize(
    ("rows", "ratio", "worst"),
    [
        ({"big": 1000, "small": 10}, 1.0, "big"),
        ({"big": 1000}, 0.0, "small"),
        ({"big": 1000, "small": 2}, 0.2, "small"),
        ({"big": 4000, "small": 5}, 4.0, "big"),
        ({"big": 1000, "small": 10, "new": 99}, 1.0, "big"),
    ],
)
def test_the_most_unusual_source_counts(rows: dict[str, int], ratio: float, worst: str) -> None:
    """One that falls silent or swells is seen beside others that are as always; one without history is not judged."""
    found, lines = most_unusual_ratio(DAY, rows, {"big": days(1000, 1000), "small": days(10, 10, 10)})
    assert found == ratio
    assert lines[0].startswith(f"{worst}: ")
    assert not any(line.startswith("new") for line in lines)


def test_a_source_that_ended_long_ago_is_not_missed() -> None:
    """Only the seven days before count, and only days that have rows of the source."""
    long_ago = {"old": {DAY - dt.timedelta(days=8): 500}, "now": days(10, 20)}
    assert most_unusual_ratio(DAY, {"now": 15}, long_ago) == (1.0, ("now: 15 rows, 1 times the mean",))
    assert most_unusual_ratio(DAY, {}, {}) == (None, ())
