"""Event ids that come back: with other content, or on another day.

Belongs here: counting them and naming a few, for warning checks. Does not belong here: which of two rows is kept
(``stages.validated_events``).

An id that comes back is a producer's error that no rule can mend: the platform keeps every event that has a day of its
own, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from ml_data_platform.errors import bounded
from ml_data_platform.events.schemas import VALIDATED_EVENTS
from ml_data_platform.events.sql_text import sql_identifier, sql_literal
from ml_data_platform.validation.outcomes import MAX_EXAMPLE_CHARACTERS, MAX_EXAMPLES

NO_CONTENT = frozenset({"event_id", "source", "schema_version", "source_file", "source_row"})
"""What two deliveries of one event may differ in."""
SHOWN_HASH = 8


@dataclass(frozen=True)
class Repeats:
    """Events whose id comes back.

    Attributes:
        events: Their number.
        examples: At most 5, in the order of the ids, bounded.
    """

    events: int
    examples: tuple[str, ...]


def differing_duplicates(connection: duckdb.DuckDBPyConnection) -> Repeats:
    """Find duplicates whose content is not that of the row that was kept.

    Where the two rows are of different schema versions, a value that one of them lacks is no difference, nor are
    columns that no field takes.

    Args:
        connection: With the view ``judged`` (one row per mapped row) and the table ``losers`` (``file_row_number``
            of each duplicate, ``kept_source_file`` and ``kept_source_row`` of the row that was kept).
    """
    compared = [name for name in VALIDATED_EVENTS.columns.names if name not in NO_CONTENT]
    cases = ", ".join(f"CASE WHEN {_differs(name)} THEN {sql_literal(name)} END" for name in compared)
    connection.execute(
        f"""CREATE TEMP TABLE differing AS
        SELECT l.event_id, l.source_file, l.source_row, losers.kept_source_file, losers.kept_source_row,
            list_filter([{cases}], lambda name: name IS NOT NULL) AS differing_columns
        FROM judged l JOIN losers USING (file_row_number)
        JOIN judged w ON w.source = l.source AND w.source_file = losers.kept_source_file
            AND w.source_row = losers.kept_source_row
        WHERE len(differing_columns) > 0"""
    )
    (count,) = connection.execute("SELECT count(*) FROM differing").fetchall()[0]
    shown = connection.execute(
        f"SELECT * FROM differing ORDER BY event_id, source_file, source_row LIMIT {MAX_EXAMPLES}"
    ).fetchall()
    texts = [
        f"{event_id}: {file[:SHOWN_HASH]} row {row}, kept {kept_file[:SHOWN_HASH]} row {kept_row}, "
        f"differ in {', '.join(columns)}"
        for event_id, file, row, kept_file, kept_row, columns in shown
    ]
    return Repeats(count, tuple(bounded(text, MAX_EXAMPLE_CHARACTERS) for text in texts))


def _differs(name: str) -> str:
    column = sql_identifier(name)
    both = "FALSE" if name == "attributes" else f"(l.{column} IS NOT NULL AND w.{column} IS NOT NULL)"
    return f"l.{column} IS DISTINCT FROM w.{column} AND (l.schema_version = w.schema_version OR {both})"


def ids_on_other_days(connection: duckdb.DuckDBPyConnection, of_day: str, beside: str) -> Repeats:
    """Find events of a day whose id is also that of an event of a day beside it.

    Args:
        connection: Any connection.
        of_day: Relation with ``event_id``, one row per event of the day.
        beside: Relation with ``event_id`` and ``event_timestamp`` of the days beside it.
    """
    connection.execute(
        f"""CREATE TEMP TABLE returned_ids AS
        SELECT b.event_id, min(b.event_timestamp)::DATE::VARCHAR AS other_day
        FROM (SELECT event_id, event_timestamp FROM {beside}) b SEMI JOIN (SELECT event_id FROM {of_day}) d
        USING (event_id) GROUP BY ALL"""
    )
    (count,) = connection.execute("SELECT count(*) FROM returned_ids").fetchall()[0]
    shown = connection.execute(f"SELECT * FROM returned_ids ORDER BY event_id LIMIT {MAX_EXAMPLES}").fetchall()
    texts = [f"{event_id}: also on {other_day}" for event_id, other_day in shown]
    return Repeats(count, tuple(bounded(text, MAX_EXAMPLE_CHARACTERS) for text in texts))
