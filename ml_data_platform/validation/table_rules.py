"""The rules that a partition as a whole must meet, as data.

Belongs here: table rules of every asset, and the metric that each reads. Does not belong here: computing
the metrics (the stages), rules about single rows (``row_rules``) or running rules (``runner``).

Metrics are numbers over one partition. Counts are not negative, differences may have either sign, and
ratios and shares are null where their denominator is 0.
"""

from __future__ import annotations

from ml_data_platform.training.label_rates import Z_LIMIT
from ml_data_platform.training.leakage import AUC_BOUND
from ml_data_platform.validation.rules import BETWEEN, Rule, ToleranceKind, bounds


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
    is_about_arrival: bool = False,
) -> Rule:
    kwargs = {"column": metric, **bounds(kind, tolerance)}
    return Rule(
        name, asset, BETWEEN, kwargs, "table", blocking, tolerance, description, kind, when_null, is_about_arrival
    )


def _volume_rule(asset: str, description: str) -> Rule:
    return _table_rule(
        asset,
        "row_count_is_in_line_with_the_previous_7_days",
        "row_count_ratio_to_previous_7_days",
        description,
        kind="ratio",
        tolerance=2.0,
        blocking=False,
        when_null="no history",
    )


NO_ROWS_ARE_TOO_LATE = "no_rows_are_too_late"
FIELDS_AS_BEFORE = "fields_are_filled_as_on_the_days_before"
REJECTED_SHARE = "rejected_share_is_within_tolerance"
NEARLY_ALL_VALID = "nearly_all_rows_are_valid"
CONTRACT_RULES_HOLD, WARNING_RULES_HOLD = "contract_expectations_hold", "contract_expectations_that_warn_hold"

PARTITION_RULES = (
    _table_rule(
        "raw_events",
        "rows_are_accounted_for",
        "unaccounted_rows",
        "The day holds exactly the rows that the ledger routed to it.",
    ),
    _volume_rule(
        "raw_events", "Each source has between half and twice its mean row count of its days among the 7 before."
    ),
    _table_rule(
        "raw_events",
        NO_ROWS_ARE_TOO_LATE,
        "too_late_rows",
        "No row of the day came after it was frozen; such rows are in data/too_late_rows until they are replayed.",
        blocking=False,
        is_about_arrival=True,
    ),
    _table_rule(
        "raw_events",
        "late_share_is_within_tolerance",
        "reopening_share",
        "At most 10 % of the day's rows, unless set otherwise, came after it was complete, its first files aside.",
        kind="limit",
        tolerance=0.10,
        blocking=False,
        when_null="no rows",
        is_about_arrival=True,
    ),
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
    _volume_rule(
        "validated_events",
        "The day has between half and twice the mean row count of the published days among the 7 before it.",
    ),
    _table_rule(
        "validated_events",
        REJECTED_SHARE,
        "rejected_share",
        "Of no source do over 5 % of the day's raw rows, and 3 or more, fail a row rule, unless set or stated otherwise.",
        kind="limit",
        tolerance=0.05,
        when_null="no rows",
    ),
    _table_rule(
        "validated_events",
        FIELDS_AS_BEFORE,
        "unusual_fields",
        "No field of a source is emptied or filled otherwise, and no event type gone, against its days among the 7 before.",
        kind="limit",
        blocking=False,
        is_about_arrival=True,
    ),
    _table_rule(
        "validated_events",
        "declared_fields_are_filled",
        "declared_fields_not_filled",
        "Each field that its contract names under `filled` has a value in the declared share of the source's valid rows.",
    ),
    _table_rule(
        "validated_events",
        NEARLY_ALL_VALID,
        "rejected_share_or_whole_event_type",
        "Of no source are over 1 % of the day's rows rejected, nor all rows of an event type with 3 or more (counts as 1).",
        kind="limit",
        tolerance=0.01,
        blocking=False,
        when_null="no rows",
    ),
    _table_rule(
        "validated_events",
        "each_event_type_is_mostly_valid",
        "largest_rejected_share_of_an_event_type",
        "Of no source's event type with 30 rows or more does over a quarter break rules: rare events cannot vanish unseen.",
        kind="limit",
        tolerance=0.25,
        when_null="no event type has 30 rows",
    ),
    _table_rule(
        "validated_events",
        CONTRACT_RULES_HOLD,
        "broken_contract_rules",
        "No rule under `expect:` of a contract is broken by more of its source's rows than it tolerates.",
    ),
    _table_rule(
        "validated_events",
        WARNING_RULES_HOLD,
        "broken_warning_rules",
        "No rule of a contract that warns is broken by more rows than it tolerates, and each could judge all its rows.",
        kind="limit",
        blocking=False,
    ),
    _table_rule(
        "validated_events",
        "duplicate_share_is_within_tolerance",
        "duplicate_share",
        "Of no source are over 10 % of the day's raw rows duplicates, unless set otherwise.",
        kind="limit",
        tolerance=0.10,
        blocking=False,
        when_null="no rows",
    ),
    _table_rule(
        "validated_events",
        "duplicates_are_identical",
        "differing_duplicates",
        "A row that repeats an event_id of its day has the content of the row that was kept.",
        kind="limit",
        blocking=False,
    ),
    _table_rule(
        "validated_events",
        "order_within_an_instant_is_stated",
        "unstated_order_share",
        "Of no source do over 0.1 % of the day's rows share session and instant with others, in an order nobody stated.",
        kind="limit",
        tolerance=0.001,
        blocking=False,
        when_null="no rows",
    ),
    _table_rule(
        "validated_events",
        "ids_are_not_placeholders",
        "placeholder_ids",
        "No row has a placeholder like undefined, anonymous or <script> where an id belongs, that its contract does not list.",
        kind="limit",
        blocking=False,
    ),
    _table_rule(
        "validated_events",
        "no_id_is_unusually_frequent",
        "unusually_frequent_ids",
        "No user and no session has far more of its source's rows than all others but three: it may be many in one.",
        kind="limit",
        blocking=False,
    ),
    _table_rule(
        "validated_events",
        "sessions_have_one_user",
        "share_of_rows_in_shared_sessions",
        "Of no source are over 1 % of the day's rows in sessions with several users, unless set otherwise.",
        kind="limit",
        tolerance=0.01,
        blocking=False,
        when_null="no rows",
    ),
    _table_rule(
        "validated_events",
        "event_ids_are_there_for_all_rows_or_none",
        "events_without_ids_beside_others",
        "No event lacks an event id where others of its source have one: by its values it may be counted twice.",
        kind="limit",
        blocking=False,
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
    _table_rule(
        "session_features",
        "features_are_known_at_prediction_time",
        "rows_that_differ_on_a_truncated_log",
        "Recomputed on a log that ends at the event, the features of 64 events of the day are the same.",
    ),
    _table_rule("session_features", "event_ids_are_unique", "duplicate_event_ids", "No event_id occurs twice."),
    _table_rule(
        "session_features",
        "event_ids_are_unique_across_neighbouring_days",
        "event_ids_on_a_neighbouring_day",
        "No event_id of the day is also one of the day before or after: an event has one time.",
        kind="limit",
        blocking=False,
    ),
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
        "date_partitions",
        "no_feature_tells_the_label",
        "largest_plausible_auc_of_a_feature",
        "No single feature orders positives before negatives so well that it must be the label in disguise.",
        kind="limit",
        tolerance=AUC_BOUND,
        when_null="too few rows of a class to tell",
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
        "sessions_are_in_one_fold",
        "sessions_in_several_folds",
        "All rows of a session are in one fold: no session has users of two. Loading by folds leaves the others out.",
        kind="limit",
        blocking=False,
    ),
    _table_rule(
        "stratified_partitions",
        "rows_are_in_the_fold_of_their_user",
        "rows_in_the_wrong_file",
        "Each row is in the fold that follows from its user, so that a user has one fold on every day.",
    ),
    _table_rule(
        "stratified_partitions",
        "label_rate_per_fold_is_in_line",
        "largest_label_rate_z_score",
        "No fold's positives differ from what its rows make one expect by more than 4 standard deviations over users.",
        kind="limit",
        tolerance=Z_LIMIT,
        blocking=False,
        when_null="too few users to tell",
    ),
)
