"""The SQL of the features equals their definition on generated logs."""

from __future__ import annotations

import datetime as dt
import random

from hypothesis import given
from hypothesis import strategies as st

from ml_data_platform_tests.examples import tried
from ml_data_platform_tests.session_logs import MIDNIGHT, THE_DAY, features_of, logs, summaries_of
from ml_data_platform_tests.session_oracle import Event, expected_features, expected_summaries

HORIZONS = st.sampled_from([0, 23.5, 24, 25, 36, 47, 48])


@tried(150)
@given(log=logs(), shop=HORIZONS, store=st.none() | HORIZONS)
def test_features_equal_their_definition(log: list[Event], shop: float, store: float | None) -> None:
    """Every feature and label of every event equals the pairwise definition, whatever ties and borders there are."""
    through = {"shop": MIDNIGHT + dt.timedelta(hours=shop)}
    if store is not None:
        through["store"] = MIDNIGHT + dt.timedelta(hours=store)
    assert features_of(log, through) == expected_features(log, through, THE_DAY)


@tried(40)
@given(log=logs(), seed=st.integers(0, 1_000))
def test_order_of_rows_does_not_matter(log: list[Event], seed: int) -> None:
    """Features are a function of the set of events."""
    shuffled = random.Random(seed).sample(log, len(log))
    assert features_of(shuffled) == features_of(log)


@tried(40)
@given(log=logs())
def test_features_do_not_look_ahead(log: list[Event]) -> None:
    """Taking away every later event leaves the features of an event as they were: only labels look ahead."""
    labels = {"converted", "label", "label_is_mature"}
    whole = features_of(log)
    for event in log:
        if event.event_id in whole:
            past = features_of([other for other in log if other.place <= event.place])
            assert {
                name: value
                for name, value in past[event.event_id].items()
                if name not in labels and whole[event.event_id][name] != value
            } == {}


@tried(60)
@given(log=logs())
def test_summaries_equal_their_definition(log: list[Event]) -> None:
    """Every summary equals the definition over the day's events."""
    today = [event for event in log if event.at.date() == THE_DAY]
    assert summaries_of(today) == expected_summaries(log, THE_DAY)
