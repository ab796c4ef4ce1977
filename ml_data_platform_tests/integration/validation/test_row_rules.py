"""Each row rule against values judged by hand, through real Great Expectations."""

from __future__ import annotations

import functools
from itertools import accumulate

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from ml_data_platform.validation.runner import RowValidator
from ml_data_platform.validation.suites import ROW_RULES
from ml_data_platform_tests.validation_rows import (
    EVENT_COLUMNS,
    FEATURE_COLUMNS,
    GOOD_SESSION,
    GOOD_USER,
    arrow_rows,
)

NAN, INF = float("nan"), float("inf")

# Rule: (column, values, positions that break the rule)
EVENT_CASES = {
    "event_ids_are_present": ("event_id", ["a", None, "b", None], [1, 3]),
    "user_ids_are_present": ("user_id", [None, GOOD_USER, GOOD_USER, GOOD_USER], [0]),
    "session_uuids_are_present": ("session_uuid", [GOOD_SESSION, GOOD_SESSION, GOOD_SESSION, None], [3]),
    "event_types_are_present": ("event_type", ["search", None, None, "other"], [1, 2]),
    "event_timestamps_are_present": ("event_timestamp", [None, 0, 1, None], [0, 3]),
    "event_types_are_known": (
        "event_type",
        ["page_view", "add_to_cart", "purchase", "search", "other", None, "Purchase", "", "purchase ", "page_view\n"],
        [6, 7, 8, 9],
    ),
    "event_ids_are_short": ("event_id", ["a", "a" * 256, "a" * 257, None, "", "é" * 256, "é" * 257], [2, 4, 6]),
    "session_durations_are_in_range": (
        "session_duration_seconds",
        [0.0, -0.001, 86_400.0, 86_400.001, None, -INF, INF, NAN, -0.0],
        [1, 3, 5, 6],
    ),
    "purchase_amounts_are_in_range": (
        "purchase_amount_usd",
        [0.0, 50_000.0, 50_000.01, -0.01, None, 19.99, INF, NAN],
        [2, 3, 6],
    ),
    "session_durations_are_numbers": (
        "unreadable_session_duration_seconds",
        [None, "12s", "", None],
        [1, 2],
    ),
    "purchase_amounts_are_numbers": ("unreadable_purchase_amount_usd", ["NaN", None, None, "1,5"], [0, 3]),
    "sequences_are_integers": ("unreadable_sequence", [None, None, "1.5", None], [2]),
    "labels_are_binary": ("unreadable_label", [None, "2", None, "yes"], [1, 3]),
    "text_fields_are_scalars": ("nested_fields", [None, None, None, "user_id"], [3]),
    "labels_are_present_where_declared": ("label_is_missing", [False, True, False, True], [1, 3]),
}
FEATURE_CASES = {
    "event_ids_are_present": ("event_id", ["a", None], [1]),
    "user_ids_are_present": ("user_id", [None, GOOD_USER], [0]),
    "session_uuids_are_present": ("session_uuid", [None, None], [0, 1]),
    "event_timestamps_are_present": ("event_timestamp", [0, None], [1]),
    "hours_of_day_are_in_range": ("hour_of_day", [0, 23, 24, -1, 127], [2, 3, 4]),
    "days_of_week_are_in_range": ("day_of_week", [0, 6, 7, -1], [2, 3]),
    "session_event_counts_are_positive": ("session_event_count", [1, 2, 2**62, -1], [3]),
    "session_elapsed_seconds_are_in_range": (
        "session_elapsed_seconds",
        [0.0, 86_400.0, 86_400.5, -0.5],
        [2, 3],
    ),
    "seconds_since_previous_event_are_in_range": (
        "seconds_since_previous_event",
        [None, 0.0, 86_400.0, 86_401.0, -1.0],
        [3, 4],
    ),
    "session_cart_counts_are_not_negative": ("session_cart_count", [0, -1, 4], [1]),
    "session_search_counts_are_not_negative": ("session_search_count", [0, 1, -5, 2**62], [2]),
    "session_purchase_counts_before_are_not_negative": ("session_purchase_count_before", [-1, 0, 3], [0]),
    "session_spend_cents_before_are_not_negative": ("session_spend_cents_before", [0, 5_000_000, -1], [2]),
    "session_cart_counts_do_not_exceed_event_counts": ("session_cart_count", [0, 4, 5, None, 3], [2, 3]),
}


CASES = {"validated_events": EVENT_CASES, "session_features": FEATURE_CASES}
COLUMNS = {"validated_events": EVENT_COLUMNS, "session_features": FEATURE_COLUMNS}
ALL_CASES = [(asset, rule) for asset, cases in CASES.items() for rule in cases]


def as_arrow_frame(rows: pa.Table) -> pd.DataFrame:
    """Return the frame that Arrow makes."""
    return rows.to_pandas()


def as_duckdb_frame(rows: pa.Table) -> pd.DataFrame:
    """Return the frame that comes out of DuckDB through Arrow."""
    with duckdb.connect() as connection:
        return connection.sql("SELECT * FROM rows").to_arrow_table().to_pandas()


def as_masked_frame(rows: pa.Table) -> pd.DataFrame:
    """Return a frame of pandas' nullable types."""
    return rows.to_pandas().convert_dtypes()


def as_object_frame(rows: pa.Table) -> pd.DataFrame:
    """Return a frame of Python objects, None where a value is missing."""
    return pd.DataFrame({name: pd.Series(rows[name].to_pylist(), dtype="object") for name in rows.column_names})


@pytest.fixture(scope="module")
def found_in_all_cases():
    """Validate the rows of all cases of an asset at once; return each rule's positions within its own case."""

    @functools.cache
    def find(asset, as_frame):
        cases = CASES[asset]
        tables = [arrow_rows(COLUMNS[asset], len(values), {column: values}) for column, values, _ in cases.values()]
        found = RowValidator(ROW_RULES[asset]).validate(as_frame(pa.concat_tables(tables)))
        starts = accumulate((table.num_rows for table in tables), initial=0)
        return {
            rule: [position - start for position in found[rule].tolist() if 0 <= position - start < len(cases[rule][1])]
            for rule, start in zip(cases, starts, strict=False)
        }

    return find


def test_every_row_rule_has_a_case():
    """No rule goes without a hand-made judgement."""
    assert {asset: {rule.name for rule in rules} for asset, rules in ROW_RULES.items()} == {
        asset: set(cases) for asset, cases in CASES.items()
    }


@pytest.mark.parametrize("as_frame", [as_arrow_frame, as_duckdb_frame, as_masked_frame, as_object_frame])
@pytest.mark.parametrize(("asset", "rule"), ALL_CASES)
def test_a_rule_finds_exactly_the_bad_rows(found_in_all_cases, asset, rule, as_frame):
    """A rule reports the positions judged bad by hand and no other, whatever the column types of the frame."""
    assert found_in_all_cases(asset, as_frame)[rule] == CASES[asset][rule][2]


@pytest.mark.parametrize("asset", CASES)
def test_good_rows_break_no_rule(asset):
    """Every rule passes a row that has nothing wrong."""
    found = RowValidator(ROW_RULES[asset]).validate(arrow_rows(COLUMNS[asset], 4).to_pandas())
    assert {name: positions.tolist() for name, positions in found.items()} == {
        rule.name: [] for rule in ROW_RULES[asset]
    }
