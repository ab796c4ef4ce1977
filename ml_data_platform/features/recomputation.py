"""Features again, on a log that ends at the event: what is published must come out the same.

Belongs here: the query that compares published features with those of truncated logs. Does not belong here: running
it, and deciding what a difference means (``training.leakage``).

It is the empirical side of the catalog's promise: a feature that counts the event's own purchase, or anything later,
comes out differently when the log stops at the event.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from ml_data_platform.events.sql_text import sql_identifier, sql_literal
from ml_data_platform.features.catalog import feature_columns
from ml_data_platform.features.dialects import DUCKDB, Dialect, render
from ml_data_platform.features.queries import session_features_query

SAMPLE_SALT = "recomputed-1"
DEFAULT_SAMPLE = 64


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
        sample: How many events; those with the smallest hashes, so the same ones each time.
        dialect: The engine.

    Returns:
        A query for one row per sampled event: ``event_id``, and for each feature a BOOLEAN of its name, whether the
        recomputed value differs; all are true where nothing could be recomputed.
    """
    salt = sql_literal(f"{SAMPLE_SALT}:")
    names = ", ".join(sql_identifier(name) for name in columns)
    sampled = (
        f"(SELECT event_id, session_uuid, event_timestamp, {names} FROM {features} "
        f"ORDER BY @hash32({salt} || event_id) ASC, event_id ASC LIMIT {sample})"
    )
    # Every sampled event becomes the last of a session of its own. Its id comes first in the ids of that session's
    # events, so that their order is the one of the log.
    truncated = f"""(
        SELECT
            sampled.event_id || '|' || earlier.event_id AS event_id, earlier.user_id, sampled.event_id AS session_uuid,
            earlier.source, earlier.event_type, earlier.event_timestamp, earlier.sequence,
            earlier.purchase_amount_usd, earlier.label
        FROM {sampled} AS sampled
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
            ))
    )"""
    again = session_features_query(render(truncated, dialect), {}, day, dialect)
    differences = ", ".join(
        f"again.event_id IS NULL OR again.{sql_identifier(name)} IS DISTINCT FROM sampled.{sql_identifier(name)} "
        f"AS {sql_identifier(name)}"
        for name in columns
    )
    return (
        f"SELECT sampled.event_id AS event_id, {differences} FROM {render(sampled, dialect)} AS sampled "
        f"LEFT JOIN ({again}) AS again ON again.event_id = sampled.event_id || '|' || sampled.event_id"
    )


def differing_rows_query(features: str, events: str, day: dt.date, *, dialect: Dialect = DUCKDB) -> str:
    """Return the query for ``offences``: how many sampled events of a day have a feature that differs when recomputed."""
    columns = feature_columns()
    differs = " OR ".join(sql_identifier(name) for name in columns)
    query = recomputation_query(features, events, day, columns, dialect=dialect)
    return f"SELECT count(CASE WHEN {differs} THEN 1 END) AS offences FROM ({query}) AS compared"
