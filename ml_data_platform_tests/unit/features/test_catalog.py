"""The column catalog."""

from __future__ import annotations

import pyarrow as pa
import pytest

from ml_data_platform.features.catalog import (
    CATALOG,
    DATE_PARTITIONS,
    LABEL_PARTITIONS,
    ROLES,
    SESSION_FEATURES,
    SESSION_SUMMARIES,
    STRATIFIED_PARTITIONS,
    columns_with_role,
    feature_columns,
    label_side_columns,
    stratified_table,
)

TABLES = (SESSION_FEATURES, SESSION_SUMMARIES, DATE_PARTITIONS, LABEL_PARTITIONS, STRATIFIED_PARTITIONS)


def test_features_are_those_agreed() -> None:
    """The features, in file order, are exactly these ten, in every table that has features."""
    expected = (
        "hour_of_day",
        "day_of_week",
        "is_weekend",
        "session_event_count",
        "session_elapsed_seconds",
        "seconds_since_previous_event",
        "session_cart_count",
        "session_search_count",
        "session_purchase_count_before",
        "session_spend_cents_before",
    )
    for table in ("session_features", "date_partitions", "label_partitions", "stratified_partitions"):
        assert feature_columns(table) == expected
    assert feature_columns("session_summaries") == ()


def test_no_feature_is_label_side() -> None:
    """The catalog contradicts itself nowhere: features are known at the event, labels only later."""
    for table, columns in CATALOG.items():
        assert label_side_columns(feature_columns(table)) == ()
        for column in columns:
            assert column.role in ROLES
            if column.role == "label":
                assert column.availability == "label_side"


@pytest.mark.parametrize(
    "name",
    ["has_purchase", "purchase_count", "session_purchase_count", "converted", "session_spend_cents", "label", "spend_cents",
     "session_duration_seconds", "session_end", "label_is_mature", " Has_Purchase "],
)  # fmt: skip
def test_names_that_tell_the_label_are_found(name: str) -> None:
    """Totals over a whole session and the labels themselves are violations, however they are spelled."""
    assert label_side_columns(["hour_of_day", name, "session_event_count"]) == (name,)


def test_every_column_is_described_and_typed() -> None:
    """Each entry says what it means; instants are aware microseconds, counts 64-bit integers."""
    for columns in CATALOG.values():
        assert len({column.name for column in columns}) == len(columns)
        for column in columns:
            assert len(column.description) > 10
            if pa.types.is_timestamp(column.type):
                assert column.type == pa.timestamp("us", tz="UTC")
            if "count" in column.name:
                assert column.type == pa.int64()


def test_keys_and_orders_are_columns_and_orders_are_total() -> None:
    """A table sorts by columns it has, ending in its key, so that no two rows tie."""
    for table in TABLES:
        assert set(table.key) <= set(table.columns.names)
        assert set(table.key) <= set(table.sort) <= set(table.columns.names)


def test_the_split_value_is_in_the_path_only_where_hive_readers_would_see_it_twice() -> None:
    """``label`` is not a column of label files (the path carries it), but of all other training files."""
    assert "label" not in LABEL_PARTITIONS.columns.names
    assert "label" in DATE_PARTITIONS.columns.names
    assert "label" in STRATIFIED_PARTITIONS.columns.names
    assert "fold" not in STRATIFIED_PARTITIONS.columns.names
    assert columns_with_role("label", "date_partitions") == ("label",)


def test_training_tables_hold_no_other_label_side_column() -> None:
    """Besides the label, a training file has nothing that tells it."""
    for table in (DATE_PARTITIONS, LABEL_PARTITIONS, STRATIFIED_PARTITIONS):
        assert set(label_side_columns(table.columns.names)) <= {"label"}


def test_fold_files_follow_the_number_of_folds() -> None:
    """One file per fold, numbered from 0."""
    assert stratified_table(3).files == ("fold=0/data.parquet", "fold=1/data.parquet", "fold=2/data.parquet")
    assert len(STRATIFIED_PARTITIONS.files) == 5
