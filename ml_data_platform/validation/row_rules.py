"""The rules that every single row must meet, as data.

Belongs here: row rules of ``validated_events`` and ``session_features``. Does not belong here: rules about
a whole partition (``table_rules``) or running rules (``runner``).

The rules of ``validated_events`` see one row per landed row, after mapping: the canonical columns plus
``unreadable_*``, ``nested_fields`` and ``label_is_missing``. The rules of ``session_features`` tolerate
nothing, because the platform itself computed those values. Nulls break only rules that ask for presence.
"""

from __future__ import annotations

from typing import Any

from ml_data_platform.events.schemas import EVENT_TYPES, MAX_PURCHASE_AMOUNT_USD, MAX_SESSION_DURATION_SECONDS
from ml_data_platform.validation.rules import BETWEEN, PAIR_AT_LEAST, Rule

DEFAULT_ROW_TOLERANCE = 0.05
MAX_EVENT_ID_CHARACTERS = 256
SECONDS_PER_DAY = 86_400
NOT_NULL = "ExpectColumnValuesToNotBeNull"
NULL = "ExpectColumnValuesToBeNull"
IN_SET = "ExpectColumnValuesToBeInSet"


def _event_rule(name: str, expectation: str, description: str, **kwargs: Any) -> Rule:
    return Rule(name, "validated_events", expectation, kwargs, "row", True, DEFAULT_ROW_TOLERANCE, description)


def _feature_rule(name: str, expectation: str, description: str, **kwargs: Any) -> Rule:
    return Rule(name, "session_features", expectation, kwargs, "row", True, 0.0, description)


EVENT_ROW_RULES = (
    _event_rule("event_ids_are_present", NOT_NULL, "Every event has an event_id.", column="event_id"),
    _event_rule("user_ids_are_present", NOT_NULL, "Every event names its user.", column="user_id"),
    _event_rule("session_uuids_are_present", NOT_NULL, "Every event belongs to a session.", column="session_uuid"),
    _event_rule("event_types_are_present", NOT_NULL, "Every event has a type.", column="event_type"),
    _event_rule("event_timestamps_are_present", NOT_NULL, "Every event has a time.", column="event_timestamp"),
    _event_rule(
        "event_types_are_known",
        IN_SET,
        "The type is one that the contract maps, directly or by its default.",
        column="event_type",
        value_set=EVENT_TYPES,
    ),
    _event_rule(
        "event_ids_are_short",
        "ExpectColumnValueLengthsToBeBetween",
        "An event_id has 1 to 256 characters, the source's prefix included.",
        column="event_id",
        min_value=1,
        max_value=MAX_EVENT_ID_CHARACTERS,
    ),
    _event_rule(
        "session_durations_are_in_range",
        BETWEEN,
        "A reported session duration is between 0 and 86,400 seconds.",
        column="session_duration_seconds",
        min_value=0,
        max_value=MAX_SESSION_DURATION_SECONDS,
    ),
    _event_rule(
        "purchase_amounts_are_in_range",
        BETWEEN,
        "A purchase amount is between 0 and 50,000 US dollars.",
        column="purchase_amount_usd",
        min_value=0,
        max_value=MAX_PURCHASE_AMOUNT_USD,
    ),
    _event_rule(
        "session_durations_are_numbers",
        NULL,
        "A landed session duration can be read as a finite number.",
        column="unreadable_session_duration_seconds",
    ),
    _event_rule(
        "purchase_amounts_are_numbers",
        NULL,
        "A landed purchase amount can be read as a finite number.",
        column="unreadable_purchase_amount_usd",
    ),
    _event_rule(
        "sequences_are_integers", NULL, "A landed sequence can be read as an integer.", column="unreadable_sequence"
    ),
    _event_rule("labels_are_binary", NULL, "A landed label can be read as 0 or 1.", column="unreadable_label"),
    _event_rule(
        "text_fields_are_scalars",
        NULL,
        "No object or array stands where a single value is expected.",
        column="nested_fields",
    ),
    _event_rule(
        "labels_are_present_where_declared",
        IN_SET,
        "Every event of a source whose contract declares a label has one.",
        column="label_is_missing",
        value_set=(False,),
    ),
)

_KEYS = {
    "event_ids_are_present": "event_id",
    "user_ids_are_present": "user_id",
    "session_uuids_are_present": "session_uuid",
    "event_timestamps_are_present": "event_timestamp",
}
_FEATURE_RANGES: dict[str, tuple[str, int, int | None]] = {
    "hours_of_day_are_in_range": ("hour_of_day", 0, 23),
    "days_of_week_are_in_range": ("day_of_week", 0, 6),
    "session_event_counts_are_positive": ("session_event_count", 1, None),
    "session_elapsed_seconds_are_in_range": ("session_elapsed_seconds", 0, SECONDS_PER_DAY),
    "seconds_since_previous_event_are_in_range": ("seconds_since_previous_event", 0, SECONDS_PER_DAY),
    "session_cart_counts_are_not_negative": ("session_cart_count", 0, None),
    "session_search_counts_are_not_negative": ("session_search_count", 0, None),
    "session_purchase_counts_before_are_not_negative": ("session_purchase_count_before", 0, None),
    "session_spend_cents_before_are_not_negative": ("session_spend_cents_before", 0, None),
}


def _feature_range(name: str, column: str, lowest: int, highest: int | None) -> Rule:
    text = f"at least {lowest}" if highest is None else f"between {lowest} and {highest}"
    limits = {"min_value": lowest} if highest is None else {"min_value": lowest, "max_value": highest}
    return _feature_rule(name, BETWEEN, f"{column}, where present, is {text}.", column=column, **limits)


FEATURE_ROW_RULES = (
    *(_feature_rule(name, NOT_NULL, f"Every row has its {key}.", column=key) for name, key in _KEYS.items()),
    *(_feature_range(name, *limits) for name, limits in _FEATURE_RANGES.items()),
    _feature_rule(
        "session_cart_counts_do_not_exceed_event_counts",
        PAIR_AT_LEAST,
        "Both counts are present, and a session never has more cart events than events.",
        column_A="session_event_count",
        column_B="session_cart_count",
        or_equal=True,
        ignore_row_if="neither",
    ),
)
