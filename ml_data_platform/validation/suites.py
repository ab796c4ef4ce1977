"""The rules of every asset, as data.

Belongs here: which properties each asset must have, how severe a breach is and which metric a table rule
reads. Does not belong here: running rules (``runner``) or computing metrics (the stages).

``raw → validated_events`` row rules see one row per landed row, after mapping: the canonical columns plus
``unreadable_*``, ``nested_fields`` and ``label_is_missing``. Row rules of ``session_features`` tolerate
nothing, because the platform itself computed those values.

Metrics of table rules are numbers over one partition. Counts are non-negative, differences may have
either sign and ratios and shares are null where their denominator is 0. Importing this module does not
import Great Expectations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_data_platform.errors import ValidationSetupError
from ml_data_platform.events.schemas import EVENT_TYPES, MAX_PURCHASE_AMOUNT_USD, MAX_SESSION_DURATION_SECONDS
from ml_data_platform.validation.rules import Rule, ToleranceKind, bounds, hash_rules, with_tolerances

__all__ = ["ROW_RULES", "TABLE_RULES", "Rule", "metric_names", "rules_for", "rules_hash", "with_tolerances"]

DEFAULT_ROW_TOLERANCE = 0.05
MAX_EVENT_ID_CHARACTERS = 256
SECONDS_PER_DAY = 86_400
NOT_NULL = "ExpectColumnValuesToNotBeNull"
NULL = "ExpectColumnValuesToBeNull"
BETWEEN = "ExpectColumnValuesToBeBetween"
IN_SET = "ExpectColumnValuesToBeInSet"
# `$` would accept a trailing newline; `\Z` does not.
USER_ID_PATTERN = r"\Ausr_[0-9a-f]{16}\Z"
SESSION_UUID_PATTERN = r"\A[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z"


def _event_rule(name: str, expectation: str, description: str, **kwargs: Any) -> Rule:
    return Rule(name, "validated_events", expectation, kwargs, "row", True, DEFAULT_ROW_TOLERANCE, description)


def _feature_rule(name: str, expectation: str, description: str, **kwargs: Any) -> Rule:
    return Rule(name, "session_features", expectation, kwargs, "row", True, 0.0, description)


def _table_rule(
    asset: str,
    name: str,
    metric: str,
    description: str,
    *,
    kind: ToleranceKind = "exact",
    tolerance: float = 0.0,
    blocking: bool = True,
    when_null: str = "",
) -> Rule:
    kwargs = {"column": metric, **bounds(kind, tolerance)}
    return Rule(name, asset, BETWEEN, kwargs, "table", blocking, tolerance, description, kind, when_null)


def _volume_rule(asset: str) -> Rule:
    return _table_rule(
        asset,
        "row_count_is_in_line_with_the_previous_7_days",
        "row_count_ratio_to_previous_7_days",
        "The day has between half and twice the mean row count of the published days among the 7 before it.",
        kind="ratio",
        tolerance=2.0,
        blocking=False,
        when_null="no history",
    )


_EVENT_ROW_RULES = (
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
        "user_ids_match_pattern",
        "ExpectColumnValuesToMatchRegex",
        "A user_id is usr_ and 16 hexadecimal digits.",
        column="user_id",
        regex=USER_ID_PATTERN,
    ),
    _event_rule(
        "session_uuids_match_pattern",
        "ExpectColumnValuesToMatchRegex",
        "A session_uuid is a version 5 UUID in lower case.",
        column="session_uuid",
        regex=SESSION_UUID_PATTERN,
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


_FEATURE_ROW_RULES = (
    *(_feature_rule(name, NOT_NULL, f"Every row has its {key}.", column=key) for name, key in _KEYS.items()),
    *(_feature_range(name, *limits) for name, limits in _FEATURE_RANGES.items()),
    _feature_rule(
        "session_cart_counts_do_not_exceed_event_counts",
        "ExpectColumnPairValuesAToBeGreaterThanB",
        "Both counts are present, and a session never has more cart events than events.",
        column_A="session_event_count",
        column_B="session_cart_count",
        or_equal=True,
        ignore_row_if="never",
    ),
)

ROW_RULES: Mapping[str, tuple[Rule, ...]] = {
    "validated_events": _EVENT_ROW_RULES,
    "session_features": _FEATURE_ROW_RULES,
}

_TABLE_RULES = (
    _table_rule(
        "raw_events",
        "rows_are_accounted_for",
        "unaccounted_rows",
        "The day holds exactly the rows that the ledger routed to it.",
    ),
    _volume_rule("raw_events"),
    _table_rule(
        "validated_events",
        "event_ids_are_unique",
        "duplicate_event_ids",
        "No event_id occurs twice after deduplication.",
    ),
    _table_rule(
        "validated_events",
        "rows_are_accounted_for",
        "unaccounted_rows",
        "Raw rows are published, duplicate or quarantined, and nothing else.",
    ),
    _table_rule(
        "validated_events",
        "event_days_match_partition",
        "rows_outside_the_day",
        "Every event_timestamp falls on the partition's UTC day.",
    ),
    _volume_rule("validated_events"),
    _table_rule(
        "validated_events",
        "rejected_share_is_within_tolerance",
        "rejected_share",
        "At most 5 % of the day's raw rows fail a row rule, unless set otherwise.",
        kind="limit",
        tolerance=0.05,
        when_null="no rows",
    ),
    _table_rule(
        "validated_events",
        "duplicate_share_is_within_tolerance",
        "duplicate_share",
        "At most 10 % of the day's raw rows are duplicates, unless set otherwise.",
        kind="limit",
        tolerance=0.10,
        blocking=False,
        when_null="no rows",
    ),
    _table_rule(
        "quarantined_events",
        "rows_are_accounted_for",
        "unaccounted_rows",
        "The quarantine holds exactly the raw rows that were rejected or are duplicates.",
    ),
    _table_rule(
        "session_features",
        "rows_equal_validated_events",
        "row_count_difference_to_validated_events",
        "There is one row per validated event of the day.",
    ),
    _table_rule(
        "session_features",
        "label_side_columns_are_absent",
        "label_side_columns",
        "No column has a role outside key, feature, label, weight and provenance, or a label-side name.",
    ),
    _table_rule(
        "session_features",
        "labels_are_null_until_mature",
        "immature_rows_with_label",
        "A row has a label only once its label horizon has passed.",
    ),
    _table_rule("session_features", "event_ids_are_unique", "duplicate_event_ids", "No event_id occurs twice."),
    _table_rule("session_summaries", "sessions_are_unique", "duplicate_sessions", "Each session has one row per day."),
    _table_rule(
        "session_summaries",
        "event_counts_add_up",
        "event_count_difference_to_validated_events",
        "The sessions' event counts add up to the validated events of the day.",
    ),
    _table_rule("date_partitions", "only_mature_rows", "immature_rows", "Every row's label is mature."),
    _table_rule(
        "date_partitions",
        "rows_equal_mature_rows",
        "row_count_difference_to_mature_rows",
        "There is one row per mature row of session_features.",
    ),
    _table_rule(
        "date_partitions",
        "label_side_columns_are_absent",
        "label_side_columns",
        "No column has a role outside key, feature, label, weight and provenance, or a label-side name.",
    ),
    _table_rule(
        "label_partitions",
        "each_mature_row_is_in_exactly_one_label_file",
        "rows_missing_or_repeated",
        "Each mature row is stored once over all label files.",
    ),
    _table_rule(
        "label_partitions",
        "labels_match_their_file",
        "rows_in_the_wrong_file",
        "A label file holds only rows of its label.",
    ),
    _table_rule(
        "stratified_partitions",
        "each_mature_row_is_in_exactly_one_fold",
        "rows_missing_or_repeated",
        "Each mature row is stored once over all folds.",
    ),
    _table_rule(
        "stratified_partitions",
        "users_are_in_one_fold",
        "users_in_several_folds",
        "All rows of a user are in one fold.",
    ),
    _table_rule(
        "stratified_partitions",
        "label_rate_per_fold_is_in_line",
        "largest_label_rate_deviation",
        "No fold's label rate is more than 4 standard errors, clustered by user, from the rate of the day.",
        kind="limit",
        tolerance=4.0,
        blocking=False,
        when_null="too few users",
    ),
)


def _by_asset(rules: tuple[Rule, ...]) -> dict[str, tuple[Rule, ...]]:
    return {
        asset: tuple(rule for rule in rules if rule.asset == asset) for asset in dict.fromkeys(r.asset for r in rules)
    }


TABLE_RULES: Mapping[str, tuple[Rule, ...]] = _by_asset(_TABLE_RULES)


def rules_for(asset: str) -> tuple[Rule, ...]:
    """Return all rules of an asset: row rules first, then table rules, in the order declared.

    Raises:
        ValidationSetupError: The asset has no rules; an asset without rules would pass unseen.
    """
    rules = ROW_RULES.get(asset, ()) + TABLE_RULES.get(asset, ())
    if not rules:
        raise ValidationSetupError(
            "No rules are declared for this asset.",
            asset=asset,
            expected=", ".join(TABLE_RULES),
            remedy="Correct the asset's name, or declare its rules in validation/suites.py.",
        )
    return rules


def rules_hash(asset: str, overrides: Mapping[str, float] | None = None) -> str:
    """Return the sha256 hex of the asset's rules, with tolerances overridden where given.

    Raises:
        ValidationSetupError: The asset has no rules.
        SettingsError: An override names no rule of the asset, or is out of range.
    """
    return hash_rules(with_tolerances(rules_for(asset), overrides or {}))


def metric_names(asset: str) -> tuple[str, ...]:
    """Return the metrics that the asset's table rules read, in the order of the rules."""
    return tuple(dict.fromkeys(rule.columns[0] for rule in TABLE_RULES.get(asset, ())))
