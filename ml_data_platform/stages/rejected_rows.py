"""How much of a source a day loses to rejection, in all and of its rarest event types.

Belongs here: the share, and lines that name source, event type and rule. Does not belong here: which rows are rejected
(``row_judgement``, ``contract_rules``), and how much refuses a day (``validation.table_rules``).

A share of all rows hides what is rare: a day may lose every purchase, and with them its labels, to one row in fifty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from ml_data_platform.errors import bounded
from ml_data_platform.validation.outcomes import MAX_EXAMPLE_CHARACTERS, MAX_EXAMPLES, ROWS_TO_EXCEED_A_SHARE

MAX_REASONS, MAX_TYPE = 3, 60


@dataclass(frozen=True)
class RejectedRows:
    """What is rejected of the sources of a day.

    Attributes:
        largest: The largest share of a source, or 1 where all rows of an event type are rejected; none without rows.
        lines: One for each such event type and each source that lost rows, the largest share first.
    """

    largest: float | None
    lines: tuple[str, ...]


def rejected_rows(connection: duckdb.DuckDBPyConnection, tolerant: Sequence[str]) -> RejectedRows:
    """Count rejected rows by source, and event types that are rejected whole.

    Args:
        connection: With the view ``settled``.
        tolerant: Rules of contracts that tolerate more; rows that break no other are not counted.
    """
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE rejections_by_type AS
        SELECT source, left(event_type, {MAX_TYPE}) AS event_type, count(*) AS rows,
            count(*) FILTER (NOT list_has_all($tolerant, coalesce(rules, []))) AS rejected
        FROM settled GROUP BY 1, 2""",
        {"tolerant": list(tolerant)},
    )
    found = connection.execute(
        f"""SELECT source, event_type, rows, rejected, 1.0 AS share FROM rejections_by_type
        WHERE event_type IS NOT NULL AND rows = rejected AND rows >= {ROWS_TO_EXCEED_A_SHARE}
        UNION ALL
        SELECT source, NULL, sum(rows)::BIGINT, sum(rejected)::BIGINT, sum(rejected) / sum(rows)
        FROM rejections_by_type GROUP BY source
        ORDER BY share DESC, rows DESC, source, event_type LIMIT {MAX_EXAMPLES}"""
    ).fetchall()
    lines = tuple(
        _line(connection, source, event_type, rows, rejected, tolerant=tolerant)
        for source, event_type, rows, rejected, _ in found
        if rejected
    )
    return RejectedRows(float(found[0][-1]) if found else None, lines)


def _line(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    event_type: str | None,
    rows: int,
    rejected: int,
    *,
    tolerant: Sequence[str],
) -> str:
    """Return e.g. ``shop: all 6 rows of event type purchase are rejected: purchase_amounts_are_numbers in 6``."""
    reasons = connection.execute(
        f"""SELECT left(event_type, {MAX_TYPE}), rule, count(*) AS rows
        FROM (SELECT event_type, unnest(rules) AS rule FROM settled WHERE source = $source
            AND ($type IS NULL OR left(event_type, {MAX_TYPE}) = $type)
            AND NOT list_has_all($tolerant, coalesce(rules, [])))
        GROUP BY 1, 2 ORDER BY rows DESC, 1, 2 LIMIT {MAX_REASONS}""",
        {"source": source, "type": event_type, "tolerant": list(tolerant)},
    ).fetchall()
    if event_type is not None:
        why = ", ".join(f"{rule} in {count:,}" for _, rule, count in reasons)
        line = f"{source}: all {rows:,} rows of event type {event_type} are rejected: {why}"
    else:
        why = ", ".join(f"{kind or 'without a type'} by {rule} in {count:,}" for kind, rule, count in reasons)
        line = f"{source}: {rejected:,} of {rows:,} rows are rejected: {why}"
    return bounded(line, MAX_EXAMPLE_CHARACTERS)
