"""Golden cases of the session features, with every expected number written by hand."""

from __future__ import annotations

import datetime as dt

import pytest

from ml_data_platform_tests.session_logs import features_of, instant, summaries_of
from ml_data_platform_tests.session_oracle import Event


def test_a_session_across_midnight_keeps_its_history() -> None:
    """The first event of the day sees the session's events of the evening before; only the day's rows come out."""
    rows = features_of(
        [
            Event("e1", instant(-1), "search"),
            Event("e2", instant(minutes=-30), "add_to_cart"),
            Event("e3", instant(minutes=15), "purchase", cents=1999),
            Event("e4", instant(minutes=20)),
        ]
    )
    assert set(rows) == {"e3", "e4"}
    first = rows["e3"]
    assert first["session_event_count"] == 3
    assert first["session_elapsed_seconds"] == 75 * 60.0
    assert first["seconds_since_previous_event"] == 45 * 60.0
    assert (first["session_search_count"], first["session_cart_count"]) == (1, 1)
    assert (first["session_purchase_count_before"], first["session_spend_cents_before"]) == (0, 0)
    second = rows["e4"]
    assert (second["session_purchase_count_before"], second["session_spend_cents_before"]) == (1, 1999)


def test_the_window_excludes_an_event_exactly_24_hours_old() -> None:
    """At t the event of t - 24 h has left the window; one microsecond younger, it is still inside."""
    old = Event("e1", instant(-12), "purchase", cents=100)
    young = Event("e2", instant(-12, microseconds=1), "add_to_cart")
    row = features_of([old, young, Event("e3", instant(12))])["e3"]
    assert row["session_event_count"] == 2
    assert row["session_purchase_count_before"] == 0
    assert row["session_spend_cents_before"] == 0
    assert row["session_cart_count"] == 1
    assert row["session_elapsed_seconds"] == 86_399.999999
    assert row["seconds_since_previous_event"] == 86_399.999999


def test_an_event_alone_in_its_window_has_no_previous_event() -> None:
    """A previous event outside the window counts as none."""
    row = features_of([Event("e1", instant(-12)), Event("e2", instant(12))])["e2"]
    assert row["seconds_since_previous_event"] is None
    assert row["session_elapsed_seconds"] == 0.0
    assert row["session_event_count"] == 1


def test_events_of_one_instant_follow_the_total_order() -> None:
    """Within one instant: by sequence, null last, then by id; an event sees those before it and not those after."""
    now = instant(10)
    rows = features_of(
        [
            Event("a", now, "search"),
            Event("b", now, "purchase", sequence=2, cents=250),
            Event("c", now, "add_to_cart", sequence=1),
            Event("d", now, "search", sequence=2),
        ]
    )
    order = ["c", "b", "d", "a"]
    assert [rows[event]["session_event_count"] for event in order] == [1, 2, 3, 4]
    assert [rows[event]["session_search_count"] for event in order] == [0, 0, 1, 2]
    assert [rows[event]["session_purchase_count_before"] for event in order] == [0, 0, 1, 1]
    assert [rows[event]["session_spend_cents_before"] for event in order] == [0, 0, 250, 250]
    assert [rows[event]["seconds_since_previous_event"] for event in order] == [None, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("bought_at", "sequence", "expected"),
    [
        (instant(10), 2, 1),
        (instant(10), None, 1),
        (instant(10), 0, 0),
        (instant(10, microseconds=1), 0, 1),
        (instant(10, microseconds=-1), 2, 0),
        (instant(34), 0, 1),
        (instant(34), 2, 1),
        (instant(34, microseconds=1), 2, 0),
    ],
)
def test_the_label_looks_later_in_the_order_and_24_hours_far(
    bought_at: dt.datetime, sequence: int | None, expected: int
) -> None:
    """A purchase counts if it is later in the total order, also within the instant; and up to t + 24 h by time alone."""
    rows = features_of([Event("e1", instant(10), sequence=1), Event("e2", bought_at, "purchase", sequence=sequence)])
    assert rows["e1"]["converted"] == expected
    assert rows["e1"]["label"] == expected


def test_of_purchases_of_one_instant_the_earlier_are_followed_by_the_later() -> None:
    """Labels and features take one order: what counts as a purchase before is what another row had as one later."""
    rows = features_of([Event(name, instant(10), "purchase", sequence=place) for name, place in (("e1", 3), ("e2", 1))])
    assert {name: (row["session_purchase_count_before"], row["converted"]) for name, row in rows.items()} == {
        "e2": (0, 1),
        "e1": (1, 0),
    }


def test_a_purchase_of_the_next_day_labels_the_last_event_of_a_full_instant() -> None:
    """Events of one instant in each kind of place: the purchase among them, and one of the day after."""
    now, tomorrow = instant(23), instant(30)
    rows = features_of(
        [
            Event("c", now, "purchase", sequence=2),
            Event("a", now, "add_to_cart", sequence=3),
            Event("b", now, "search", sequence=1),
            Event("d", tomorrow, "purchase", session="session-b"),
        ]
    )
    assert {name: rows[name]["converted"] for name in "abc"} == {"b": 1, "c": 0, "a": 0}
    rows = features_of([Event("a", now, "purchase", sequence=1), Event("d", tomorrow, "purchase", sequence=1)])
    assert rows["a"]["converted"] == 1


@pytest.mark.parametrize(("through", "is_mature"), [(instant(34), True), (instant(34, microseconds=-1), False)])
def test_a_label_matures_when_24_hours_are_seen(through: dt.datetime, is_mature: bool) -> None:
    """Mature exactly from t + 24 h <= mature_through on; until then neither 0 nor 1, even if a purchase is seen."""
    row = features_of([Event("e1", instant(10)), Event("e2", instant(11), "purchase")], {"shop": through})["e1"]
    assert row["label_is_mature"] is is_mature
    assert row["converted"] == (1 if is_mature else None)
    assert row["label"] == row["converted"]


def test_a_declared_label_is_mature_at_once_and_wins() -> None:
    """The contract's label takes the derived label's place; the derived one is still reported once it is mature."""
    events = [Event("e1", instant(10), label=0), Event("e2", instant(11), "purchase")]
    assert {name: features_of(events, {})["e1"][name] for name in ("label", "label_is_mature", "converted")} == {
        "label": 0,
        "label_is_mature": True,
        "converted": None,
    }
    assert features_of(events)["e1"]["converted"] == 1
    assert features_of(events)["e1"]["label"] == 0


def test_a_source_without_maturity_has_no_derived_labels() -> None:
    """Another source's maturity says nothing about this one."""
    row = features_of([Event("e1", instant(10))], {"store": instant(48)})["e1"]
    assert (row["converted"], row["label"], row["label_is_mature"]) == (None, None, False)


def test_a_session_longer_than_a_day_rolls() -> None:
    """One event an hour for three days: every event of the day sees exactly the last 24."""
    rows = features_of([Event(f"e{hour:+03d}", instant(hour), "search") for hour in range(-24, 48)])
    assert len(rows) == 24
    assert {row["session_event_count"] for row in rows.values()} == {24}
    assert {row["session_search_count"] for row in rows.values()} == {24}
    assert {row["session_elapsed_seconds"] for row in rows.values()} == {23 * 3600.0}


def test_sessions_do_not_see_each_other() -> None:
    """Neither features nor labels cross sessions, also of one user."""
    rows = features_of([Event("e1", instant(10)), Event("e2", instant(11), "purchase", session="session-b", cents=500)])
    assert rows["e1"]["converted"] == 0
    assert rows["e2"]["session_event_count"] == 1


def test_calendar_features_are_utc() -> None:
    """2026-03-07 is a Saturday in UTC, whatever the time zone of the engine's session."""
    saturday = dt.datetime(2026, 3, 7, 23, 59, 59, 999_999, tzinfo=dt.UTC)
    row = features_of([Event("e1", saturday)], day=saturday.date())["e1"]
    assert (row["hour_of_day"], row["day_of_week"], row["is_weekend"]) == (23, 5, True)
    monday = dt.datetime(2026, 3, 9, tzinfo=dt.UTC)
    row = features_of([Event("e1", monday)], day=monday.date())["e1"]
    assert (row["hour_of_day"], row["day_of_week"], row["is_weekend"]) == (0, 0, False)


def test_money_is_summed_in_whole_cents() -> None:
    """A thousand purchases of 0.10 and one of 0.07 are 100.07, which sums of binary fractions miss."""
    log = [Event(f"e{n:04d}", instant(1, microseconds=n), "purchase", cents=10) for n in range(1000)]
    log += [Event("x1", instant(2), "purchase", cents=7), Event("x2", instant(3))]
    assert features_of(log)["x2"]["session_spend_cents_before"] == 10_007


def test_only_purchases_are_spending() -> None:
    """An amount on another event, or a purchase without amount, adds nothing."""
    rows = features_of(
        [
            Event("e1", instant(1), "add_to_cart", cents=900),
            Event("e2", instant(2), "purchase"),
            Event("e3", instant(3)),
        ]
    )
    assert (rows["e3"]["session_purchase_count_before"], rows["e3"]["session_spend_cents_before"]) == (1, 0)


def test_a_summary_is_the_session_of_one_day() -> None:
    """Count, span, purchases and cents of the day's events."""
    rows = summaries_of(
        [
            Event("e1", instant(1)),
            Event("e2", instant(2), "purchase", cents=1234),
            Event("e3", instant(1, minutes=30, microseconds=1), "purchase", cents=1, session="session-b"),
        ]
    )
    assert rows["session-a"]["event_count"] == 2
    assert rows["session-a"]["session_duration_seconds"] == 3600.0
    assert (rows["session-a"]["session_start"], rows["session-a"]["session_end"]) == (instant(1), instant(2))
    assert (rows["session-a"]["has_purchase"], rows["session-a"]["spend_cents"]) == (True, 1234)
    assert rows["session-b"]["session_duration_seconds"] == 0.0
