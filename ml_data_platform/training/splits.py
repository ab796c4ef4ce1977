"""How labelled rows are split: which file a row goes to, and what proves that no row is lost or doubled.

Belongs here: folds and label files as portable SQL over the columns of ``session_features``, and the
accounting of a split. Does not belong here: running SQL, writing files, and whether the label rates of the
folds are fair (``label_rates``). The texts use the primitives of ``features.dialects``; whoever runs them
renders them first.
"""

from __future__ import annotations

from collections.abc import Sequence

from ml_data_platform.errors import SettingsError
from ml_data_platform.events.sql_text import sql_literal

LABEL_FILES = {"label=negative/data.parquet": 0, "label=positive/data.parquet": 1}
"""File of a label partition to the label of its rows."""


def is_mature() -> str:
    """Return the condition on a feature row that lets it into training data."""
    return "label_is_mature AND label IS NOT NULL"


def fold_expression(fold_count: int, fold_salt: str, user_id: str = "user_id") -> str:
    """Return the fold of a user as an SQL expression, BIGINT from 0 to ``fold_count - 1``.

    The first 8 hex digits of ``md5(fold_salt || ':' || user_id)`` are a number below 2**32; times the fold count
    and divided by 2**32, that is the fold. It depends on nothing but the user, the salt and the count, so a user
    has one fold on every day, and no row of theirs is on both sides of a split.

    Args:
        fold_count: Number of folds, 2 to 100.
        fold_salt: Another salt gives other folds.
        user_id: Expression of the user's id; never null.

    Raises:
        SettingsError: The number of folds is out of bounds.

    Source: multiply-and-shift in place of a remainder, D. Lemire, "Fast random integer generation in an interval",
    ACM TOMACS 29(1), 2019. Its bias is below ``fold_count / 2**32``.
    """
    if not 2 <= fold_count <= 100:
        raise SettingsError("the number of folds is out of bounds", expected="2 to 100", got=fold_count)
    return f"@shift_right(@hash32({sql_literal(fold_salt + ':')} || {user_id}) * {fold_count}, 32)"


def file_query(features: str, columns: Sequence[str], condition: str) -> str:
    """Return the query for one file of a training partition.

    Args:
        features: A relation with the columns of ``session_features``.
        columns: The file's columns.
        condition: Which of the mature rows go into the file.

    Returns:
        A query with the columns, one row per mature event that meets the condition, in no order.
    """
    names = ", ".join(f'"{name}"' for name in columns)
    return f"SELECT {names} FROM {features} WHERE ({is_mature()}) AND ({condition})"


def label_condition(label: int) -> str:
    """Return the condition of the rows that carry the label, 0 or 1."""
    return f"label = {label:d}"


def fold_condition(fold: int, fold_count: int, fold_salt: str) -> str:
    """Return the condition of the rows whose user is in the fold."""
    return f"{fold_expression(fold_count, fold_salt)} = {fold:d}"


def maturity_query(features: str) -> str:
    """Return a query for one row of BIGINT counts: ``rows``, ``mature``, ``immature``, ``positives``.

    ``rows = mature + immature``; ``positives`` are mature rows with label 1.
    """
    return (
        'SELECT count(*) AS "rows", '
        f"count(CASE WHEN {is_mature()} THEN 1 END) AS mature, "
        f"count(*) - count(CASE WHEN {is_mature()} THEN 1 END) AS immature, "
        f"count(CASE WHEN {is_mature()} AND label = 1 THEN 1 END) AS positives FROM {features}"
    )


def accounting_query(features: str, files: str, expected: str) -> str:
    """Return a query that compares what was written with what was due, event by event.

    Args:
        features: A relation with the columns of ``session_features``.
        files: A relation (``place``, ``event_id``) over the rows as they were written; ``place`` BIGINT is the file's
            label or fold.
        expected: Expression over ``features``: the place where a mature row belongs.

    Returns:
        A query for one row of BIGINT counts: ``rows_missing_or_repeated``, events that are not exactly once among
        the mature rows and exactly once in the files; ``rows_in_the_wrong_file``, events stored elsewhere than
        expected.
    """
    return f"""
WITH entries AS (
    SELECT event_id, 1 AS due, 0 AS stored, CAST({expected} AS BIGINT) AS expected, CAST(NULL AS BIGINT) AS place
    FROM {features} WHERE {is_mature()}
    UNION ALL
    SELECT event_id, 0 AS due, 1 AS stored, CAST(NULL AS BIGINT) AS expected, CAST(place AS BIGINT) AS place
    FROM {files}
),
events AS (
    SELECT
        sum(due) AS due, sum(stored) AS stored, max(expected) AS expected,
        min(place) AS lowest_place, max(place) AS highest_place
    FROM entries GROUP BY event_id
)
SELECT
    count(CASE WHEN due <> 1 OR stored <> 1 THEN 1 END) AS rows_missing_or_repeated,
    count(CASE WHEN lowest_place <> expected OR highest_place <> expected THEN 1 END) AS rows_in_the_wrong_file
FROM events"""


def shared_users_query(files: str) -> str:
    """Return a query for ``users_in_several_folds`` and ``sessions_in_several_folds``: those with rows in several folds.

    Args:
        files: A relation (``place``, ``user_id``, ``session_uuid``) over the rows as they were written.
    """
    users, sessions = (
        f"(SELECT count(*) FROM (SELECT {name} FROM {files} GROUP BY {name} HAVING min(place) <> max(place)) AS shared)"
        for name in ("user_id", "session_uuid")
    )
    return f"SELECT {users} AS users_in_several_folds, {sessions} AS sessions_in_several_folds"


def fold_sums_query(files: str) -> str:
    """Return a query for the sums that the label-rate check needs, one row per fold that has rows.

    Args:
        files: A relation (``place``, ``user_id``, ``label``) over the rows as they were written; label 0 or 1.

    Returns:
        A query with the BIGINT columns ``fold``, ``rows``, ``positives``, ``users``, ``rows_squared``,
        ``positives_squared``, ``rows_times_positives``: sums over the fold's users of n, y, 1, n², y², n·y, where
        n are a user's rows and y those with label 1; ``place`` is the fold. Integers, so exact in any order of rows.
    """
    return f"""
WITH users AS (
    SELECT place, user_id, count(*) AS n, CAST(sum(CAST(label AS BIGINT)) AS BIGINT) AS y
    FROM {files} GROUP BY place, user_id
)
SELECT
    CAST(place AS BIGINT) AS fold,
    CAST(sum(n) AS BIGINT) AS "rows",
    CAST(sum(y) AS BIGINT) AS positives,
    count(*) AS users,
    CAST(sum(n * n) AS BIGINT) AS rows_squared,
    CAST(sum(y * y) AS BIGINT) AS positives_squared,
    CAST(sum(n * y) AS BIGINT) AS rows_times_positives
FROM users GROUP BY place ORDER BY place"""
