"""What the names of files say, by hand."""

from __future__ import annotations

import datetime as dt

import pytest

from ml_data_platform.events.contract_parts import FileTime
from ml_data_platform.events.file_times import group_count, nominal_time

COUNTED = {
    "pattern": "clicks_hour_([0-9]+)",
    "origin": dt.datetime(2017, 10, 1, 5, tzinfo=dt.timezone(dt.timedelta(hours=2))),
    "period_hours": 1,
}
DAILY = {"pattern": r"_([0-9]{4}-[0-9]{2}-[0-9]{2})\.", "format": "%Y-%m-%d", "zone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("said", "name", "expected"),
    [
        (COUNTED, "clicks_hour_000.csv.gz", "2017-10-01T04:00"),
        (COUNTED, "deep/folder/clicks_hour_191.csv.gz", "2017-10-09T03:00"),
        (COUNTED, "clicks_hour_.csv.gz", None),
        (COUNTED, "clicks_hour_99999999999999999999.csv", None),
        (COUNTED, "clicks_hour_999999999.csv", None),
        (DAILY, "shop_2026-01-31.csv", "2026-01-30T23:00"),
        ({**DAILY, "period_hours": 24}, "shop_2026-06-30.csv", "2026-06-30T22:00"),
        (DAILY, "shop_2026-02-30.csv", None),
        (DAILY, "shop.csv", None),
        # Clocks are put back at 03:00 of this day: 02:30 is twice, and the later one waits for both.
        ({**DAILY, "pattern": "(.*)", "format": "%Y-%m-%d %H:%M"}, "2026-10-25 02:30", "2026-10-25T01:30"),
        ({"pattern": "(.*)", "format": "%Y%m%d%H%z"}, "2026010100+0530", "2025-12-31T18:30"),
        ({"pattern": "a|(b)", "format": "%Y%m%d"}, "a", None),
    ],
)
def test_a_name_says_an_instant_or_nothing(said: dict[str, object], name: str, expected: str | None) -> None:
    """The end of what the file covers, in the contract's zone; names that say no calendar time say nothing."""
    found = nominal_time(name, FileTime.model_validate(said))
    assert (found and found.strftime("%Y-%m-%dT%H:%M")) == expected
    assert found is None or found.utcoffset() == dt.timedelta()


def test_groups_of_a_pattern_are_counted() -> None:
    """One group is needed, and no pattern at all is told from one without."""
    assert [group_count(text) for text in ("a", "(a)", "(?P<x>a)(?:b)", "(a)(b)", "(a", "*")] == [
        0,
        1,
        1,
        2,
        None,
        None,
    ]
