"""The leakage firewall: the checks of ``training.leakage``, run over rows that are about to be learnt from.

Belongs here: running the queries in bounded memory, and refusing. Does not belong here: what the checks say.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence

import duckdb

from ml_data_platform.errors import LeakageError
from ml_data_platform.features.catalog import feature_columns, misplaced_columns
from ml_data_platform.features.dialects import DUCKDB, render
from ml_data_platform.features.queries import micros
from ml_data_platform.features.recomputation import DEFAULT_SAMPLE, recomputation_query
from ml_data_platform.training.leakage import (
    AUC_BOUND,
    EXAMPLES,
    Finding,
    auc_query,
    both_sides_query,
    feature_aucs,
    finding,
    immature_labels_query,
    late_labels_query,
    repeated_events_query,
    several_folds_query,
)


def inspect_columns(table: str, names: Iterable[str]) -> Finding:
    """Check that every column is one that the catalog declares for the table, in its role."""
    wrong = misplaced_columns(table, names)
    return finding("columns_are_declared", len(wrong), wrong)


def inspect_features(
    connection: duckdb.DuckDBPyConnection, features: str, events: str, day: dt.date, *, sample: int = DEFAULT_SAMPLE
) -> Finding:
    """Check features of one day against a recomputation on truncated logs.

    Args:
        connection: Made by ``storage.duck.connect``.
        features: A relation with the features as published.
        events: A relation with the validated events of the day and the day before.
        day: The UTC day.
        sample: How many events are recomputed.
    """
    names = feature_columns()
    rows = connection.execute(recomputation_query(features, events, day, names, sample=sample)).fetchall()
    wrong = [(row[0], [name for name, differs in zip(names, row[1:], strict=True) if differs]) for row in rows]
    offences = [f"{event}: {', '.join(columns)}" for event, columns in wrong if columns]
    return finding("features_are_known_at_prediction_time", len(offences), offences)


def inspect_rows(
    connection: duckdb.DuckDBPyConnection,
    rows: str,
    *,
    features: Sequence[str] = (),
    mature_through: Mapping[str, dt.datetime] | None = None,
    accepted: Mapping[str, str] | None = None,
) -> tuple[Finding, ...]:
    """Check rows by themselves: each event once, labels mature, no feature that tells the label.

    Args:
        connection: Made by ``storage.duck.connect``.
        rows: A relation with keys, features and label.
        features: Names of its features; by default those of the catalog.
        mature_through: Source to the instant up to which its events had been seen; where not given, labels are not
            checked.
        accepted: Feature that may tell the label to the reason.
    """
    known_reasons = accepted or {}
    names = tuple(features) or feature_columns()
    found = [_run(connection, "events_are_there_once", repeated_events_query(rows, names))]
    if mature_through is not None:
        known = {source: micros(instant) for source, instant in mature_through.items()}
        found.append(_run(connection, "labels_are_mature", immature_labels_query(rows, known)))
    aucs = feature_aucs(connection.execute(auc_query(rows, names)).fetchall())
    telling = [each for each in aucs if each.surely > AUC_BOUND]
    offending = [each.text for each in telling if each.feature not in known_reasons]
    allowed = [f"{each.text}: {known_reasons[each.feature]}" for each in telling if each.feature in known_reasons]
    return (*found, finding("no_feature_tells_the_label", len(offending), offending, allowed))


def inspect_split(
    connection: duckdb.DuckDBPyConnection,
    train: str,
    test: str,
    cutoff: dt.datetime,
    *,
    users_may_return: bool = False,
    features: Sequence[str] = (),
) -> tuple[Finding, ...]:
    """Check two parts against each other.

    Args:
        connection: Made by ``storage.duck.connect``.
        train: A relation with keys, features and label.
        test: The same.
        cutoff: First instant of the test part.
        users_may_return: Users of the test part may be in the train part, with earlier sessions.
        features: Names of the features; by default those of the catalog.
    """
    names = tuple(features) or feature_columns()
    both = f"(SELECT * FROM {train} UNION ALL SELECT * FROM {test})"
    found = [
        _run(connection, "sessions_are_on_one_side", both_sides_query(train, test, "session_uuid")),
        _run(connection, "events_are_there_once", repeated_events_query(both, names)),
        _run(connection, "train_labels_end_before_the_test_part", late_labels_query(train, micros(cutoff))),
    ]
    if not users_may_return:
        found.append(_run(connection, "users_are_on_one_side", both_sides_query(train, test, "user_id")))
    return tuple(found)


def inspect_folds(connection: duckdb.DuckDBPyConnection, rows: str, whole: str = "") -> tuple[Finding, ...]:
    """Check that neither a user nor a session is in two folds.

    Args:
        connection: Made by ``storage.duck.connect``.
        rows: A relation with keys and the column ``fold``: no user may be in two.
        whole: Those of its rows that are loaded by folds, by default all: no session may be in two.
    """
    return (
        _run(connection, "users_are_in_one_fold", several_folds_query(rows, "user_id")),
        _run(connection, "sessions_are_in_one_fold", several_folds_query(whole or rows, "session_uuid")),
    )


def require_clean(findings: Iterable[Finding], where: str) -> None:
    """Refuse rows that leak.

    Raises:
        LeakageError: A check failed; all failed ones are named, with examples.
    """
    failed = [each for each in findings if not each.passed]
    if failed:
        raise LeakageError(
            "; ".join(f"{each.check}: {each.offences:,} offences" for each in failed),
            remedy="Do not train on these rows: " + " ".join(each.description for each in failed),
            where=where,
            examples="; ".join(example for each in failed for example in each.examples[:EXAMPLES]),
        )


def _run(connection: duckdb.DuckDBPyConnection, check: str, query: str) -> Finding:
    (row,) = connection.execute(render(query, DUCKDB)).fetchall()
    return finding(check, int(row[0]), sorted({text for text in row[1:] if text is not None}))
