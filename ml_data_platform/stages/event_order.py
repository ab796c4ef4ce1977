"""The order of events of one instant: where nobody gives them one, and where nobody has stated it.

Belongs here: the position in the file that stands in for a producer's ``sequence``, and counting the rows of one session
and instant whose order is a guess, for a warning check. Does not belong here: the total order itself (the sort order of
``validated_events``, ``events.schemas``), and which of two copies of an event is kept (``stages.validated_events``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from ml_data_platform.errors import bounded
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.sql_text import sql_list, sql_literal
from ml_data_platform.validation.outcomes import MAX_EXAMPLE_CHARACTERS, MAX_EXAMPLES


def kept_events(contracts: Mapping[str, SourceContract]) -> str:
    """Return the query for the rows that are published, each with its place in the total order.

    Args:
        contracts: Contract per source.

    Returns:
        A query over ``judged``, ``losers`` and ``repeated_ids`` for the columns of ``judged``, with ``sequence`` as it is
        published: the producer's, else the number of the row in its file, of copies of an event the smallest; null
        where the contract says that the log has no order. So it depends on no order of landing.
    """
    position = "coalesce(repeated_ids.first_copy.source_row, judged.source_row)"
    return f"""
        SELECT judged.* REPLACE (
            coalesce(judged.sequence, CASE WHEN {_is_of(contracts, "none")} THEN NULL ELSE {position} END) AS sequence
        )
        FROM judged LEFT JOIN repeated_ids USING (event_id) ANTI JOIN losers USING (file_row_number)
        WHERE rules IS NULL"""


@dataclass(frozen=True)
class UnstatedOrder:
    """Rows that share session and instant with others, and of which nobody has stated which came first.

    Attributes:
        rows: Source to their number.
        examples: At most 5 instants, in the order of source, session and time, bounded.
    """

    rows: Mapping[str, int]
    examples: tuple[str, ...]


def unstated_order(connection: duckdb.DuckDBPyConnection, contracts: Mapping[str, SourceContract]) -> UnstatedOrder:
    """Count the rows that are kept and whose place within their session's instant is a guess.

    An order is stated by the producer's sequences, where they are all there and differ; or by the positions in one file,
    where its rows of the day are sorted by time or the contract says that they are the order. Of an event with several copies, the
    file is the one whose position counts.

    Args:
        connection: With what ``kept_events`` reads; rows of several days are fine.
        contracts: Contract per source.
    """
    connection.execute(
        f"""
        CREATE TEMP TABLE tied AS
            -- Copies share their instant too: of an event that is there twice one row is left below.
            WITH instants AS (
                SELECT session_uuid, event_timestamp FROM judged WHERE rules IS NULL GROUP BY ALL HAVING count(*) > 1
            )
            SELECT judged.source, session_uuid, event_timestamp, CAST(event_timestamp AS DATE) AS of_day,
                count(*) AS of_rows, count(judged.sequence) AS with_own, count(DISTINCT judged.sequence) AS own_places,
                min(coalesce(first_copy.source_file, judged.source_file)) AS source_file,
                count(DISTINCT coalesce(first_copy.source_file, judged.source_file)) AS of_files
            FROM judged LEFT JOIN repeated_ids USING (event_id)
                SEMI JOIN instants USING (session_uuid, event_timestamp) ANTI JOIN losers USING (file_row_number)
            WHERE rules IS NULL GROUP BY ALL HAVING count(*) > 1;
        CREATE TEMP TABLE unsorted_files AS
            WITH places AS (
                SELECT source, source_file, CAST(event_time AS DATE) AS of_day, event_time < lag(event_time) OVER (
                    PARTITION BY source, source_file, CAST(event_time AS DATE) ORDER BY source_row
                ) AS goes_back
                FROM judged SEMI JOIN (
                    SELECT source, source_file FROM tied WHERE with_own = 0 AND of_files = 1
                ) USING (source, source_file)
            )
            SELECT DISTINCT source, source_file, of_day, TRUE AS is_unsorted FROM places WHERE goes_back;
        CREATE TEMP TABLE unstated AS
            SELECT tied.*, CASE
                WHEN {_is_of(contracts, "none", "tied")} THEN 'sequence: none'
                WHEN with_own = of_rows THEN CASE WHEN own_places < of_rows THEN 'equal sequences' END
                WHEN with_own > 0 THEN 'some lack a sequence'
                WHEN of_files > 1 THEN 'of several files'
                WHEN {_is_of(contracts, "file", "tied")} THEN NULL
                WHEN is_unsorted THEN 'file not sorted by time'
            END AS reason
            FROM tied LEFT JOIN unsorted_files USING (source, source_file, of_day) WHERE reason IS NOT NULL;
        """
    )
    counts = connection.execute("SELECT source, sum(of_rows)::BIGINT FROM unstated GROUP BY 1 ORDER BY 1").fetchall()
    shown = connection.execute(
        f"""SELECT source, session_uuid, strftime(event_timestamp AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ'), of_rows, reason
        FROM unstated ORDER BY 1, 2, 3 LIMIT {MAX_EXAMPLES}"""
    ).fetchall()
    texts = [f"{source} session {uuid} {at}: {rows:,} rows, {why}" for source, uuid, at, rows, why in shown]
    return UnstatedOrder(dict(counts), tuple(bounded(text, MAX_EXAMPLE_CHARACTERS) for text in texts))


def _is_of(contracts: Mapping[str, SourceContract], said: str, relation: str = "judged") -> str:
    """Return the condition that the contract of a row's source says this of the order."""
    named = sql_list(sql_literal(source) for source, contract in sorted(contracts.items()) if contract.sequence == said)
    return f"{relation}.source IN (SELECT unnest({named}))"
