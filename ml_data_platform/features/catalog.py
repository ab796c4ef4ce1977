"""Every column of the feature and training tables: what it is, and what may be learnt from it.

Belongs here: one entry per column, the tables derived from the entries, and the names that tell the label
and so may never be a feature. Does not belong here: how a value is computed (``session_features.sql``).

Before, later and up to an event go by one total order of a session's events: by ``event_timestamp``; among events of one
instant by ``sequence``, nulls last; at last by ``event_id``. ``sequence`` is the producer's, else the row's position in its
file, and null where the contract says ``sequence: none``. The far ends, after t - 24 h and up to t + 24 h, go by time
alone. Where nobody stated the order, the check ``order_within_an_instant_is_stated`` counts the rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import pyarrow as pa

from ml_data_platform.events.schemas import INSTANT, TableSchema

Role = Literal["key", "feature", "label", "weight", "provenance"]
Availability = Literal["at_event", "up_to_event", "before_event", "label_side"]
ROLES: tuple[Role, ...] = get_args(Role)

DEFAULT_FOLD_COUNT = 5


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: As in the table; carries the unit where there is one.
        role: What a loader may use it for. Only ``feature`` columns are inputs of a model.
        type: Arrow type.
        unit: Unit of the value, or an empty string.
        nullable: Whether a published row may lack it.
        availability: When the value is known. ``at_event``: from the event alone; ``up_to_event``: from
            events up to and including it in the total order; ``before_event``: from events strictly
            before it; ``label_side``: only later, so never an input.
        description: What a value means.
    """

    name: str
    role: Role
    type: pa.DataType
    unit: str
    nullable: bool
    availability: Availability
    description: str


_KEYS = (
    Column("event_id", "key", pa.string(), "", False, "at_event", "The event; one row per event."),
    Column("user_id", "key", pa.string(), "", False, "at_event", "Keyed hash of the producer's user id."),
    Column("session_uuid", "key", pa.string(), "", False, "at_event", "The session, unique across sources."),
    Column("source", "key", pa.string(), "", False, "at_event", "The producer, named as its contract."),
    Column(
        "event_timestamp", "key", INSTANT, "UTC", False, "at_event", "When the event happened; the prediction time."
    ),
)

_FEATURES = (
    Column("hour_of_day", "feature", pa.int8(), "hours", False, "at_event", "Hour of the UTC day, 0 to 23."),
    Column("day_of_week", "feature", pa.int8(), "days", False, "at_event", "UTC weekday, Monday = 0 to Sunday = 6."),
    Column("is_weekend", "feature", pa.bool_(), "", False, "at_event", "The UTC weekday is Saturday or Sunday."),
    Column(
        "session_event_count", "feature", pa.int64(), "events", False, "up_to_event",
        "Events of the session in the last 24 hours, this one included; at least 1.",
    ),
    Column(
        "session_elapsed_seconds", "feature", pa.float64(), "seconds", False, "up_to_event",
        "Time since the session's first event of the last 24 hours.",
    ),
    Column(
        "seconds_since_previous_event", "feature", pa.float64(), "seconds", True, "up_to_event",
        "Time since the session's previous event, 0 for one of the same instant; null where the last 24 hours hold none.",
    ),
    Column(
        "session_cart_count", "feature", pa.int64(), "events", False, "up_to_event",
        "add_to_cart events of the session in the last 24 hours, this one included.",
    ),
    Column(
        "session_search_count", "feature", pa.int64(), "events", False, "up_to_event",
        "search events of the session in the last 24 hours, this one included.",
    ),
    Column(
        "session_purchase_count_before", "feature", pa.int64(), "events", False, "before_event",
        "purchase events of the session in the last 24 hours, strictly before this event.",
    ),
    Column(
        "session_spend_cents_before", "feature", pa.int64(), "US cents", False, "before_event",
        "Amounts of the session's purchases in the last 24 hours, strictly before this event.",
    ),
)  # fmt: skip

_LABEL = Column(
    "label", "label", pa.int8(), "", True, "label_side",
    "What a model predicts: the contract's declared label, else `converted`; null until mature.",
)  # fmt: skip

_LABEL_SIDE = (
    Column(
        "converted", "label", pa.int8(), "", True, "label_side",
        "1 if the session has a purchase later in the total order, up to 24 hours on, else 0; null until those are seen.",
    ),
    _LABEL,
    Column(
        "label_is_mature", "provenance", pa.bool_(), "", False, "label_side",
        "The label is final: declared by the producer, or the source's data reach 24 hours beyond the event.",
    ),
)  # fmt: skip

_SUMMARY = (
    Column("session_uuid", "key", pa.string(), "", False, "at_event", "The session; one row per session and day."),
    Column("source", "key", pa.string(), "", False, "at_event", "The producer, named as its contract."),
    Column("user_id", "key", pa.string(), "", False, "at_event", "The session's user; the smallest where it has several."),
    Column("session_start", "provenance", INSTANT, "UTC", False, "label_side", "First event of the session on this day."),
    Column("session_end", "provenance", INSTANT, "UTC", False, "label_side", "Last event of the session on this day."),
    Column("event_count", "provenance", pa.int64(), "events", False, "label_side", "Events of the session on this day."),
    Column(
        "session_duration_seconds", "provenance", pa.float64(), "seconds", False, "label_side",
        "From the session's first to its last event on this day.",
    ),
    Column("has_purchase", "label", pa.bool_(), "", False, "label_side", "The session has a purchase on this day."),
    Column("purchase_count", "label", pa.int64(), "events", False, "label_side", "Purchases of the session on this day."),
    Column("spend_cents", "label", pa.int64(), "US cents", False, "label_side", "Sum of the session's purchases on this day."),
)  # fmt: skip

CATALOG: dict[str, tuple[Column, ...]] = {
    "session_features": (*_KEYS, *_FEATURES, *_LABEL_SIDE),
    "session_summaries": _SUMMARY,
    "date_partitions": (*_KEYS, *_FEATURES, replace(_LABEL, nullable=False)),
    "label_partitions": (*_KEYS, *_FEATURES),
    "stratified_partitions": (*_KEYS, *_FEATURES, replace(_LABEL, nullable=False)),
}
"""Table to its columns, in file order."""

_WHOLE_SESSION_NAMES = frozenset(
    {
        "session_cart_total",
        "session_conversion",
        "session_converted",
        "session_end",
        "session_has_purchase",
        "session_purchase_amount_usd",
        "session_purchase_count",
        "session_revenue_usd",
        "session_spend_cents",
        "session_total_events",
        "purchase_amount_usd",
        "total_spend_cents",
        "will_convert",
    }
)
"""Names of totals over a whole session, as other data sets spell them: they look like features and tell the label."""

LABEL_SIDE_NAMES: frozenset[str] = _WHOLE_SESSION_NAMES | {
    column.name for columns in CATALOG.values() for column in columns if column.availability == "label_side"
}
"""Names that never may be a feature."""


def feature_columns(table: str = "session_features") -> tuple[str, ...]:
    """Return the names of a table's features, in file order."""
    return columns_with_role("feature", table)


def columns_with_role(role: Role, table: str = "session_features") -> tuple[str, ...]:
    """Return the names of a table's columns that have the role, in file order."""
    return tuple(column.name for column in CATALOG[table] if column.role == role)


def label_side_columns(names: Iterable[str]) -> tuple[str, ...]:
    """Return those of the proposed features that tell the label, sorted.

    Args:
        names: Names that somebody wants to use as features; letter case and surrounding blanks do not matter.

    Returns:
        The violations; empty when all may be used.
    """
    return tuple(sorted(name for name in names if name.strip().lower() in LABEL_SIDE_NAMES))


def misplaced_columns(table: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return those columns of a file that must not be in it, sorted.

    Args:
        table: Table whose file it is.
        names: The columns found in the file.

    Returns:
        Columns that the catalog does not declare for the table, and features whose name tells the label.
    """
    roles = {column.name: column.role for column in CATALOG[table]}
    found = list(names)
    undeclared = {name for name in found if name not in roles}
    return tuple(sorted(undeclared | set(label_side_columns(name for name in found if roles.get(name) == "feature"))))


def describe(table: str, column: str) -> str:
    """Return what a column means; empty where the catalog does not have the table or the column."""
    return next((entry.description for entry in CATALOG.get(table, ()) if entry.name == column), "")


def stratified_files(fold_count: int) -> tuple[str, ...]:
    """Return the file names of a partition of ``stratified_partitions`` with so many folds."""
    return tuple(f"fold={fold}/data.parquet" for fold in range(fold_count))


def _table(
    name: str, key: tuple[str, ...], sort: tuple[str, ...], files: tuple[str, ...] = ("data.parquet",)
) -> TableSchema:
    columns = pa.schema([(column.name, column.type) for column in CATALOG[name]])
    return TableSchema(name=name, version=1, columns=columns, key=key, sort=sort, files=files)


SESSION_FEATURES = _table("session_features", ("event_id",), ("event_timestamp", "event_id"))
SESSION_SUMMARIES = _table("session_summaries", ("session_uuid",), ("session_start", "session_uuid"))
DATE_PARTITIONS = _table("date_partitions", ("event_id",), ("event_timestamp", "event_id"))
LABEL_PARTITIONS = _table(
    "label_partitions",
    ("event_id",),
    ("event_timestamp", "event_id"),
    ("label=negative/data.parquet", "label=positive/data.parquet"),
)
STRATIFIED_PARTITIONS = _table(
    "stratified_partitions", ("event_id",), ("event_timestamp", "event_id"), stratified_files(DEFAULT_FOLD_COUNT)
)


def stratified_table(fold_count: int) -> TableSchema:
    """Return ``stratified_partitions`` with so many folds; the fold is in the path, the label in the file."""
    return replace(STRATIFIED_PARTITIONS, files=stratified_files(fold_count))
