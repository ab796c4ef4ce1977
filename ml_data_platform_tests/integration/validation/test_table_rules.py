"""Table rules on metrics, as values judged by hand and real Great Expectations judge them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ml_data_platform.errors import ValidationSetupError
from ml_data_platform.validation.expectations import suite_for
from ml_data_platform.validation.outcomes import is_blocked
from ml_data_platform.validation.runner import check_metrics
from ml_data_platform.validation.suites import ROW_RULES, TABLE_RULES, metric_names, with_tolerances

HEALTHY = {"row_count_ratio_to_previous_7_days": 1.1}

# (asset, rule, metric, values that hold, values that do not)
CASES = [
    ("raw_events", "rows_are_accounted_for", "unaccounted_rows", [0], [1, -1, 10**9]),
    (
        "raw_events",
        "row_count_is_in_line_with_the_previous_7_days",
        "row_count_ratio_to_previous_7_days",
        [0.5, 1, 2.0, None],
        [0, 0.499, 2.001],
    ),
    ("raw_events", "no_rows_are_too_late", "too_late_rows", [0], [1, 10**9]),
    ("raw_events", "late_share_is_within_tolerance", "reopening_share", [0, 0.1, None], [0.1001, 1]),
    ("validated_events", "event_ids_are_unique", "duplicate_event_ids", [0], [1, 7]),
    ("validated_events", "rows_are_accounted_for", "unaccounted_rows", [0], [1, -3]),
    ("validated_events", "event_days_match_partition", "rows_outside_the_day", [0], [1]),
    (
        "validated_events",
        "row_count_is_in_line_with_the_previous_7_days",
        "row_count_ratio_to_previous_7_days",
        [0.5, 2.0, None],
        [0, 3],
    ),
    ("validated_events", "rejected_share_is_within_tolerance", "rejected_share", [0, 0.05, None], [0.0501, 1]),
    ("validated_events", "fields_are_filled_as_on_the_days_before", "unusual_fields", [0], [1, 12]),
    ("validated_events", "declared_fields_are_filled", "declared_fields_not_filled", [0], [1, 3]),
    ("validated_events", "order_within_an_instant_is_stated", "unstated_order_share", [0, 0.001], [0.0011, 1]),
    (
        "validated_events",
        "nearly_all_rows_are_valid",
        "rejected_share_or_whole_event_type",
        [0, 0.01, None],
        [0.0101, 1],
    ),
    (
        "validated_events",
        "each_event_type_is_mostly_valid",
        "largest_rejected_share_of_an_event_type",
        [0, 0.25, None],
        [0.26, 1],
    ),
    ("validated_events", "contract_expectations_hold", "broken_contract_rules", [0], [1, 7]),
    ("validated_events", "contract_expectations_that_warn_hold", "broken_warning_rules", [0], [1, 7]),
    ("validated_events", "duplicate_share_is_within_tolerance", "duplicate_share", [0, 0.1, None], [0.1001, 1]),
    ("validated_events", "duplicates_are_identical", "differing_duplicates", [0], [1, 9]),
    (
        "validated_events",
        "order_within_an_instant_is_stated",
        "unstated_order_share",
        [0, 0.001, None],
        [0.0011, 1],
    ),
    ("validated_events", "ids_are_not_placeholders", "placeholder_ids", [0], [1, 10**6]),
    ("validated_events", "no_id_is_unusually_frequent", "unusually_frequent_ids", [0], [1, 4]),
    (
        "validated_events",
        "sessions_have_one_user",
        "share_of_rows_in_shared_sessions",
        [0, 0.01, None],
        [0.0101, 1],
    ),
    (
        "validated_events",
        "event_ids_are_there_for_all_rows_or_none",
        "events_without_ids_beside_others",
        [0],
        [1, 10**6],
    ),
    ("quarantined_events", "rows_are_accounted_for", "unaccounted_rows", [0], [2, -2]),
    ("session_features", "rows_equal_validated_events", "row_count_difference_to_validated_events", [0], [1, -1]),
    ("session_features", "label_side_columns_are_absent", "label_side_columns", [0], [1]),
    ("session_features", "labels_are_null_until_mature", "immature_rows_with_label", [0], [1]),
    (
        "session_features",
        "features_are_known_at_prediction_time",
        "rows_that_differ_on_a_truncated_log",
        [0],
        [1, 64],
    ),
    ("session_features", "event_ids_are_unique", "duplicate_event_ids", [0], [1]),
    (
        "session_features",
        "event_ids_are_unique_across_neighbouring_days",
        "event_ids_on_a_neighbouring_day",
        [0],
        [1, 40],
    ),
    ("session_summaries", "sessions_are_unique", "duplicate_sessions", [0], [1]),
    ("session_summaries", "event_counts_add_up", "event_count_difference_to_validated_events", [0], [1, -1]),
    ("date_partitions", "only_mature_rows", "immature_rows", [0], [1]),
    ("date_partitions", "rows_equal_mature_rows", "row_count_difference_to_mature_rows", [0], [1, -1]),
    ("date_partitions", "label_side_columns_are_absent", "label_side_columns", [0], [2]),
    (
        "date_partitions",
        "no_feature_tells_the_label",
        "largest_plausible_auc_of_a_feature",
        [0, 0.5, 0.97, None],
        [0.971, 1],
    ),
    ("label_partitions", "each_mature_row_is_in_exactly_one_label_file", "rows_missing_or_repeated", [0], [1, -1]),
    ("label_partitions", "labels_match_their_file", "rows_in_the_wrong_file", [0], [1]),
    ("stratified_partitions", "each_mature_row_is_in_exactly_one_fold", "rows_missing_or_repeated", [0], [1, -1]),
    ("stratified_partitions", "users_are_in_one_fold", "users_in_several_folds", [0], [1]),
    ("stratified_partitions", "sessions_are_in_one_fold", "sessions_in_several_folds", [0], [1]),
    ("stratified_partitions", "rows_are_in_the_fold_of_their_user", "rows_in_the_wrong_file", [0], [1]),
    (
        "stratified_partitions",
        "label_rate_per_fold_is_in_line",
        "largest_label_rate_z_score",
        [0.0, 3.9, 4.0, None],
        [4.1, 100],
    ),
]


def healthy(asset):
    """Return metrics with which all rules of the asset hold."""
    return {name: HEALTHY.get(name, 0) for name in metric_names(asset)}


def test_every_table_rule_has_a_case():
    """No table rule goes without values judged by hand."""
    declared = {(rule.asset, rule.name) for rules in TABLE_RULES.values() for rule in rules}
    assert {(asset, rule) for asset, rule, *_ in CASES} == declared


@pytest.mark.parametrize(("asset", "rule", "metric", "good", "bad"), CASES, ids=[f"{c[0]}-{c[1]}" for c in CASES])
def test_a_metric_out_of_bounds_fails_its_rule_alone(asset, rule, metric, good, bad):
    """A bad metric fails exactly the rule that reads it, and good metrics fail none."""
    rules = TABLE_RULES[asset]
    for value in good:
        assert [o.name for o in check_metrics(rules, healthy(asset) | {metric: value}) if not o.passed] == []
    for value in bad:
        outcomes = check_metrics(rules, healthy(asset) | {metric: value})
        assert [o.name for o in outcomes] == [r.name for r in rules]
        assert [o.name for o in outcomes if not o.passed] == [rule]


@pytest.mark.parametrize("asset", sorted(TABLE_RULES))
def test_great_expectations_says_the_same_of_every_bound(asset):
    """What a suite that was written out finds: the values judged by hand, the bounds and the floats next to them."""
    rules = tuple(rule for rule in TABLE_RULES[asset] if rule.scope == "table")
    ends = [rule.kwargs[end] for rule in rules for end in ("min_value", "max_value")]
    values = [value for case in CASES for value in (*case[3], *case[4]) if value is not None]
    values += [np.nextafter(end, towards) for end in ends for towards in (-np.inf, np.inf)] + ends
    metrics = dict.fromkeys(metric_names(asset))
    found = suite_for(rules).evaluate(pd.DataFrame({name: pd.Series(values, dtype="float64") for name in metrics}))
    for position, value in enumerate(values):
        outcomes = {each.name: each.passed for each in check_metrics(rules, dict.fromkeys(metrics, value))}
        assert outcomes == {rule.name: position not in found[rule.name] for rule in rules}, value


def test_outcomes_say_what_was_found_and_expected():
    """The observed text names the metric, its value and its bounds; a null says what it means."""
    metrics = healthy("validated_events") | {
        "duplicate_event_ids": 1_234,
        "rejected_share": 0.0625,
        "row_count_ratio_to_previous_7_days": None,
        "duplicate_share": None,
    }
    outcomes = {outcome.name: outcome for outcome in check_metrics(TABLE_RULES["validated_events"], metrics)}
    assert {name: outcome.observed for name, outcome in outcomes.items()} == {
        "event_ids_are_unique": "duplicate_event_ids = 1,234, expected 0",
        "rows_are_accounted_for": "unaccounted_rows = 0, expected 0",
        "event_days_match_partition": "rows_outside_the_day = 0, expected 0",
        "row_count_is_in_line_with_the_previous_7_days": "row_count_ratio_to_previous_7_days = no history, expected 0.5..2",
        "rejected_share_is_within_tolerance": "rejected_share = 0.0625, expected 0..0.05",
        "fields_are_filled_as_on_the_days_before": "unusual_fields = 0, expected 0",
        "declared_fields_are_filled": "declared_fields_not_filled = 0, expected 0",
        "order_within_an_instant_is_stated": "unstated_order_share = 0, expected 0..0.001",
        "nearly_all_rows_are_valid": "rejected_share_or_whole_event_type = 0, expected 0..0.01",
        "each_event_type_is_mostly_valid": "largest_rejected_share_of_an_event_type = 0, expected 0..0.25",
        "contract_expectations_hold": "broken_contract_rules = 0, expected 0",
        "contract_expectations_that_warn_hold": "broken_warning_rules = 0, expected 0",
        "duplicate_share_is_within_tolerance": "duplicate_share = no rows, expected 0..0.1",
        "duplicates_are_identical": "differing_duplicates = 0, expected 0",
        "ids_are_not_placeholders": "placeholder_ids = 0, expected 0",
        "no_id_is_unusually_frequent": "unusually_frequent_ids = 0, expected 0",
        "sessions_have_one_user": "share_of_rows_in_shared_sessions = 0, expected 0..0.01",
        "event_ids_are_there_for_all_rows_or_none": "events_without_ids_beside_others = 0, expected 0",
    }
    counts = {name: (outcome.evaluated, outcome.unexpected) for name, outcome in outcomes.items()}
    assert counts["event_ids_are_unique"] == (1, 1)
    assert counts["rows_are_accounted_for"] == (1, 0)
    assert counts["duplicate_share_is_within_tolerance"] == (0, 0)
    assert is_blocked(outcomes.values())


def test_a_warning_does_not_block():
    """An unusual volume is reported and published."""
    outcomes = check_metrics(
        TABLE_RULES["raw_events"], healthy("raw_events") | {"row_count_ratio_to_previous_7_days": 9.0}
    )
    assert [outcome.passed for outcome in outcomes] == [True, False, True, True]
    assert not is_blocked(outcomes)


def test_a_tolerance_moves_the_bound():
    """With a tolerance of 20 %, a rejected share of 15 % passes."""
    rules = with_tolerances(TABLE_RULES["validated_events"], {"rejected_share_is_within_tolerance": 0.2})
    assert not is_blocked(check_metrics(rules, healthy("validated_events") | {"rejected_share": 0.15}))
    assert is_blocked(check_metrics(rules, healthy("validated_events") | {"rejected_share": 0.21}))


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_metric_without_a_value_never_passes(value):
    """A null passes, so a null where a number is owed is an error."""
    with pytest.raises(ValidationSetupError) as caught:
        check_metrics(TABLE_RULES["raw_events"], {"unaccounted_rows": value, "row_count_ratio_to_previous_7_days": 1})
    assert (caught.value.rule, caught.value.column) == ("rows_are_accounted_for", "unaccounted_rows")


@pytest.mark.parametrize(
    "changes",
    [
        {"expectation": "ExpectColumnValuesToNotBeNull"},
        {"kwargs": {"column": "too_late_rows", "min_value": 0}},
        {"kwargs": {"column": "too_late_rows", "min_value": 0, "max_value": 1, "strict_max": True}},
    ],
)
def test_a_table_rule_that_is_no_closed_interval_is_refused(changes):
    """It is compared here, so what Great Expectations could say of other rules must not be passed over."""
    (rule,) = [each for each in TABLE_RULES["raw_events"] if each.name == "no_rows_are_too_late"]
    with pytest.raises(ValidationSetupError, match="no closed interval"):
        check_metrics([replace(rule, **changes)], {"too_late_rows": 0})


def test_a_missing_metric_is_an_error_even_where_null_is_allowed():
    """Null is a statement about history; absence is a mistake."""
    with pytest.raises(ValidationSetupError, match="no such metric"):
        check_metrics(TABLE_RULES["raw_events"], {"unaccounted_rows": 0})


def test_row_rules_are_not_run_on_metrics():
    """A row rule judges rows, not metrics."""
    with pytest.raises(ValidationSetupError, match="wrong scope"):
        check_metrics(ROW_RULES["session_features"], {})


def test_no_rules_give_no_outcomes():
    """Nothing asked, nothing answered."""
    assert check_metrics((), {"unaccounted_rows": 1}) == ()
