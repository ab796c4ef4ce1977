"""Rules are data: unique, hashable, and adjustable only where they have a tolerance."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from ml_data_platform.errors import SettingsError, ValidationSetupError
from ml_data_platform.features.catalog import CATALOG
from ml_data_platform.validation.rules import hash_rules, require_unique_names
from ml_data_platform.validation.suites import (
    ROW_RULES,
    TABLE_RULES,
    metric_names,
    rules_for,
    rules_hash,
    with_tolerances,
)

ASSETS = (
    "raw_events",
    "validated_events",
    "quarantined_events",
    "session_features",
    "session_summaries",
    "date_partitions",
    "label_partitions",
    "stratified_partitions",
)
WARNINGS = {
    ("raw_events", "late_share_is_within_tolerance"),
    ("raw_events", "no_rows_are_too_late"),
    ("raw_events", "row_count_is_in_line_with_the_previous_7_days"),
    ("validated_events", "row_count_is_in_line_with_the_previous_7_days"),
    ("validated_events", "duplicate_share_is_within_tolerance"),
    ("validated_events", "duplicates_are_identical"),
    ("validated_events", "nearly_all_rows_are_valid"),
    ("validated_events", "fields_are_filled_as_on_the_days_before"),
    ("validated_events", "order_within_an_instant_is_stated"),
    ("validated_events", "contract_expectations_that_warn_hold"),
    ("validated_events", "event_ids_are_there_for_all_rows_or_none"),
    ("validated_events", "ids_are_not_placeholders"),
    ("validated_events", "no_id_is_unusually_frequent"),
    ("validated_events", "sessions_have_one_user"),
    ("session_features", "event_ids_are_unique_across_neighbouring_days"),
    ("stratified_partitions", "label_rate_per_fold_is_in_line"),
    ("stratified_partitions", "sessions_are_in_one_fold"),
}


def rule_named(asset, name):
    """Return one rule."""
    return next(rule for rule in rules_for(asset) if rule.name == name)


def test_every_asset_has_rules_with_unique_names():
    """Results are matched by name, so each asset's names are unique, and each rule names its own asset."""
    for asset in ASSETS:
        rules = rules_for(asset)
        assert {rule.asset for rule in rules} == {asset}
        assert len({rule.name for rule in rules}) == len(rules)
        require_unique_names(rules)
    assert set(ROW_RULES) | set(TABLE_RULES) == set(ASSETS)


def test_only_the_listed_rules_warn_and_all_others_block():
    """Severity is part of what a rule promises."""
    assert {(rule.asset, rule.name) for asset in ASSETS for rule in rules_for(asset) if not rule.blocking} == WARNINGS


def test_expectations_are_strict():
    """No expectation uses ``mostly``: a rule that passes with it would still leave bad rows behind."""
    assert not [rule.name for asset in ASSETS for rule in rules_for(asset) if "mostly" in rule.kwargs]


def test_feature_rules_read_only_columns_of_the_catalog():
    """A rule on a column that session_features does not have could never run."""
    columns = {column.name for column in CATALOG["session_features"]}
    assert {name for rule in ROW_RULES["session_features"] for name in rule.columns} <= columns


def test_an_asset_without_rules_is_an_error():
    """A misspelt asset does not pass for want of rules."""
    with pytest.raises(ValidationSetupError, match="session_feature") as caught:
        rules_for("session_feature")
    assert "session_features" in caught.value.expected


def test_two_rules_of_one_name_are_refused():
    """The second rule's result would overwrite the first's."""
    rule = rule_named("raw_events", "rows_are_accounted_for")
    with pytest.raises(ValidationSetupError, match="same name"):
        require_unique_names([rule, replace(rule, description="another")])


def test_the_hash_is_the_same_in_another_process_and_order():
    """The hash is an input of a partition, so it depends on the rules alone."""
    code = "from ml_data_platform.validation.suites import rules_hash; print(rules_hash('validated_events'))"
    other = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert other.stdout.strip() == rules_hash("validated_events")
    rules = rules_for("validated_events")
    assert hash_rules(reversed(rules)) == hash_rules(rules) == rules_hash("validated_events")


@pytest.mark.parametrize(
    "change",
    [
        {"tolerance": 0.5},
        {"blocking": False},
        {"kwargs": {"column": "user_id"}},
        {"expectation": "ExpectColumnValuesToBeNull"},
        {"description": "other"},
    ],
)
def test_the_hash_changes_with_each_part_of_a_rule(change):
    """No change of a rule goes unseen."""
    rules = rules_for("validated_events")
    assert hash_rules((replace(rules[0], **change), *rules[1:])) != hash_rules(rules)


def test_hashes_of_assets_differ_and_are_sha256():
    """The hash tells assets apart."""
    hashes = {rules_hash(asset) for asset in ASSETS}
    assert len(hashes) == len(ASSETS)
    assert all(len(text) == 64 and set(text) <= set("0123456789abcdef") for text in hashes)


def test_a_tolerance_is_replaced_alone():
    """Overriding one tolerance changes that rule's tolerance and nothing else, and shows in the hash."""
    rules = rules_for("validated_events")
    changed = with_tolerances(rules, {"user_ids_are_present": 0.2})
    assert [rule.name for rule in changed] == [rule.name for rule in rules]
    assert [(a.name, b.tolerance) for a, b in zip(rules, changed, strict=True) if a != b] == [
        ("user_ids_are_present", 0.2)
    ]
    assert rules_hash("validated_events", {"user_ids_are_present": 0.2}) == hash_rules(changed)
    assert hash_rules(changed) != hash_rules(rules)


def test_tolerances_of_table_rules_become_bounds():
    """A limit bounds the metric from above, a ratio from both sides."""
    changed = with_tolerances(
        rules_for("validated_events"),
        {"rejected_share_is_within_tolerance": 0.25, "row_count_is_in_line_with_the_previous_7_days": 4.0},
    )
    by_name = {rule.name: rule.kwargs for rule in changed}
    assert by_name["rejected_share_is_within_tolerance"] == {
        "column": "rejected_share",
        "min_value": 0,
        "max_value": 0.25,
    }
    assert by_name["row_count_is_in_line_with_the_previous_7_days"] == {
        "column": "row_count_ratio_to_previous_7_days",
        "min_value": 0.25,
        "max_value": 4.0,
    }


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("event_ids_are_unique", 0.1),
        ("user_ids_are_present", -0.1),
        ("user_ids_are_present", 1.1),
        ("user_ids_are_present", float("nan")),
        ("rejected_share_is_within_tolerance", float("inf")),
        ("row_count_is_in_line_with_the_previous_7_days", 0.5),
        ("no_such_rule", 0.1),
    ],
)
def test_a_senseless_tolerance_is_refused(name, tolerance):
    """Exact rules have no tolerance, shares lie in 0..1, ratios are at least 1, names exist."""
    with pytest.raises(SettingsError):
        with_tolerances(rules_for("validated_events"), {name: tolerance})


def test_rules_are_json():
    """Rules are shown in a user interface and hashed, so they survive JSON unchanged."""
    for asset in ASSETS:
        for rule in rules_for(asset):
            assert json.loads(json.dumps(rule.to_json(), allow_nan=False)) == rule.to_json()


def test_metric_names_are_what_table_rules_read():
    """Stages ask which metrics they owe."""
    assert metric_names("quarantined_events") == ("unaccounted_rows",)
    assert metric_names("date_partitions") == (
        "immature_rows",
        "row_count_difference_to_mature_rows",
        "label_side_columns",
        "largest_plausible_auc_of_a_feature",
    )


def test_great_expectations_is_not_imported_with_the_package():
    """Importing rules and runner is cheap: Great Expectations costs seconds and comes in at first use."""
    code = (
        "import sys, ml_data_platform.validation.suites, ml_data_platform.validation.runner;"
        "print(sorted(name for name in sys.modules if name.split('.')[0] == 'great_expectations'))"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.strip() == "[]"
