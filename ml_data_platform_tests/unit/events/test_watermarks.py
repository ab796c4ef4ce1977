"""Watermarks of each strategy, day states and admission, by hand."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import pytest

from ml_data_platform.events.contract_parts import Lateness
from ml_data_platform.events.lateness import (
    Admission,
    Arrival,
    DayState,
    day_state,
    decide_admission,
    source_watermark,
)

HOUR = dt.timedelta(hours=1)
NOW = dt.datetime(2026, 3, 10, 12, tzinfo=dt.UTC)
HOURLY = {"pattern": "([0-9]{8}T[0-9]{2})", "format": "%Y%m%dT%H", "period_hours": 1}


def said(watermark: str, **keys: Any) -> Lateness:
    """Return a contract's section."""
    return Lateness.model_validate({"watermark": watermark, **keys})


def arrival(hours_ago: float, event_hours_ago: float | None = None, name: str = "x", **noted: Any) -> Arrival:
    """Return a file that was landed, and whose events reach to, so many hours before now."""
    event_time = None if event_hours_ago is None else NOW - event_hours_ago * HOUR
    return Arrival(name, NOW - hours_ago * HOUR, event_time, Admission(**noted) if noted else None)


def test_the_clock_needs_no_file() -> None:
    """The strategy `clock` is the present, less the delay, whatever was landed."""
    assert source_watermark(said("clock", max_delay_hours=3), [], NOW) == NOW - 3 * HOUR
    assert source_watermark(said("clock"), [arrival(1, -500)], NOW) == NOW


def test_event_time_is_the_latest_event_time_less_the_disorder() -> None:
    """Of all files the furthest counts, in any order; files without dated rows say nothing."""
    files = [arrival(5, 6), arrival(4, 30), arrival(3, None)]
    for order in (files, files[::-1]):
        assert source_watermark(said("event_time", max_out_of_orderness_hours=2), order, NOW) == NOW - 8 * HOUR


def test_a_clock_that_runs_ahead_freezes_nothing_of_the_future() -> None:
    """An event time after its landing counts as the landing: days that have not begun stay open for ever so long."""
    ahead = arrival(2, -573)
    assert source_watermark(said("event_time"), [ahead], NOW) == NOW - 2 * HOUR
    assert source_watermark(said("event_time", max_out_of_orderness_hours=5), [ahead], NOW) == NOW - 7 * HOUR
    named = arrival(2, name="clicks-20290101T00.jsonl")
    assert source_watermark(said("file_time", file_time=HOURLY), [named], NOW) == NOW - 2 * HOUR


def test_what_was_decided_while_the_own_clock_ran_ahead_freezes_nothing() -> None:
    """Landings later than now show that it did: neither their watermark nor their idleness counts once it is right."""
    ahead = arrival(
        -900, 30, strategy="event_time", arrived_at=NOW.isoformat(), watermark=(NOW + 800 * HOUR).isoformat()
    )
    assert source_watermark(said("event_time"), [ahead], NOW) == NOW - 30 * HOUR
    assert source_watermark(said("event_time"), [ahead, arrival(1, 4)], NOW) == NOW - 4 * HOUR
    ahead_of_all = arrival(-900, -850)
    assert source_watermark(said("event_time"), [ahead_of_all], NOW) == NOW
    idle = said("event_time", idle_after_hours=24, max_delay_hours=0)
    assert source_watermark(idle, [ahead, arrival(48, 50)], NOW) == NOW - 24 * HOUR


def test_file_time_is_the_end_of_what_the_latest_name_covers() -> None:
    """The hour 08 ends at 09:00; names that say nothing move nothing, and event times do not count."""
    files = [arrival(3, 0, "clicks-20260310T08.jsonl"), arrival(1, 0, "again.jsonl"), arrival(2, 0, "20260310T04")]
    assert source_watermark(said("file_time", file_time=HOURLY), files, NOW) == NOW - 3 * HOUR
    late = said("file_time", file_time=HOURLY, max_out_of_orderness_hours=24)
    assert source_watermark(late, files, NOW) == NOW - 27 * HOUR


@pytest.mark.parametrize("strategy", [said("event_time"), said("file_time", file_time=HOURLY)])
def test_a_new_source_has_no_watermark(strategy: Lateness) -> None:
    """Before the first file, and while none says anything, no day is complete and no row is late."""
    assert source_watermark(strategy, [], NOW) is None
    assert source_watermark(strategy, [arrival(1)], NOW) is None
    assert day_state(dt.date(2020, 1, 1), None, HOUR) is DayState.OPEN
    assert decide_admission(said("event_time", late_policy="quarantine"), "x", NOW, None) == Admission(
        "event_time", NOW.isoformat()
    )


def test_an_idle_source_falls_back_to_the_clock() -> None:
    """From a day without a file on, what is older than a day is no longer waited for; at once when a file comes."""
    strategy = said("event_time", max_delay_hours=2)
    silent = [arrival(24, 100)]
    assert source_watermark(strategy, [arrival(23.9, 100)], NOW) == NOW - 100 * HOUR
    assert source_watermark(strategy, silent, NOW) == NOW - 24 * HOUR
    assert source_watermark(strategy, silent, NOW + 50 * HOUR) == NOW + 26 * HOUR
    assert source_watermark(said("event_time", max_delay_hours=30), silent, NOW) == NOW - 30 * HOUR
    assert source_watermark(said("event_time", idle_after_hours=90), silent, NOW) == NOW - 100 * HOUR
    # A source that was never heard of is not idle: nothing of it is waited for.
    assert source_watermark(strategy, [], NOW + 1000 * HOUR) is None


def test_a_watermark_never_goes_back() -> None:
    """After an idle source wakes, the watermark by which its first new file was judged still holds."""
    strategy = said("event_time")
    before = source_watermark(strategy, [arrival(40, 100)], NOW)
    assert before == NOW - 24 * HOUR
    woken = arrival(0, 90, strategy="event_time", arrived_at=NOW.isoformat(), watermark=before.isoformat())
    assert source_watermark(strategy, [arrival(40, 100), woken], NOW) == before
    # What another strategy said is no obligation.
    other = arrival(0, 90, strategy="clock", arrived_at=NOW.isoformat(), watermark=NOW.isoformat())
    assert source_watermark(strategy, [arrival(40, 100), other], NOW) == NOW - 90 * HOUR


@pytest.mark.parametrize("strategy", [said("event_time", idle_after_hours=9), said("file_time", file_time=HOURLY)])
def test_more_files_and_a_later_clock_only_move_it_on(strategy: Lateness) -> None:
    """Whatever lands, each file judged by the watermark before it as landing does it, no watermark is before the last."""
    for seed in range(40):
        rng = random.Random(seed)
        now, landed, last = NOW, [], None
        for _ in range(15):
            now += rng.choice((0, 1, 7, 30)) * HOUR
            current = source_watermark(strategy, landed, now)
            assert last is None or (current is not None and current >= last)
            about = now - rng.randrange(-50, 200) * HOUR
            decided = decide_admission(strategy, "", now, current)
            name = f"{about:%Y%m%dT%H}" if rng.random() < 0.8 else "?"
            landed.append(Arrival(name, now, about, decided))
            last = source_watermark(strategy, landed, now)
            assert current is None or (last is not None and last >= current)
            last = last or current


def test_days_are_open_then_complete_then_frozen() -> None:
    """At the end of the day it is complete, a grace period later frozen; not a microsecond before."""
    day, grace, micro = dt.date(2026, 3, 9), 5 * HOUR, dt.timedelta(microseconds=1)
    end = dt.datetime(2026, 3, 10, tzinfo=dt.UTC)
    states = [day_state(day, at, grace) for at in (end - micro, end, end + grace - micro, end + grace)]
    assert states == [DayState.OPEN, DayState.COMPLETE, DayState.COMPLETE, DayState.FROZEN]
    assert day_state(day, end, dt.timedelta()) is DayState.FROZEN


@pytest.mark.parametrize("hour", [0, 12, 23])
@pytest.mark.parametrize("grace_hours", [0, 1, 24, 30])
def test_rows_are_judged_by_the_state_of_their_day(hour: int, grace_hours: int) -> None:
    """Late are the rows of complete days, too late under quarantine those of frozen ones, none too late under reopen."""
    watermark = dt.datetime(2026, 3, 10, hour, tzinfo=dt.UTC)
    policies = {
        policy: decide_admission(said("clock", late_policy=policy, grace_period_hours=grace_hours), "x", NOW, watermark)
        for policy in ("quarantine", "reopen")
    }
    for back in range(-2, 6):
        day = watermark.date() - dt.timedelta(days=back)
        state = day_state(day, watermark, grace_hours * HOUR)
        for policy, decided in policies.items():
            assert decided.is_late(day.isoformat()) == (state is not DayState.OPEN)
            is_apart = policy == "quarantine" and state is DayState.FROZEN
            assert decided.is_too_late(day.isoformat()) == is_apart


def test_a_historical_load_is_not_late_but_the_watermark_is_noted() -> None:
    """Nothing of it is late or too late, whatever the policy; what the watermark was is kept for the record."""
    decided = decide_admission(said("clock", late_policy="quarantine"), "x", NOW, NOW, is_historical=True)
    assert decided == Admission("clock", NOW.isoformat(), NOW.isoformat(), is_historical=True)
    assert not decided.is_late("1970-01-01")
    assert not decided.is_too_late("1970-01-01")


def test_a_file_arrives_when_its_name_says_but_not_in_the_future() -> None:
    """With names that say a time, delays are counted to it; else, and for names of the future, to the landing."""
    strategy = said("file_time", file_time=HOURLY)
    arrived = [decide_admission(strategy, name, NOW, None).arrived_at for name in ("20260301T05", "x", "20290101T00")]
    assert arrived == ["2026-03-01T06:00:00+00:00", NOW.isoformat(), NOW.isoformat()]
