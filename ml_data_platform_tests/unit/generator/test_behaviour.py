"""The sample has the shape of a shop's week, and something honest to learn."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from itertools import pairwise

import pytest

from ml_data_platform_tests.planted_recount import Line
from ml_data_platform_tests.unit.generator.conftest import Sample


@pytest.fixture(scope="module")
def sessions(sample: Sample) -> list[list[Line]]:
    """The distinct valid events of each session, by time."""
    found: dict[str, dict[str, Line]] = defaultdict(dict)
    for line in sample.lines:
        if line.time and not line.rules:
            found[line.session].setdefault(line.event_id, line)
    return [sorted(events.values(), key=lambda line: line.time) for events in found.values()]


def test_sequence_is_the_order_within_the_session(sessions: list[list[Line]]) -> None:
    """Sequence rises with time, starts at 1, and has gaps only where an event was damaged."""
    for events in sessions:
        numbers = [line.body["sequence"] for line in events]
        assert numbers == sorted(set(numbers))
        assert 1 <= numbers[0] <= numbers[-1] <= 15
    complete = sum([line.body["sequence"] for line in events] == list(range(1, len(events) + 1)) for events in sessions)
    assert 0.9 < complete / len(sessions) < 1


def test_a_session_has_one_user_and_no_long_silence(sessions: list[list[Line]]) -> None:
    """One user per session; between neighbours in sequence less than half an hour; elapsed seconds are true."""
    for events in sessions:
        assert len({line.body["user_id"] for line in events}) == 1
        for before, after in pairwise(events):
            if after.body["sequence"] == before.body["sequence"] + 1:
                assert after.time - before.time < timedelta(minutes=30)
        if events[0].body["sequence"] == 1:
            for line in events:
                elapsed = (line.time - events[0].time) // timedelta(seconds=1)
                assert line.body.get("session_duration_seconds", 0) == elapsed


def test_sessions_cross_midnight(sessions: list[list[Line]]) -> None:
    """Some sessions have events on two days."""
    assert sum(events[0].day != events[-1].day for events in sessions) >= 10


def test_few_users_make_much_of_the_traffic(sessions: list[list[Line]]) -> None:
    """The first tenth of the users has over a third of the sessions, yet most users come at least once."""
    counts = Counter(events[0].body["user_id"] for events in sessions)
    assert len(counts) > 150
    assert sum(count for _, count in counts.most_common(20)) > len(sessions) / 3


def test_weekends_are_quieter_and_nights_too(sample: Sample) -> None:
    """Each weekend day has fewer rows than each workday of its week; hours before dawn have the fewest."""
    rows = [sample.planted.days[day].rows for day in sorted(sample.planted.days)]
    for week in (rows[:7], rows[7:14]):
        assert max(week[5:]) < min(week[:5])
    hours = Counter(line.time.hour for line in sample.lines if line.time)
    assert max(hours[hour] for hour in (2, 3, 4)) < min(hours[hour] for hour in range(9, 22)) / 4


def test_purchases_are_rare(sessions: list[list[Line]]) -> None:
    """Between one and five sessions of a hundred hold a purchase; only purchases carry an amount, in cents."""
    assert 0.015 < sum(any(is_purchase(line) for line in events) for events in sessions) / len(sessions) < 0.045
    for events in sessions:
        for line in events:
            assert is_purchase(line) == ("purchase_amount_usd" in line.body)
            if is_purchase(line):
                amount = line.text.split('"purchase_amount_usd":')[1].split(",")[0]
                assert len(amount.split(".")[1]) == 2
                assert 1.99 <= line.body["purchase_amount_usd"] <= 902


def test_carts_announce_purchases(sessions: list[list[Line]]) -> None:
    """After a cart the next event is a purchase at least ten times as often as without, yet mostly it is none."""
    after: dict[bool, list[bool]] = {True: [], False: []}
    for events in sessions:
        has_cart = False
        for line in events:
            after[has_cart].append(is_purchase(line))
            has_cart |= line.body["event_type"] == "add_to_cart"
    rates = {has_cart: sum(flags) / len(flags) for has_cart, flags in after.items()}
    assert rates[True] > 10 * rates[False]
    assert rates[True] < 0.2


def is_purchase(line: Line) -> bool:
    """Return whether the line is a purchase."""
    return line.body["event_type"] == "purchase"
