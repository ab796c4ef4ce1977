"""The queries that turn validated events into features, filled in for one day and one engine.

Belongs here: the choice of slots and constants. Does not belong here: the definition of a feature, which is
``session_features.sql`` and ``session_summaries.sql`` beside this module, and running a query.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from importlib import resources

from ml_data_platform.events.sql_text import sql_literal
from ml_data_platform.features.dialects import DUCKDB, Dialect, render
from ml_data_platform.settings import LABEL_HORIZON

DEFINITION_VERSION = "2"
"""Version of ``session_features.sql``: another one makes all days dirty, and only features of this one are recomputed."""

SESSION_WINDOW = dt.timedelta(hours=24)
"""How far back the features of a session look: (t - 24 h, t]."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def session_features_query(
    events: str, mature_through: Mapping[str, dt.datetime], day: dt.date, dialect: Dialect = DUCKDB
) -> str:
    """Return the query for the features of one day.

    Args:
        events: A relation with the columns of ``validated_events`` (a name, or a subquery in parentheses), over
            the day before, the day and the day after.
        mature_through: Source to the instant (aware) up to which its events are all seen. A source that is not
            named has no mature derived labels.
        day: The UTC day whose rows come out.
        dialect: The engine.

    Returns:
        A query with the columns of ``session_features``; one row per event of the day, key ``event_id``, in no order.
    """
    start = dt.datetime.combine(day, dt.time(), dt.UTC)
    slots = {
        "events": events,
        "mature_through": _mature_through_relation(mature_through),
        "day_start": str(micros(start)),
        "day_end": str(micros(start + dt.timedelta(days=1))),
        "window": str(SESSION_WINDOW // _MICROSECOND),
        "window_inside": str(SESSION_WINDOW // _MICROSECOND - 1),
        "horizon": str(LABEL_HORIZON // _MICROSECOND),
    }
    return render(_text("session_features.sql"), dialect, slots)


def session_summaries_query(events: str, dialect: Dialect = DUCKDB) -> str:
    """Return the query for the session summaries of one day.

    Args:
        events: A relation with the columns of ``validated_events`` that holds the events of one day.
        dialect: The engine.

    Returns:
        A query with the columns of ``session_summaries``; one row per session, key ``session_uuid``, in no order.
    """
    return render(_text("session_summaries.sql"), dialect, {"events": events})


def micros(instant: dt.datetime) -> int:
    """Return an aware instant as microseconds since 1970-01-01T00:00Z, exactly."""
    return (instant - _EPOCH) // _MICROSECOND


def _mature_through_relation(mature_through: Mapping[str, dt.datetime]) -> str:
    rows = [
        f"SELECT {sql_literal(source)} AS source, @instant({micros(instant)}) AS mature_through"
        for source, instant in sorted(mature_through.items())
    ]
    nothing = "SELECT '' AS source, @instant(0) AS mature_through WHERE FALSE"
    return "(" + " UNION ALL ".join(rows or [nothing]) + ")"


def _text(name: str) -> str:
    """Return a query's text without its comments, whose apostrophes and slot names are not SQL."""
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return re.sub(r"--[^\n]*", "", text)
