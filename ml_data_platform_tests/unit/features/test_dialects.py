"""Rendering of portable query text."""

from __future__ import annotations

import datetime as dt
import itertools
import re

import pytest

from ml_data_platform.errors import QueryTextError
from ml_data_platform.features.dialects import DUCKDB, SPARK, Dialect, render
from ml_data_platform.features.queries import session_features_query, session_summaries_query

TOY = Dialect("toy", {"twice": "({0} + {0})", "minus": "({0} - {1})"})


def test_primitives_nest_and_keep_their_arguments() -> None:
    """Arguments may hold calls, commas in parentheses or in quotes, and other primitives."""
    assert render("@minus(f(a, b), @twice(c)) + @twice('x, (')", TOY) == "(f(a, b) - (c + c)) + ('x, (' + 'x, (')"


def test_quoted_text_is_left_alone() -> None:
    """What looks like a primitive inside a literal is text."""
    assert (
        render("SELECT '@twice(a)', @twice(b), 'it''s @minus('", TOY) == "SELECT '@twice(a)', (b + b), 'it''s @minus('"
    )


def test_slots_are_filled_and_may_hold_primitives() -> None:
    """A slot's text is expanded like the rest."""
    assert render("SELECT ${what}", TOY, {"what": "@twice(a)"}) == "SELECT (a + a)"


@pytest.mark.parametrize("text", ["@unknown(a)", "${unknown}", "@twice(a", "@twice('a)"])
def test_a_text_that_cannot_be_rendered_is_refused(text: str) -> None:
    """Unknown names and open parentheses are errors, never passed on to an engine."""
    with pytest.raises(QueryTextError):
        render(text, TOY)


def test_dialects_have_the_same_primitives() -> None:
    """What one engine can say the other can, with the same number of arguments."""
    assert set(DUCKDB.primitives) == set(SPARK.primitives)
    for name, expression in DUCKDB.primitives.items():
        assert set(re.findall(r"\{\d\}", expression)) == set(re.findall(r"\{\d\}", SPARK.primitives[name]))


def test_both_dialects_render_every_query() -> None:
    """Nothing of the template is left over for either engine."""
    through = {"it's": dt.datetime(2026, 3, 5, tzinfo=dt.UTC)}
    for dialect in (DUCKDB, SPARK):
        for query in (
            session_features_query("events", through, dt.date(2026, 3, 4), dialect),
            session_summaries_query("events", dialect),
        ):
            assert "@" not in query
            assert "$" not in query
            assert "--" not in query


def test_a_query_names_no_function_of_one_engine_outside_a_primitive() -> None:
    """Apart from primitives, the features use only functions that mean the same on both engines."""
    query = session_features_query(
        "events", {}, dt.date(2026, 3, 4), Dialect("none", dict.fromkeys(DUCKDB.primitives, "X"))
    )
    called = {name.lower() for name in re.findall(r"([A-Za-z_]\w*)\(", query)}
    assert called <= {"count", "sum", "min", "lag", "coalesce", "round", "cast"}
    for word in ("::", "FILTER", "QUALIFY", "EXCLUDE", "INTERVAL", "//", "GROUP BY ALL"):
        assert word not in query
    bounds = re.findall(r"BETWEEN (.*?) AND (.*)", query)
    assert len(bounds) == 4
    for bound in itertools.chain.from_iterable(bounds):
        assert re.fullmatch(r"(UNBOUNDED|\d+) (PRECEDING|FOLLOWING)|CURRENT ROW", bound)
