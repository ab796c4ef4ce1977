"""Event logs for tests: as Arrow tables, through DuckDB, and as Hypothesis strategies."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import strategies as st

from ml_data_platform.events.schemas import EVENT_TYPES, VALIDATED_EVENTS
from ml_data_platform.features.queries import session_features_query, session_summaries_query
from ml_data_platform_tests.session_oracle import Event

THE_DAY = dt.date(2026, 3, 4)
MIDNIGHT = dt.datetime(2026, 3, 4, tzinfo=dt.UTC)
ALL_SEEN = {"shop": MIDNIGHT + dt.timedelta(days=2), "store": MIDNIGHT + dt.timedelta(days=2)}


def instant(hours: float = 0, minutes: float = 0, microseconds: int = 0) -> dt.datetime:
    """Return a time after the day's first midnight."""
    return MIDNIGHT + dt.timedelta(hours=hours, minutes=minutes, microseconds=microseconds)


def as_table(events: Iterable[Event]) -> pa.Table:
    """Return the events as a table of validated events, in the given order."""
    return pa.Table.from_pylist([event.row() for event in events], schema=VALIDATED_EVENTS.columns)


def run(query: str, events: Iterable[Event]) -> list[dict[str, Any]]:
    """Run a query over the relation ``log``, with a session time zone that is not UTC on purpose."""
    connection = _connection()
    connection.register("log", as_table(events))
    rows: list[dict[str, Any]] = connection.sql(query).to_arrow_table().to_pylist()
    return rows


@functools.cache
def _connection() -> duckdb.DuckDBPyConnection:
    """One connection for all examples: opening one costs more than a small query."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'Asia/Kathmandu'")
    return connection


def features_of(
    events: Sequence[Event], mature_through: Mapping[str, dt.datetime] = ALL_SEEN, day: dt.date = THE_DAY
) -> dict[str, dict[str, Any]]:
    """Return event id to feature row, by the platform's query; the times are compared as instants."""
    rows = run(session_features_query("log", mature_through, day), events)
    assert len({row["event_id"] for row in rows}) == len(rows)
    return {row["event_id"]: row for row in rows}


def summaries_of(events: Sequence[Event]) -> dict[str, dict[str, Any]]:
    """Return session to summary row, by the platform's query."""
    rows = run(session_summaries_query("log"), events)
    assert len({row["session_uuid"] for row in rows}) == len(rows)
    return {row["session_uuid"]: row for row in rows}


@st.composite
def event_times(draw: st.DrawFn) -> dt.datetime:
    """Times of the three days around the day that meet at midnights, on ties, and exactly 24 hours apart."""
    hour = draw(st.sampled_from([-24, -23, -12, -1, 0, 1, 11, 12, 23, 24, 25, 36, 47]))
    return instant(hours=hour, microseconds=draw(st.sampled_from([0, 0, 0, 1, 500_000, 3_599_999_999])))


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """Logs of a few sessions over two sources, crowded around the borders, in any order of rows."""
    count = draw(st.integers(0, 24))
    ids = draw(st.permutations([f"event-{number:02d}" for number in range(count)]))
    events = []
    for event_id in ids:
        number = draw(st.integers(0, 2))
        events.append(
            Event(
                event_id,
                draw(event_times()),
                draw(st.sampled_from([*EVENT_TYPES, "purchase"])),
                session=f"session-{number}",
                user=f"usr_{number + draw(st.integers(0, 1)):016x}",
                source="shop" if number < 2 else "store",
                sequence=draw(st.sampled_from([None, None, -1, 0, 1, 2])),
                cents=draw(st.sampled_from([None, 0, 1, 1999, 5_000_000])),
                label=draw(st.sampled_from([None, None, None, 0, 1])),
            )
        )
    return events
