"""Ids that may not mean what they say: placeholders, many users in one, sessions of several users.

Belongs here: counting them in a day's rows and naming a few, for warning checks. Does not belong here: which ids are absent
(``events.id_texts``), and which rows are valid (``stages.validated_events``).

Examples name the platform's own ids, and placeholders by words that are the platform's too: no producer's id is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from ml_data_platform.errors import bounded
from ml_data_platform.events.ids import ANONYMOUS_PREFIX
from ml_data_platform.events.sql_text import sql_identifier, sql_literal
from ml_data_platform.storage import duck
from ml_data_platform.validation.outcomes import MAX_EXAMPLE_CHARACTERS, MAX_EXAMPLES

ROWS_TO_BE_FREQUENT = 50
IDS_TO_COMPARE = 10
FREQUENT_SHARE, TIMES_OF_A_SHARE, TIMES_OF_ANY_SHARE = 0.05, 5, 10
RANK_COMPARED = 4
"""An id is compared with the fourth most frequent of its source, so that up to three placeholders hide no other."""
TIMES_OF_A_ZERO = 5
"""An id of zeros is told where it has so many times the rows of others on average: in a log that counts from 0 it is somebody."""


@dataclass
class IdFindings:
    """What was found about the ids of a day.

    Attributes:
        metrics: Metric of a table rule to its value.
        examples: Metric to a few findings, bounded.
    """

    metrics: dict[str, int | float | None] = field(default_factory=dict)
    examples: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def note(self, metric: str, value: float | None, lines: list[str]) -> None:
        """Keep one metric with the first lines about it."""
        self.metrics[metric] = value
        self.examples[metric] = tuple(bounded(line, MAX_EXAMPLE_CHARACTERS) for line in lines[:MAX_EXAMPLES])


def find_in_ids(connection: duckdb.DuckDBPyConnection, published: Path) -> IdFindings:
    """Look at the ids of one day.

    Args:
        connection: With the view ``judged`` (one row per mapped row, ``rules`` NULL for valid ones).
        published: The rows to publish, with the columns of VALIDATED_EVENTS.
    """
    connection.execute(
        f"""CREATE TEMP TABLE rows_of_ids AS
        SELECT source, user_id, session_uuid, count(*) AS rows FROM {duck.parquet(connection, [published])}
        GROUP BY source, user_id, session_uuid"""
    )
    found = IdFindings()
    _placeholders(connection, found)
    _frequent_ids(connection, found)
    _shared_sessions(connection, found)
    _mixed_event_ids(connection, found)
    return found


def _placeholders(connection: duckdb.DuckDBPyConnection, found: IdFindings) -> None:
    rows = connection.execute(
        f"""WITH told AS (
            SELECT source, placeholder_id, count(*) AS rows FROM judged WHERE placeholder_id IS NOT NULL GROUP BY ALL),
        usual AS (
            SELECT source, 'user_id' AS name, sum(rows) / count(DISTINCT user_id) AS usual FROM rows_of_ids GROUP BY source
            UNION ALL SELECT source, 'session_uuid', sum(rows) / count(DISTINCT session_uuid) FROM rows_of_ids GROUP BY source)
        SELECT told.source, placeholder_id, rows FROM told
        LEFT JOIN usual ON told.source = usual.source AND name = split_part(placeholder_id, ': ', 1)
        WHERE trim(split_part(placeholder_id, ': ', 2), '0-') <> ''
            OR (NOT starts_with(placeholder_id, 'event_id') AND rows >= {TIMES_OF_A_ZERO} * coalesce(usual, 0))
        ORDER BY rows DESC, told.source, placeholder_id"""
    ).fetchall()
    lines = [f"{source}: {count:,} rows with {told}" for source, told, count in rows]
    found.note("placeholder_ids", sum(count for _, _, count in rows), lines)


def _frequent_ids(connection: duckdb.DuckDBPyConnection, found: IdFindings) -> None:
    lines: list[tuple[int, str]] = []
    seen: set[tuple[str, int]] = set()
    for kind, column in (("user", "user_id"), ("session", "session_uuid")):
        rows = connection.execute(
            f"""WITH ids AS (
                SELECT source, {sql_identifier(column)} AS id, sum(rows) AS rows FROM rows_of_ids GROUP BY ALL),
            ranked AS (SELECT *, sum(rows) OVER of_source AS of_source, count(*) OVER of_source AS ids,
                nth_value(rows, {RANK_COMPARED}) OVER (
                    of_source ORDER BY rows DESC ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS compared
                FROM ids WINDOW of_source AS (PARTITION BY source))
            SELECT source, id, CAST(rows AS BIGINT), CAST(of_source AS BIGINT), CAST(compared AS BIGINT) FROM ranked
            WHERE rows >= {ROWS_TO_BE_FREQUENT} AND ids >= {IDS_TO_COMPARE}
                AND (rows > {TIMES_OF_ANY_SHARE} * compared
                    OR (rows > {TIMES_OF_A_SHARE} * compared AND rows > {FREQUENT_SHARE} * of_source))
            ORDER BY rows DESC, source, id"""
        ).fetchall()
        for source, name, count, of_source, compared in rows:
            # Where users and sessions are the same thing, once is enough.
            if (source, count) not in seen:
                text = f"{source}: {kind} {name} has {count:,} of {of_source:,} rows, the {RANK_COMPARED}th of all {compared:,}"
                lines.append((count, text))
        seen |= {(source, count) for source, _, count, _, _ in rows}
    lines.sort(key=lambda line: (-line[0], line[1]))
    found.note("unusually_frequent_ids", len(lines), [text for _, text in lines])


def _shared_sessions(connection: duckdb.DuckDBPyConnection, found: IdFindings) -> None:
    rows = connection.execute(
        f"""WITH sessions AS (
            SELECT source, session_uuid, sum(rows) AS rows,
                count(DISTINCT user_id) FILTER (NOT starts_with(user_id, {sql_literal(ANONYMOUS_PREFIX)})) AS users
            FROM rows_of_ids GROUP BY ALL)
        SELECT source, sum(rows) FILTER (users > 1) / sum(rows) AS share, count(*) FILTER (users > 1), count(*),
            max_by(session_uuid, {{'users': users, 'id': session_uuid}}), max(users)
        FROM sessions GROUP BY source ORDER BY share DESC NULLS LAST, source"""
    ).fetchall()
    lines = [
        f"{source}: {shared:,} of {sessions:,} sessions, e.g. {example} with {users:,} users"
        for source, share, shared, sessions, example, users in rows
        if share
    ]
    largest = max((float(share or 0) for _, share, *_ in rows), default=None)
    found.note("share_of_rows_in_shared_sessions", largest, lines)


def _mixed_event_ids(connection: duckdb.DuckDBPyConnection, found: IdFindings) -> None:
    rows: Mapping[str, tuple[int, int]] = {
        source: (without, count)
        for source, without, count in connection.execute(
            """SELECT source, count(*) FILTER (NOT has_own_event_id) AS without, count(*) FROM judged
            WHERE rules IS NULL GROUP BY source HAVING without > 0 AND without < count(*) ORDER BY source"""
        ).fetchall()
    }
    lines = [f"{source}: {without:,} of {count:,} rows" for source, (without, count) in rows.items()]
    found.note("events_without_ids_beside_others", sum(without for without, _ in rows.values()), lines)
