"""Text from outside means itself in a query, whatever it consists of."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ml_data_platform.errors import SettingsError
from ml_data_platform.events.sql_text import (
    json_pointer,
    present,
    sql_day_start,
    sql_identifier,
    sql_instant,
    sql_list,
    sql_literal,
)
from ml_data_platform_tests.examples import tried

hostile = st.one_of(st.text(max_size=30), st.text(alphabet="'\"\\;-$%/*~.\n\0{}[]", max_size=12))


@given(values=st.lists(st.one_of(hostile, st.integers(-(2**63), 2**63 - 1), st.none()), min_size=1, max_size=8))
@example(values=["'", "''", "\\", "\\'", "'; DROP TABLE t; --", "$1", "E'\\n'", "\0"])
@tried(120)
def test_literals_evaluate_to_themselves(duck, values):
    """Executing a literal gives back the value."""
    query = "SELECT " + ", ".join(map(sql_literal, values))
    assert duck.execute(query).fetchall() == [tuple(values)]


@given(values=st.lists(hostile, max_size=6))
@tried(40)
def test_lists_of_literals_evaluate_to_themselves(duck, values):
    """Executing a list of literals gives back the texts; an empty list too."""
    assert duck.execute("SELECT " + sql_list(map(sql_literal, values))).fetchall() == [(values,)]


@given(name=hostile.filter(lambda text: text and "\0" not in text))
@example(name='a"b')
@example(name="select")
@tried(80)
def test_identifiers_name_exactly_their_column(duck, name):
    """A quoted identifier used as a column's alias comes back as that column's name."""
    cursor = duck.execute(f"SELECT {sql_identifier(name)} FROM (SELECT 1 AS {sql_identifier(name)})")
    assert [column[0] for column in cursor.description] == [name]
    assert cursor.fetchall() == [(1,)]


@given(path=st.lists(hostile, min_size=1, max_size=3), value=st.text(max_size=5))
@example(path=["a.b", "c/d", "e~1f"], value="x")
@example(path=["", "*", "$"], value="x")
@tried(100)
def test_pointers_lead_to_their_value(duck, path, value):
    """A pointer made of keys finds the value under exactly these keys."""
    landed: object = value
    for key in reversed(path):
        landed = {key: landed, f"{key}_": "other"}
    text = json.dumps(landed, ensure_ascii=False)
    query = "SELECT json_extract_string($landed, " + sql_list([sql_literal(json_pointer(tuple(path)))]) + ")"
    assert duck.execute(query, {"landed": text}).fetchall() == [([value],)]


@given(text=st.text(alphabet=" \t\n\r\f\vab\u00a0", max_size=5))
@tried(40)
def test_blank_texts_are_absent(evaluate, text):
    """A text of nothing but ASCII white space is absent; any other is unchanged."""
    expected = None if not text.strip(" \t\n\r\f\v") else text
    assert evaluate(present("text"), [text]) == [expected]


@given(
    instant=st.datetimes(
        min_value=dt.datetime(1900, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
        timezones=st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=5, minutes=30))]),
    ),
)
@tried(40)
def test_instants_do_not_depend_on_the_session_zone(duck, instant):
    """An instant's literal is that instant in a session whose zone is not UTC."""
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    expected = (instant - epoch) // dt.timedelta(microseconds=1)
    assert duck.execute(f"SELECT epoch_us({sql_instant(instant)})").fetchall() == [(expected,)]


def test_days_start_at_midnight_utc(duck):
    """The first instant of 2026-01-02 is 1,767,312,000 seconds after the epoch."""
    assert duck.execute(f"SELECT epoch({sql_day_start(dt.date(2026, 1, 2))})").fetchall() == [(1_767_312_000,)]


def test_naive_instants_are_refused():
    """An instant without a zone would silently take that of the machine."""
    with pytest.raises(SettingsError, match="no time zone"):
        sql_instant(dt.datetime(2026, 1, 1))  # noqa: DTZ001
