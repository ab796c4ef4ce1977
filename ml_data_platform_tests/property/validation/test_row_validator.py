"""Great Expectations' positions equal a plain-Python judgement of every row, however rows are cut into chunks."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ml_data_platform.validation.runner import RowValidator
from ml_data_platform.validation.suites import ROW_RULES
from ml_data_platform_tests.examples import tried
from ml_data_platform_tests.validation_rows import EVENT_COLUMNS, GOOD_SESSION, GOOD_USER, event_rows

TEXT = st.text(alphabet=st.characters(codec="utf-8"), max_size=24)


def is_in(lowest, highest):
    """Return the judgement of a closed range in which NaN is missing."""
    return lambda value: math.isnan(value) or lowest <= value <= highest


ORACLE = {
    "event_ids_are_present": ("event_id", lambda value: value is not None),
    "user_ids_are_present": ("user_id", lambda value: value is not None),
    "session_uuids_are_present": ("session_uuid", lambda value: value is not None),
    "event_types_are_present": ("event_type", lambda value: value is not None),
    "event_timestamps_are_present": ("event_timestamp", lambda value: value is not None),
    "event_types_are_known": (
        "event_type",
        lambda value: value is None or value in {"page_view", "add_to_cart", "purchase", "search", "other"},
    ),
    "event_ids_are_short": ("event_id", lambda value: value is None or 1 <= len(value) <= 256),
    "session_durations_are_in_range": (
        "session_duration_seconds",
        lambda value: value is None or is_in(0, 86_400)(value),
    ),
    "purchase_amounts_are_in_range": ("purchase_amount_usd", lambda value: value is None or is_in(0, 50_000)(value)),
    "session_durations_are_numbers": ("unreadable_session_duration_seconds", lambda value: value is None),
    "purchase_amounts_are_numbers": ("unreadable_purchase_amount_usd", lambda value: value is None),
    "sequences_are_integers": ("unreadable_sequence", lambda value: value is None),
    "labels_are_binary": ("unreadable_label", lambda value: value is None),
    "text_fields_are_scalars": ("nested_fields", lambda value: value is None),
    "labels_are_present_where_declared": ("label_is_missing", lambda value: value is False),
}
VALUES = {
    "event_id": st.none() | TEXT | st.sampled_from(["x" * 256, "x" * 257, "𝄞" * 256, "𝄞" * 257]),
    "user_id": st.none()
    | TEXT
    | st.from_regex(r"\Ausr_[0-9a-f]{15,17}\Z")
    | st.sampled_from([GOOD_USER, f"{GOOD_USER}\n", f"{GOOD_USER}\x00", GOOD_USER.upper(), f"a{GOOD_USER}"]),
    "session_uuid": st.none()
    | TEXT
    | st.uuids().map(str)
    | st.uuids(version=5).map(str)
    | st.sampled_from([GOOD_SESSION, f"{GOOD_SESSION}\n", f"{{{GOOD_SESSION}}}", GOOD_SESSION.upper()]),
    "event_type": st.none() | TEXT | st.sampled_from(["page_view", "purchase", "search", "other", "Other", "search\n"]),
    "event_timestamp": st.none() | st.integers(0, 2**51),
    "session_duration_seconds": st.none() | st.floats() | st.sampled_from([0.0, 86_400.0, 86_400.00000000001]),
    "purchase_amount_usd": st.none() | st.floats() | st.sampled_from([-0.0, 5e-324, 50_000.0, 50_000.01]),
    "unreadable_session_duration_seconds": st.none() | TEXT,
    "unreadable_purchase_amount_usd": st.none() | TEXT,
    "unreadable_sequence": st.none() | TEXT,
    "unreadable_label": st.none() | TEXT,
    "nested_fields": st.none() | TEXT,
    "label_is_missing": st.booleans(),
}
ROWS = st.lists(st.fixed_dictionaries(VALUES), max_size=30)


def columns_of(rows):
    """Turn rows into columns."""
    return {name: [row[name] for row in rows] for name in VALUES}


def judged_bad(rows):
    """Return the positions that break each rule, judged one row at a time."""
    return {
        name: [position for position, row in enumerate(rows) if not holds(row[column])]
        for name, (column, holds) in ORACLE.items()
    }


def test_the_oracle_covers_every_row_rule():
    """The oracle and the rules speak of the same properties and columns."""
    assert {rule.name: rule.columns[0] for rule in ROW_RULES["validated_events"]} == {
        name: column for name, (column, _) in ORACLE.items()
    }
    assert set(VALUES) <= set(EVENT_COLUMNS)


@given(rows=ROWS, cuts=st.lists(st.integers(0, 30), max_size=2))
@tried(25)
def test_positions_and_totals_equal_the_oracle_for_any_chunks(rows, cuts):
    """However rows are cut into chunks, global positions and totals are those of judging each row by itself."""
    validator = RowValidator(ROW_RULES["validated_events"])
    frame = event_rows(len(rows), **columns_of(rows))
    borders = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    found = {name: [] for name in ORACLE}
    for start, stop in pairwise(borders):
        for name, positions in validator.validate(frame.iloc[start:stop]).items():
            assert positions.dtype == np.int64
            found[name] += (positions + start).tolist()
    expected = judged_bad(rows)
    assert found == expected
    for outcome in validator.outcomes():
        bad = len(expected[outcome.name])
        assert (outcome.evaluated, outcome.unexpected) == (len(rows), bad)
        # Two stray rows exceed no share.
        assert outcome.passed is (bad < 3 or 20 * bad <= len(rows))
        assert len(outcome.examples) == min(5, bad)


@given(rows=ROWS, cut=st.integers(0, 30))
@tried(8)
def test_outcomes_do_not_depend_on_the_cut(rows, cut):
    """Two chunks or one: the same outcomes, examples included."""
    frame = event_rows(len(rows), **columns_of(rows))
    whole, halves = RowValidator(ROW_RULES["validated_events"]), RowValidator(ROW_RULES["validated_events"])
    whole.validate(frame)
    for part in (frame.iloc[:cut], frame.iloc[cut:]):
        halves.validate(part)
    assert halves.outcomes() == whole.outcomes()
