"""Sources whose events lie years apart do not meet in planning."""

from __future__ import annotations

import datetime as dt
import time

from ml_data_platform.events.planning import (
    UPSTREAM,
    Head,
    State,
    decide,
    expected_days,
    is_expected,
    maturity,
    plan,
    required_inputs,
)

ONE_DAY = dt.timedelta(days=1)
NOW = dt.datetime(2026, 6, 10, 6, tzinfo=dt.UTC)
YESTERDAY = NOW.date() - ONE_DAY
WATERMARKS = {
    "shop": NOW,
    "slow": NOW - dt.timedelta(hours=48),
    "softshop": NOW - dt.timedelta(hours=24),
    "unused": NOW - dt.timedelta(days=3_000),
}


def days_from(first, count, step=1):
    """Return ``count`` days from the first one on."""
    return [first + dt.timedelta(days=step * number) for number in range(count)]


def state_of(days_by_source, watermarks=None, heads=None):
    """Return a state in which each source landed one file per day."""
    landed = {}
    for source, days in days_by_source.items():
        for day in days:
            landed.setdefault(day, {})[f"landed_files/{source}/{source}-{day}"] = "f"
    return State(
        landed=landed,
        heads=heads or {},
        watermarks=WATERMARKS if watermarks is None else watermarks,
        contracts=dict.fromkeys(days_by_source, "c"),
    )


def test_only_days_with_rows_and_those_right_after_them_are_expected():
    """Between sources that are decades apart no empty day is planned, and planning them all takes a moment."""
    softshop = days_from(dt.date(1997, 10, 10), 300, step=2)
    shop = days_from(dt.date(2026, 5, 1), 30)
    state = state_of({"softshop": softshop, "shop": shop})
    days = expected_days(state)
    assert set(days) == {*softshop, *shop, *(day + ONE_DAY for day in (*softshop, *shop))}
    started = time.process_time()
    decisions = plan(state, days)
    assert time.process_time() - started < 5
    assert {decision.day for decision in decisions} == set(days)


def test_whether_an_empty_day_follows_is_up_to_the_source_before_it():
    """The day after a slow source's last rows waits for that source, however far others are."""
    state = state_of({"slow": [YESTERDAY - ONE_DAY]})
    assert not is_expected(state, YESTERDAY)
    assert not is_expected(state_of({"slow": [YESTERDAY - ONE_DAY], "shop": [dt.date(2020, 1, 1)]}), YESTERDAY)
    assert is_expected(state_of({"shop": [YESTERDAY - ONE_DAY]}), YESTERDAY)
    assert is_expected(state_of({"slow": [YESTERDAY - ONE_DAY], "shop": [YESTERDAY - ONE_DAY]}), YESTERDAY)
    assert not is_expected(state_of({"gone": [dt.date(2020, 1, 1)]}), dt.date(2020, 1, 2))


def test_a_source_that_is_new_or_idle_changes_no_input_of_other_days():
    """Rows of another source on other days, and its watermark, leave every decision as it was."""
    day = dt.date(2017, 10, 3)
    alone = state_of({"slow": [day, day + ONE_DAY]}, {"slow": WATERMARKS["slow"]})
    among = state_of({"slow": [day, day + ONE_DAY], "softshop": [dt.date(1997, 10, 10)], "shop": [NOW.date()]})
    for asset in UPSTREAM:
        assert required_inputs(alone, asset, day) == required_inputs(among, asset, day)
        assert decide(alone, asset, day) == decide(among, asset, day)


def test_maturity_counts_the_sources_of_the_day_alone():
    """A watermark that lags far behind keeps the labels of its own source immature and of none beside it."""
    day = dt.date(2026, 5, 20)
    state = state_of({"shop": [day]}, heads={"validated_events": {day + ONE_DAY: Head("v", {})}})
    end_of_next_day = dt.datetime(2026, 5, 22, tzinfo=dt.UTC)
    assert maturity(state, day) == {"shop": end_of_next_day}
    both = state_of({"shop": [day], "unused": [day]}, heads={"validated_events": {day + ONE_DAY: Head("v", {})}})
    lagging = maturity(both, day)
    assert lagging["shop"] == end_of_next_day
    assert lagging["unused"] < dt.datetime(2018, 4, 1, tzinfo=dt.UTC)
