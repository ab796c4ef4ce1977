"""Eight planted leaks, each caught; thirty clean days, no alarm."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator

import duckdb
import pyarrow as pa
import pytest

from ml_data_platform.datasets.firewall import (
    inspect_columns,
    inspect_features,
    inspect_folds,
    inspect_rows,
    inspect_split,
    require_clean,
)
from ml_data_platform.errors import LeakageError
from ml_data_platform.features.catalog import DATE_PARTITIONS
from ml_data_platform.features.dialects import DUCKDB, render
from ml_data_platform.features.queries import session_features_query
from ml_data_platform.training.leakage import Finding
from ml_data_platform.training.temporal import part_query, split_at
from ml_data_platform_tests.session_logs import as_table
from ml_data_platform_tests.session_oracle import Event

FIRST = dt.date(2026, 3, 1)
DAYS = 30
SEEN = dt.datetime(2026, 4, 2, tzinfo=dt.UTC)
CUTOFF = FIRST + dt.timedelta(days=20)


def shop_log(seed: int) -> list[Event]:
    """Return thirty days of sessions: some cross midnight, carts lead to purchases, users come back."""
    rng = random.Random(seed)
    events = []
    for number in range(DAYS * 22):
        user = rng.randrange(260)
        at = dt.datetime.combine(FIRST, dt.time(), dt.UTC) + dt.timedelta(days=number // 22, hours=rng.uniform(0, 23.9))
        buys = rng.random() < 0.3
        for step in range(rng.randrange(2, 9)):
            kind = rng.choice(["page_view", "search", "add_to_cart" if buys else "page_view"])
            at += dt.timedelta(seconds=rng.randrange(1, 900))
            if buys and step and rng.random() < 0.25:
                kind = "purchase"
            events.append(
                Event(
                    f"shop:{number}-{step}",
                    at,
                    kind,
                    session=f"s{number}",
                    user=f"usr_{user:016x}",
                    source="shop",
                    sequence=step,
                    cents=1999 if kind == "purchase" else None,
                )
            )
    return events


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """The log, its features, and the rows to learn from, as the platform makes them."""
    with duckdb.connect() as opened:
        opened.execute("SET TimeZone = 'UTC'")
        opened.register("log_rows", as_table(shop_log(1)))
        opened.execute("CREATE TABLE events AS SELECT * FROM log_rows")
        days = [FIRST + dt.timedelta(days=number) for number in range(DAYS + 1)]
        parts = [f"({session_features_query('events', {'shop': SEEN}, day)})" for day in days]
        opened.execute(f"CREATE TABLE features AS {' UNION ALL '.join(parts)}")
        names = ", ".join(DATE_PARTITIONS.columns.names)
        opened.execute(f"CREATE TABLE clean AS SELECT {names} FROM features WHERE label_is_mature")
        yield opened


def failed(findings: list[Finding]) -> set[str]:
    """Return the names of the checks that failed."""
    return {each.check for each in findings if not each.passed}


def of_day(number: int) -> str:
    """Return the clean rows of one day."""
    day = FIRST + dt.timedelta(days=number)
    return f"(SELECT * FROM clean WHERE CAST(event_timestamp AS DATE) = DATE '{day}')"


def test_thirty_clean_days_raise_no_alarm(connection: duckdb.DuckDBPyConnection) -> None:
    """Each day by itself, and all of them split and folded: every check passes, and says what it looked at."""
    for number in range(DAYS):
        day = FIRST + dt.timedelta(days=number)
        found = [
            inspect_features(connection, of_day(number), "events", day),
            *inspect_rows(connection, of_day(number), mature_through={"shop": SEEN}),
        ]
        assert failed(found) == set(), found
    assert inspect_columns("date_partitions", DATE_PARTITIONS.columns.names).passed
    split = split_at(CUTOFF)
    train, test = (f"({render(part_query('clean', split, part), DUCKDB)})" for part in ("train", "test"))
    assert min(connection.execute(f"SELECT count(*) FROM {part}").fetchone()[0] for part in (train, test)) > 300
    everything = [
        *inspect_rows(connection, "clean", mature_through={"shop": SEEN}),
        *inspect_split(connection, train, test, split.cutoff, users_may_return=split.keeps_users),
        *inspect_folds(connection, "(SELECT *, hash(user_id) % 5 AS fold FROM clean)"),
    ]
    assert failed(everything) == set()
    require_clean(everything, "clean days")


def day_with(expression: str, name: str = "session_cart_count") -> str:
    """Return the rows of the tenth day with one feature replaced."""
    return f"(SELECT * REPLACE ({expression} AS {name}) FROM {of_day(9)} AS rows)"


SESSION_TOTAL = (
    "(SELECT count(*) FROM events AS e WHERE e.session_uuid = rows.session_uuid AND e.event_type = 'add_to_cart')"
)
WITH_THIS_PURCHASE = (
    "rows.session_purchase_count_before + (SELECT count(*) FROM events AS e WHERE e.event_id = rows.event_id "
    "AND e.event_type = 'purchase')"
)
TARGET_ENCODED = "(SELECT avg(c.label) FROM clean AS c WHERE c.session_uuid = rows.session_uuid)"


def _future_aggregate(connection: duckdb.DuckDBPyConnection) -> list[Finding]:
    return [inspect_features(connection, day_with(SESSION_TOTAL), "events", FIRST + dt.timedelta(days=9))]


def _purchase_itself(connection: duckdb.DuckDBPyConnection) -> list[Finding]:
    rows = day_with(WITH_THIS_PURCHASE, "session_purchase_count_before")
    return [inspect_features(connection, rows, "events", FIRST + dt.timedelta(days=9), sample=200)]


def _user_across_folds(connection: duckdb.DuckDBPyConnection) -> list[Finding]:
    folds = "(SELECT *, CASE WHEN event_id = (SELECT min(event_id) FROM clean) THEN 9 ELSE hash(user_id) % 5 END AS fold FROM clean)"
    return list(inspect_folds(connection, folds))


def _session_across_the_cutoff(connection: duckdb.DuckDBPyConnection) -> list[Finding]:
    at = dt.datetime.combine(CUTOFF, dt.time(), dt.UTC)
    train, test = (f"(SELECT * FROM clean WHERE event_timestamp {side} TIMESTAMPTZ '{at}')" for side in ("<", ">="))
    return list(inspect_split(connection, train, test, at))


def _immature_label(connection: duckdb.DuckDBPyConnection) -> list[Finding]:
    last = connection.execute("SELECT max(event_timestamp) FROM clean").fetchone()[0]
    return list(inspect_rows(connection, "clean", mature_through={"shop": last + dt.timedelta(hours=23)}))


def _target_encoding(connection: duckdb.DuckDBPyConnection) -> list[Finding]:
    rows = f"(SELECT *, {TARGET_ENCODED} AS session_quality FROM clean AS rows)"
    names = [column[0] for column in connection.execute(f"SELECT * FROM {rows} LIMIT 0").description]
    disguised = day_with(f"CAST(1000 * {TARGET_ENCODED} AS BIGINT)")
    return [
        inspect_columns("date_partitions", names),
        inspect_features(connection, disguised, "events", FIRST + dt.timedelta(days=9)),
    ]


def _duplicate_across_parts(connection: duckdb.DuckDBPyConnection) -> list[Finding]:
    split = split_at(CUTOFF)
    train, test = (f"({render(part_query('clean', split, part), DUCKDB)})" for part in ("train", "test"))
    both = f"(SELECT * FROM {train} UNION ALL (SELECT * REPLACE ('shop:copy' AS event_id) FROM {test} ORDER BY event_id LIMIT 1))"
    return list(inspect_split(connection, both, test, split.cutoff))


def _renamed_label(connection: duckdb.DuckDBPyConnection) -> list[Finding]:
    rows = "(SELECT *, label AS cart_propensity FROM clean)"
    names = [column[0] for column in connection.execute(f"SELECT * FROM {rows} LIMIT 0").description]
    disguised = "(SELECT * REPLACE (CAST(label AS BIGINT) AS session_search_count) FROM clean)"
    return [inspect_columns("date_partitions", names), *inspect_rows(connection, disguised)]


LEAKS: dict[str, tuple[Callable[[duckdb.DuckDBPyConnection], list[Finding]], set[str]]] = {
    "an aggregate over the future": (_future_aggregate, {"features_are_known_at_prediction_time"}),
    "a purchase count that counts the event": (_purchase_itself, {"features_are_known_at_prediction_time"}),
    "a user across folds": (_user_across_folds, {"users_are_in_one_fold", "sessions_are_in_one_fold"}),
    "a session across the cutoff": (_session_across_the_cutoff, {"sessions_are_on_one_side"}),
    "an immature label": (_immature_label, {"labels_are_mature"}),
    "a target encoding fitted on all rows": (
        _target_encoding,
        {"columns_are_declared", "features_are_known_at_prediction_time"},
    ),
    "a copy across train and test": (_duplicate_across_parts, {"events_are_there_once"}),
    "a label-side column under another name": (
        _renamed_label,
        {"columns_are_declared", "no_feature_tells_the_label"},
    ),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_every_planted_leak_is_caught(connection: duckdb.DuckDBPyConnection, leak: str) -> None:
    """The check that is there for it fails, with examples, and the rows are refused by name."""
    plant, expected = LEAKS[leak]
    found = plant(connection)
    assert failed(found) >= expected
    assert all(each.examples and each.offences for each in found if not each.passed)
    with pytest.raises(LeakageError, match=min(expected)):
        require_clean(found, leak)


def test_users_on_both_sides_hide_no_other_leak(connection: duckdb.DuckDBPyConnection) -> None:
    """Where users are kept, users alone raise no alarm; a row, a session, a copy or a label across the cutoff does."""
    split = split_at(CUTOFF)
    train, test = (f"({render(part_query('clean', split, part), DUCKDB)})" for part in ("train", "test"))
    one = f"SELECT * FROM {test} ORDER BY event_id LIMIT 1"
    late = f"SELECT * FROM clean WHERE event_timestamp < TIMESTAMPTZ '{split.cutoff}' ORDER BY event_timestamp DESC LIMIT 1"
    session = f"(SELECT session_uuid FROM {test} ORDER BY event_id LIMIT 1)"
    early = f"SELECT * FROM {train} ORDER BY event_id LIMIT 1"
    planted = {
        f"({train})": set(),
        f"(SELECT * FROM {train} UNION ALL ({one}))": {
            "events_are_there_once", "sessions_are_on_one_side", "train_labels_end_before_the_test_part",
        },
        f"(SELECT * FROM {train} UNION ALL (SELECT * REPLACE ('shop:copy' AS event_id) FROM ({one})))": {
            "events_are_there_once", "sessions_are_on_one_side", "train_labels_end_before_the_test_part",
        },
        f"(SELECT * FROM {train} UNION ALL ({late}))": {"train_labels_end_before_the_test_part"},
        f"(SELECT * FROM {train} UNION ALL (SELECT * REPLACE ('shop:more' AS event_id, {session} AS session_uuid) "
        f"FROM ({early})))": {"sessions_are_on_one_side"},
    }  # fmt: skip
    for rows, expected in planted.items():
        assert failed(list(inspect_split(connection, rows, test, split.cutoff, users_may_return=True))) == expected


def test_the_auc_is_that_of_all_pairs() -> None:
    """Against the definition: the share of pairs in which the positive has more, ties half, missing lowest."""
    from ml_data_platform.training.leakage import auc_query

    rng = random.Random(5)
    rows = [(rng.choice([None, 0, 1, 2, 3]), rng.random(), rng.randrange(2)) for _ in range(200)]
    with duckdb.connect() as opened:
        opened.register(
            "rows", pa.table({"a": [r[0] for r in rows], "b": [r[1] for r in rows], "label": [r[2] for r in rows]})
        )
        found = {row[0]: row[1] for row in opened.execute(auc_query("rows", ["a", "b"])).fetchall()}
    for place, name in enumerate(("a", "b")):
        values = [(-1.0 if row[place] is None else row[place], row[2]) for row in rows]
        positive, negative = ([value for value, label in values if label == want] for want in (1, 0))
        pairs = [1.0 if p > n else 0.5 if p == n else 0.0 for p in positive for n in negative]
        assert found[name] == pytest.approx(sum(pairs) / len(pairs))
