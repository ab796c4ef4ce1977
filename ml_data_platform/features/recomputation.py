"""Features again, on a log that ends at the event: what is published must come out the same.

Belongs here: the query that compares published features with those of truncated logs. Does not belong here: running
it, and deciding what a difference means (``training.leakage``).

It is the empirical side of the catalog's promise. Every sampled event becomes the last one of a log of its own, which
holds nothing but the earlier events of its session: a feature that looks at anything later, or at other sessions, comes
out differently. What the catalog has as known before the event is recomputed without knowing what the event was. Of the
log's columns, those that a producer may fill in when a session is over are empty: its duration, and declared labels.

Leaks often show in few rows only. So the sample is not left to chance alone: purchases, events of sessions that came over
midnight, and events that share their instant with another of their session have samples of their own.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from ml_data_platform.events.schemas import VALIDATED_EVENTS
from ml_data_platform.events.sql_text import sql_identifier, sql_literal
from ml_data_platform.features.catalog import CATALOG, feature_columns
from ml_data_platform.features.dialects import DUCKDB, Dialect, render
from ml_data_platform.features.queries import micros, session_features_query

SAMPLE_SALT = "recomputed-1"
DEFAULT_SAMPLE = 64
_WITH, _WITHOUT = "|", "^"
_KNOWN_LATER = {"label": "TINYINT", "session_duration_seconds": "DOUBLE"}
_OWN = {"event_type": "'other'", "purchase_amount_usd": "NULL", "attributes": "NULL"}
_BEFORE = frozenset(column.name for column in CATALOG["session_features"] if column.availability == "before_event")


def recomputation_query(
    features: str,
    events: str,
    day: dt.date,
    columns: Sequence[str],
    *,
    sample: int = DEFAULT_SAMPLE,
    dialect: Dialect = DUCKDB,
) -> str:
    """Return the query that recomputes the features of some events of a day.

    Args:
        features: A relation with the key and feature columns, as published.
        events: A relation with the columns of ``validated_events`` over the day and the day before; later events may
            be there and are not used.
        day: The UTC day of the features.
        columns: The features to compare.
        sample: How many events, and half as many of each rare kind; those with the smallest hashes, so the same ones
            each time.
        dialect: The engine.

    Returns:
        A query for one row per sampled event: ``event_id``, and for each feature a BOOLEAN of its name, whether the
        recomputed value differs; all are true where nothing could be recomputed.
    """
    sampled = _sampled(features, events, day, columns, sample)
    logs = " UNION ALL ".join(_truncated(events, mark) for mark in (_WITH, _WITHOUT))
    again = session_features_query("logs", {}, day, dialect)
    differences = ", ".join(
        f"{again_of}.event_id IS NULL OR {again_of}.{name} IS DISTINCT FROM sampled.{name} AS {name}"
        for name, again_of in (
            (sql_identifier(column), "without" if column in _BEFORE else "again") for column in columns
        )
    )
    return (
        f"WITH sampled AS ({render(sampled, dialect)}), logs AS ({render(logs, dialect)}), recomputed AS ({again}) "
        f"SELECT sampled.event_id AS event_id, {differences} FROM sampled "
        f"LEFT JOIN recomputed AS again ON again.event_id = sampled.event_id || '{_WITH}' || sampled.event_id "
        f"LEFT JOIN recomputed AS without ON without.event_id = sampled.event_id || '{_WITHOUT}' || sampled.event_id"
    )


def _sampled(features: str, events: str, day: dt.date, columns: Sequence[str], sample: int) -> str:
    """Return the query for the sampled rows of the features."""
    start, end = (micros(dt.datetime.combine(each, dt.time(), dt.UTC)) for each in (day, day + dt.timedelta(days=1)))
    of_day = f"@micros(event_timestamp) >= {start} AND @micros(event_timestamp) < {end}"
    place = "session_uuid || ':' || CAST(@micros(event_timestamp) AS VARCHAR)"
    came_over = f"SELECT session_uuid FROM {events} WHERE @micros(event_timestamp) < {start}"
    ties = f"SELECT {place} FROM {events} WHERE {of_day} GROUP BY session_uuid, event_timestamp HAVING count(*) > 1"
    kinds = (
        (features, "TRUE", sample),
        (events, f"{of_day} AND event_type = 'purchase'", sample // 2),
        (features, f"session_uuid IN ({came_over})", sample // 2),
        (events, f"{of_day} AND {place} IN ({ties})", sample // 2),
    )
    chance = f"@hash32({sql_literal(f'{SAMPLE_SALT}:')} || event_id) ASC, event_id ASC"
    ids = " UNION ".join(
        f"SELECT event_id FROM (SELECT event_id FROM {rows} WHERE {condition} ORDER BY {chance} LIMIT {limit}) AS kind"
        for rows, condition, limit in kinds
    )
    names = ", ".join(sql_identifier(name) for name in ("event_id", "session_uuid", "event_timestamp", *columns))
    return f"SELECT {names} FROM {features} WHERE event_id IN ({ids})"


def _truncated(events: str, mark: str) -> str:
    """Return a query for the log of each sampled event, as a session of its own named by its id and a mark.

    The sampled id comes first in the ids of that session's events, so that their order is the one of the log.
    """
    given = {
        "event_id": f"sampled.event_id || {sql_literal(mark)} || earlier.event_id",
        "session_uuid": f"sampled.event_id || {sql_literal(mark)}",
        **{name: f"CAST(NULL AS {of_type})" for name, of_type in _KNOWN_LATER.items()},
    }
    if mark == _WITHOUT:
        is_itself = "earlier.event_id = event.event_id AND earlier.event_timestamp = event.event_timestamp"
        given |= {
            column: f"CASE WHEN {is_itself} THEN {other} ELSE earlier.{sql_identifier(column)} END"
            for column, other in _OWN.items()
        }
    columns = ", ".join(
        f"{given[field.name] if field.name in given else f'earlier.{sql_identifier(field.name)}'} "
        f"AS {sql_identifier(field.name)}"
        for field in VALIDATED_EVENTS.columns
    )
    return f"""
        SELECT {columns}
        FROM sampled
        -- A producer may have given one id to events of two days.
        INNER JOIN {events} AS event ON event.event_id = sampled.event_id
            AND event.session_uuid = sampled.session_uuid
            AND @micros(event.event_timestamp) = @micros(sampled.event_timestamp)
        INNER JOIN {events} AS earlier ON earlier.session_uuid = event.session_uuid
        WHERE @micros(earlier.event_timestamp) < @micros(event.event_timestamp)
            OR (@micros(earlier.event_timestamp) = @micros(event.event_timestamp) AND (
                (earlier.sequence IS NOT NULL AND event.sequence IS NULL)
                OR earlier.sequence < event.sequence
                OR (earlier.sequence IS NOT DISTINCT FROM event.sequence AND earlier.event_id <= event.event_id)
            ))"""


def differing_rows_query(features: str, events: str, day: dt.date, *, dialect: Dialect = DUCKDB) -> str:
    """Return the query for ``offences``: how many sampled events of a day have a feature that differs when recomputed."""
    columns = feature_columns()
    differs = " OR ".join(sql_identifier(name) for name in columns)
    query = recomputation_query(features, events, day, columns, dialect=dialect)
    return f"SELECT count(CASE WHEN {differs} THEN 1 END) AS offences FROM ({query}) AS compared"
