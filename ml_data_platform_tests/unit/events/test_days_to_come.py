"""Rows can claim a day that has not begun: their clock runs ahead, or the producer's zone does."""

from __future__ import annotations

import datetime as dt

from ml_data_platform.events.due_runs import due_runs
from ml_data_platform.events.planning import State, Status, expected_days, plan

TODAY = dt.date(2026, 6, 1)
TOMORROW = dt.date(2026, 6, 2)


def _state(today: dt.date) -> State:
    landed = {day: {"landed_files/demo_shop/aa": "f"} for day in (TODAY, TOMORROW)}
    return State(landed=landed, contracts={"demo_shop": "c"}, today=today)


def test_a_day_that_has_not_begun_is_not_due() -> None:
    """No run is started for a day without a partition, asked for or not; the day before it is."""
    for is_requested in (False, True):
        decisions = plan(_state(TODAY), [TODAY, TOMORROW], is_requested=is_requested)
        assert {run.day for run in due_runs(decisions)} == {TODAY}
        assert {each.status for each in decisions if each.day == TOMORROW} == {Status.NOT_NEEDED}


def test_the_same_rows_are_due_once_the_day_has_begun() -> None:
    """Nothing needs to land again: the day is due as soon as the clock reaches it."""
    state = _state(TOMORROW)
    runs = due_runs(plan(state, expected_days(state)))
    assert {run.day for run in runs if run.assets == ("raw_events", "validated_events")} == {TODAY, TOMORROW}
