"""Folds, label files and their accounting."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from ml_data_platform.errors import SettingsError
from ml_data_platform.features.dialects import DUCKDB, render
from ml_data_platform.training.splits import (
    accounting_query,
    file_query,
    fold_condition,
    fold_expression,
    fold_sums_query,
    label_condition,
    maturity_query,
    shared_users_query,
)

USERS = [f"usr_{hashlib.sha256(str(number).encode()).hexdigest()[:16]}" for number in range(20_000)]


def rows_of(query: str, **relations: pa.Table) -> list[dict[str, Any]]:
    """Run a portable query."""
    with duckdb.connect() as connection:
        for name, table in relations.items():
            connection.register(name, table)
        result: list[dict[str, Any]] = connection.sql(render(query, DUCKDB)).to_arrow_table().to_pylist()
        return result


def folds_of(users: list[str], fold_count: int, salt: str) -> list[int]:
    """The users' folds, by the platform's expression."""
    query = f"SELECT user_id, {fold_expression(fold_count, salt)} AS fold FROM users"
    folds = {row["user_id"]: row["fold"] for row in rows_of(query, users=pa.table({"user_id": users}))}
    return [folds[user] for user in users]


@pytest.mark.parametrize(("fold_count", "salt"), [(2, "fold-1"), (5, "fold-1"), (7, "it's"), (100, "ü")])
def test_a_fold_is_the_users_place_on_the_md5_circle(fold_count: int, salt: str) -> None:
    """The SQL equals floor(k * m / 2**32) with m the first 32 bits of the digest, by hashlib."""
    users = USERS[:2_000]
    expected = [
        int.from_bytes(hashlib.md5(f"{salt}:{user}".encode()).digest()[:4], "big") * fold_count // 2**32
        for user in users
    ]
    assert folds_of(users, fold_count, salt) == expected


def test_folds_are_even() -> None:
    """The sizes of five folds of 20,000 users pass a chi-square test at 1e-4 (4 degrees of freedom: 23.5)."""
    sizes = Counter(folds_of(USERS, 5, "fold-1"))
    assert set(sizes) == set(range(5))
    assert sum((size - 4_000) ** 2 / 4_000 for size in sizes.values()) < 23.5


def test_another_salt_gives_independent_folds() -> None:
    """The joint sizes under two salts pass a chi-square test of independence at 1e-4 (24 degrees: 59.4)."""
    joint = Counter(zip(folds_of(USERS, 5, "fold-1"), folds_of(USERS, 5, "fold-2"), strict=True))
    assert sum((joint[a, b] - 800) ** 2 / 800 for a in range(5) for b in range(5)) < 59.4


@pytest.mark.parametrize("fold_count", [-1, 0, 1, 101])
def test_a_senseless_number_of_folds_is_refused(fold_count: int) -> None:
    """One fold is no split, and more than 100 are no folds."""
    with pytest.raises(SettingsError):
        fold_expression(fold_count, "fold-1")


FEATURES = pa.table(
    {
        "event_id": ["a", "b", "c", "d", "e", "f"],
        "user_id": [USERS[0], USERS[0], USERS[1], USERS[2], USERS[3], USERS[4]],
        "label": pa.array([0, 1, None, 1, 0, None], pa.int8()),
        "label_is_mature": [True, True, False, True, False, True],
    }
)


def test_label_files_share_out_the_mature_rows() -> None:
    """Every mature row is in the file of its label; rows that are immature, or have no label, are in none."""
    files = [
        [
            row["event_id"]
            for row in rows_of(file_query("features", ["event_id"], label_condition(label)), features=FEATURES)
        ]
        for label in (0, 1)
    ]
    assert files == [["a"], ["b", "d"]]


def test_fold_files_share_out_the_mature_rows() -> None:
    """Every mature row is in exactly one fold, and rows of one user in the same."""
    files = [
        {
            row["event_id"]
            for row in rows_of(file_query("features", ["event_id"], fold_condition(fold, 3, "s")), features=FEATURES)
        }
        for fold in range(3)
    ]
    assert sorted(event for file in files for event in file) == ["a", "b", "d"]
    assert any({"a", "b"} <= file for file in files)


def test_maturity_is_counted() -> None:
    """All rows are mature or immature, and positives are mature."""
    assert rows_of(maturity_query("features"), features=FEATURES) == [
        {"rows": 6, "mature": 3, "immature": 3, "positives": 2}
    ]
    empty = rows_of(maturity_query("features"), features=FEATURES.slice(0, 0))
    assert empty == [{"rows": 0, "mature": 0, "immature": 0, "positives": 0}]


@pytest.mark.parametrize(
    ("places", "events", "missing_or_repeated", "wrong"),
    [
        ([0, 1, 1], ["a", "b", "d"], 0, 0),
        ([0, 1], ["a", "b"], 1, 0),
        ([0, 1, 1, 1], ["a", "b", "d", "d"], 1, 0),
        ([0, 1, 1, 0], ["a", "b", "d", "d"], 1, 1),
        ([1, 0, 1], ["a", "b", "d"], 0, 2),
        ([0, 1, 1, 0], ["a", "b", "d", "e"], 1, 0),
        ([], [], 3, 0),
    ],
)
def test_accounting_compares_event_by_event(
    places: list[int], events: list[str], missing_or_repeated: int, wrong: int
) -> None:
    """Lost, doubled, immature and misplaced rows are each counted, also where the totals would agree."""
    files = pa.table({"place": pa.array(places, pa.int64()), "event_id": pa.array(events, pa.string())})
    assert rows_of(accounting_query("features", "files", "label"), features=FEATURES, files=files) == [
        {"rows_missing_or_repeated": missing_or_repeated, "rows_in_the_wrong_file": wrong}
    ]


def test_users_in_several_folds_are_counted_once() -> None:
    """User u is in folds 0 and 1, v and w are in one each; of their sessions, u's and that of v and w are in both."""
    users, sessions = ["u", "v", "u", "u", "w"], ["s", "t", "s", "s", "t"]
    files = pa.table({"place": [0, 0, 1, 1, 1], "user_id": users, "session_uuid": sessions})
    assert rows_of(shared_users_query("files"), files=files) == [
        {"users_in_several_folds": 1, "sessions_in_several_folds": 2}
    ]


def test_fold_sums_are_over_users() -> None:
    """Users with (n, y) = (3, 1), (1, 1) and (2, 0): sums of n, y, n², y², n·y."""
    files = pa.table({"place": [4] * 6, "user_id": list("uuuvww"), "label": pa.array([1, 0, 0, 1, 0, 0], pa.int8())})
    assert rows_of(fold_sums_query("files"), files=files) == [
        {
            "fold": 4,
            "rows": 6,
            "positives": 2,
            "users": 3,
            "rows_squared": 9 + 1 + 4,
            "positives_squared": 2,
            "rows_times_positives": 3 + 1,
        }
    ]
