"""Leakage: what must never hold of rows that a model learns from, as queries, bounds and findings.

Belongs here: one check per way in which the future, the label or a test row gets into the train part. Does not
belong here: running queries, and recomputing features (``features.recomputation``).

Each query returns one row: the number of offences, and some examples as text.
"""

from __future__ import annotations

import datetime as dt
import difflib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ml_data_platform.errors import SettingsError, bounded
from ml_data_platform.events.sql_text import sql_identifier, sql_literal
from ml_data_platform.settings import LABEL_HORIZON

EXAMPLES = 5
AUC_BOUND = 0.97
"""A single feature that orders positives before negatives this well is taken for the label in disguise."""
AUC_Z = 4.0
MIN_CLASS_ROWS = 20
MAX_REASON = 500
_EPOCH = dt.date(1970, 1, 1)
_MICROSECONDS_PER_DAY = 86_400_000_000
_MICROSECONDS_PER_HORIZON = int(LABEL_HORIZON.total_seconds()) * 1_000_000


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: The property that must hold.
        passed: Whether it does.
        offences: How often it does not.
        examples: Some of the offences, as text.
        description: What the property protects from.
        accepted: What offends and is accepted, with the reasons.
    """

    check: str
    passed: bool
    offences: int
    examples: tuple[str, ...]
    description: str
    accepted: tuple[str, ...] = ()


@dataclass(frozen=True)
class FeatureAuc:
    """How well one feature alone orders positives before negatives, or behind them.

    Attributes:
        feature: Its name.
        auc: Its AUC, the better way round.
        surely: What its AUC is at least, by the number of rows.
    """

    feature: str
    auc: float
    surely: float

    @property
    def text(self) -> str:
        """The feature with its AUC, in words."""
        return f"{self.feature} has an AUC of {self.auc:.3f}, surely over {self.surely:.3f}"


DESCRIPTIONS: Mapping[str, str] = {
    "columns_are_declared": "Every column is one of the catalog, in its role: a renamed or added column is none.",
    "features_are_known_at_prediction_time": "Recomputed on a log that ends at the event, every feature is the same.",
    "no_feature_tells_the_label": (
        f"No single feature has an AUC surely over {AUC_BOUND}; one that is no leak is accepted with its reason under "
        "`accepted_features` in platform.yaml, and by the next version."
    ),
    "labels_are_mature": "Every label's horizon had been seen when it was given.",
    "users_are_in_one_fold": "No user is in two folds.",
    "sessions_are_in_one_fold": "No session is in two folds.",
    "users_are_on_one_side": "No user is in the train part and in the test part.",
    "sessions_are_on_one_side": "No session is in the train part and in the test part.",
    "events_are_there_once": "No event is there twice, under its own id or as a copy under another.",
    "rows_are_in_the_order_of_time": "Rows lie by time and id: no order of rows tells the label.",
    "train_labels_end_before_the_test_part": "No label of the train part looks past the cutoff.",
}


def finding(check: str, offences: int, examples: Sequence[str] = (), accepted: Sequence[str] = ()) -> Finding:
    """Return what a check found."""
    return Finding(check, offences == 0, offences, tuple(examples[:EXAMPLES]), DESCRIPTIONS[check], tuple(accepted))


def require_acceptable(accepted: Mapping[str, str], features: Collection[str]) -> None:
    """Refuse an acceptance of what is no feature, or without a reason.

    Args:
        accepted: Feature to reason.
        features: All features.

    Raises:
        SettingsError: There is one.
    """
    for feature, reason in accepted.items():
        if feature not in features:
            close = difflib.get_close_matches(feature, features, n=1)
            raise SettingsError(
                "a feature is accepted that does not exist",
                remedy=f"Did you mean {close[0]}?" if close else "Name a feature.",
                setting="accepted_features",
                expected=", ".join(sorted(features)),
                got=feature,
            )
        if not reason.strip() or len(reason) > MAX_REASON:
            raise SettingsError(
                f"a feature is accepted without a reason of 1 to {MAX_REASON} characters",
                remedy=f'Say why it is no leak: accepted_features: {{{feature}: "…"}}.',
                setting="accepted_features",
                got=bounded(reason),
            )


def both_sides_query(train: str, test: str, column: str) -> str:
    """Return the query for values of a column that are in both relations."""
    name = sql_identifier(column)
    shared = f"SELECT DISTINCT {name} AS shared FROM {train} WHERE {name} IN (SELECT {name} FROM {test})"
    return _counted(shared, "shared")


def several_folds_query(rows: str, column: str) -> str:
    """Return the query for values of a column with rows in more than one ``fold``."""
    name = sql_identifier(column)
    shared = f"SELECT {name} AS shared FROM {rows} GROUP BY {name} HAVING min(fold) <> max(fold)"
    return _counted(shared, "shared")


def repeated_events_query(rows: str, features: Sequence[str]) -> str:
    """Return the query for events that are there more than once.

    A copy under another id is known by its session, its instant and all its features: two events of one session and
    instant differ at least in ``session_event_count``.
    """
    names = ", ".join(f"rows.{sql_identifier(name)}" for name in ("session_uuid", "event_timestamp", *features))
    # Few sessions have two events of one instant, and only those can have copies: the rest is not compared.
    repeated = (
        f"SELECT event_id AS shared FROM {rows} GROUP BY event_id HAVING count(*) > 1 UNION ALL "
        f"SELECT min(rows.event_id) AS shared FROM {rows} AS rows INNER JOIN ("
        f"SELECT session_uuid, event_timestamp FROM {rows} GROUP BY session_uuid, event_timestamp HAVING count(*) > 1"
        ") AS ties ON rows.session_uuid = ties.session_uuid AND rows.event_timestamp = ties.event_timestamp "
        f"GROUP BY {names} HAVING count(DISTINCT rows.event_id) > 1"
    )
    return _counted(repeated, "shared")


def immature_labels_query(rows: str, mature_through: Mapping[str, int]) -> str:
    """Return the query for labels that were given before their horizon had been seen.

    Args:
        rows: A relation (``event_id``, ``source``, ``event_timestamp``, ``label``).
        mature_through: Source to the instant up to which its events had been seen, in microseconds since 1970. A
            source that is not named has no mature labels.
    """
    bounds = [f"WHEN source = {sql_literal(source)} THEN {micros}" for source, micros in sorted(mature_through.items())]
    known = f"CASE {' '.join(bounds)} ELSE -9223372036854775808 END" if bounds else "-9223372036854775808"
    late = f"@micros(event_timestamp) + {_MICROSECONDS_PER_HORIZON} > {known}"
    return _counted(f"SELECT event_id AS shared FROM {rows} WHERE label IS NULL OR {late}", "shared")


def labels_before_their_horizon_query(rows: str, mature_through: Mapping[tuple[dt.date, str], int]) -> str:
    """Return the query for labels given before their horizon had been seen, where each day was built at its own time.

    Unlike the other queries it returns a row per UTC day and source: day as text, source, labels, one event.

    Args:
        rows: A relation (``event_id``, ``source``, ``event_timestamp``, ``label``).
        mature_through: UTC day and source to the instant up to which the source's events had been seen when labels of
            that day were given, in microseconds since 1970. What is not named has no mature labels.
    """
    bounds = [
        f"({(day - _EPOCH).days}, {sql_literal(source)}, {micros})"
        for (day, source), micros in sorted(mature_through.items())
    ]
    nothing = ["(CAST(NULL AS BIGINT), '', CAST(0 AS BIGINT))"]
    return (
        "SELECT CAST(DATE '1970-01-01' + CAST(found.day AS INTEGER) AS VARCHAR) AS day, found.source AS source, "
        "count(*) AS labels, min(found.event_id) AS example FROM ("
        f"SELECT event_id, source, label, @micros(event_timestamp) AS at, "
        f"CAST(floor(@micros(event_timestamp) / {_MICROSECONDS_PER_DAY}) AS BIGINT) AS day FROM {rows}) AS found "
        f"LEFT JOIN (VALUES {', '.join(bounds or nothing)}) AS bounds (day, source, known) "
        "ON found.day = bounds.day AND found.source = bounds.source "
        f"WHERE found.label IS NULL OR bounds.known IS NULL OR found.at + {_MICROSECONDS_PER_HORIZON} > bounds.known "
        "GROUP BY found.day, found.source ORDER BY found.day, found.source"
    )


def late_labels_query(train: str, cutoff_micros: int) -> str:
    """Return the query for train rows whose label looks past the cutoff."""
    late = f"@micros(event_timestamp) + {_MICROSECONDS_PER_HORIZON} > {cutoff_micros}"
    return _counted(f"SELECT event_id AS shared FROM {train} WHERE {late}", "shared")


def auc_query(rows: str, features: Sequence[str]) -> str:
    """Return a query for one row per feature: its name, AUC, positives and negatives.

    Ties count half; a missing value is a value of its own, below all others.

    Args:
        rows: A relation with the features and ``label``.
        features: Numeric or boolean columns.

    Source: the Mann-Whitney form of the AUC, J. Hanley and B. McNeil, Radiology 143 (1982), 29-36.
    """
    return " UNION ALL ".join(_auc_of(rows, name) for name in features)


def _auc_of(rows: str, name: str) -> str:
    value = f"coalesce(CAST({sql_identifier(name)} AS DOUBLE), CAST('-infinity' AS DOUBLE))"
    return (
        f"SELECT {sql_literal(name)} AS feature, "
        "CAST(sum(positives * (below + 0.5 * negatives)) AS DOUBLE) / nullif(CAST(sum(positives) AS DOUBLE) * CAST(sum(negatives) AS DOUBLE), 0) AS auc, "
        "CAST(sum(positives) AS BIGINT) AS positives, CAST(sum(negatives) AS BIGINT) AS negatives FROM ("
        "SELECT positives, negatives, coalesce(sum(negatives) OVER (ORDER BY value ASC "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS below FROM ("
        f"SELECT {value} AS value, count(CASE WHEN label = 1 THEN 1 END) AS positives, "
        f"count(CASE WHEN label = 0 THEN 1 END) AS negatives FROM {rows} GROUP BY 1) AS values) AS ranked"
    )


def feature_aucs(found: Iterable[tuple[str, float | None, int, int]]) -> list[FeatureAuc]:
    """Return the features that have enough rows of both classes, the most telling first.

    Args:
        found: The rows of ``auc_query``.
    """
    judged = [
        FeatureAuc(feature, max(auc, 1.0 - auc), lowest_plausible_auc(auc, positives, negatives))
        for feature, auc, positives, negatives in found
        if auc is not None and min(positives, negatives) >= MIN_CLASS_ROWS
    ]
    return sorted(judged, key=lambda each: (-each.surely, each.feature))


def lowest_plausible_auc(auc: float, positives: int, negatives: int) -> float:
    """Return the AUC, either way round, that a feature has at least: its estimate less four standard errors.

    Zero where either class has too few rows to say anything.

    Source: Hanley and McNeil 1982, as above, equation 1.
    """
    if min(positives, negatives) < MIN_CLASS_ROWS:
        return 0.0
    a = max(auc, 1.0 - auc)
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    variance = (a * (1 - a) + (positives - 1) * (q1 - a * a) + (negatives - 1) * (q2 - a * a)) / (positives * negatives)
    return a - AUC_Z * math.sqrt(max(variance, 0.0))


def _counted(offences: str, name: str) -> str:
    return (
        f"SELECT count(*) AS offences, CAST(min({name}) AS VARCHAR) AS first, CAST(max({name}) AS VARCHAR) AS last "
        f"FROM ({offences}) AS offences"
    )
