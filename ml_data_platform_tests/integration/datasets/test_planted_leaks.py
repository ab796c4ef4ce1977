"""Leaks in the definition of a feature, and leaks that were published and pinned: none is built, none is handed out."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from ml_data_platform.datasets.checkout import check_out
from ml_data_platform.datasets.firewall import inspect_features
from ml_data_platform.datasets.load_dataset import load_dataset
from ml_data_platform.errors import LeakageError
from ml_data_platform.features import queries
from ml_data_platform.features.queries import session_features_query
from ml_data_platform_tests.faults.datasets.killed_cuts import cut_now, repository_at
from ml_data_platform_tests.session_logs import as_table
from ml_data_platform_tests.session_oracle import Event
from ml_data_platform_tests.training_days import fold_of, nth, publish_events, publish_features, store_at

DAYS = 3
SEEN = dt.datetime.combine(nth(DAYS + 3), dt.time(), dt.UTC)
THE_DAY = nth(2)


def crowded_log() -> list[Event]:
    """Three days of sessions: many over midnight, events of one second, rare purchases, some declared labels."""
    rng = random.Random(3)
    events = []
    for number in range(DAYS * 60):
        at = dt.datetime.combine(nth(1 + number // 60), dt.time(), dt.UTC) + dt.timedelta(hours=rng.uniform(0, 23.9))
        buys = rng.random() < 0.4
        for step in range(rng.randrange(2, 9)):
            kind = rng.choice(["page_view", "search", "add_to_cart" if buys else "page_view"])
            if buys and step and rng.random() < 0.25:
                kind = "purchase"
            events.append(
                Event(
                    f"shop:{number}-{step}",
                    at,
                    kind,
                    session=f"s{number}",
                    user=f"usr_{rng.randrange(70) if step == 0 else int(events[-1].user[4:], 16):016x}",
                    sequence=step,
                    cents=1999 if kind == "purchase" else None,
                )
            )
            at += dt.timedelta(seconds=rng.choice([0, 0, 30, 900, 1800]))
    return [event for event in events if event.at < dt.datetime.combine(nth(DAYS + 1), dt.time(), dt.UTC)]


@pytest.fixture(scope="module")
def log() -> list[Event]:
    """The log."""
    return crowded_log()


@pytest.fixture(scope="module")
def connection(log: list[Event]) -> Iterator[duckdb.DuckDBPyConnection]:
    """The log as the table ``events``; a row says how long its session will be, and every tenth has a declared label."""
    lasts = {event.session: max(each.at for each in log if each.session == event.session) for event in log}
    starts = {event.session: min(each.at for each in log if each.session == event.session) for event in log}
    rows = as_table(replace(event, label=number % 2 if number % 10 == 0 else None) for number, event in enumerate(log))
    seconds = [(lasts[event.session] - starts[event.session]).total_seconds() for event in log]
    place = rows.schema.get_field_index("session_duration_seconds")
    with duckdb.connect() as opened:
        opened.execute("SET TimeZone = 'UTC'")
        opened.register("rows", rows.set_column(place, rows.schema.field(place), pa.array(seconds, pa.float64())))
        opened.execute("CREATE TABLE events AS SELECT * FROM rows")
        yield opened


CARTS = "count(cart) OVER running - count(cart) OVER expired AS session_cart_count"
PURCHASES = "count(purchase) OVER running - count(purchase) OVER expired AS purchase_count"
BY_TIME = "ORDER BY event_micros RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
DEFINITIONS: dict[str, tuple[str, str]] = {
    "a total over the whole session": (CARTS, "count(cart) OVER (PARTITION BY session_uuid) AS session_cart_count"),
    "a purchase count that counts the event": (
        "purchase_count - coalesce(CAST(purchase AS BIGINT), 0) AS session_purchase_count_before",
        "purchase_count AS session_purchase_count_before",
    ),
    "an amount that holds the event's own": ("window_spend_cents - spend_cents AS", "window_spend_cents AS"),
    "later purchases of the same instant": (
        PURCHASES, f"count(purchase) OVER (PARTITION BY session_uuid {BY_TIME}) AS purchase_count",
    ),
    "the mean label of the session": (
        "session_search_count,\n    purchase_count",
        "CAST(100 * avg(converted) OVER (PARTITION BY session_uuid) AS BIGINT) AS session_search_count,\n    purchase_count",
    ),
    "the label as the producer declared it": (
        CARTS, "CAST(10 + coalesce(declared_label, -1) AS BIGINT) AS session_cart_count",
    ),
    "a duration that is reported when the session is over": (
        "CASE WHEN event_type = 'search' THEN 1 END AS search",
        "CASE WHEN session_duration_seconds > 1800 THEN 1 END AS search",
    ),
    "the rank of the event in its day": (CARTS, "row_number() OVER (ORDER BY event_micros, event_id) AS session_cart_count"),
    "the user over all sessions": (CARTS, "count(cart) OVER (PARTITION BY user_id) AS session_cart_count"),
    "the time until the next event": (
        "lag(event_micros) OVER ordered AS previous_micros",
        "event_micros - 1 - coalesce(lead(event_micros) OVER ordered - event_micros, 0) AS previous_micros",
    ),
    "a missing value that tells the label": (
        "WHEN previous_micros > event_micros", "WHEN converted = 0 AND previous_micros > event_micros",
    ),
    "how many days of the log are still to come": (
        "@weekday(event_timestamp) AS day_of_week",
        "CAST((max(event_micros) OVER () - event_micros) // 60000000 % 100 AS TINYINT) AS day_of_week",
    ),
}  # fmt: skip


def differing(connection: duckdb.DuckDBPyConnection) -> int:
    """Compute the features of a day as the definition has them now, and count what a recomputation finds."""
    connection.execute(
        f"CREATE OR REPLACE TABLE features AS {session_features_query('events', {'shop': SEEN}, THE_DAY)}"
    )
    return inspect_features(connection, "features", "events", THE_DAY).offences


def test_the_definition_knows_nothing_too_early(connection: duckdb.DuckDBPyConnection) -> None:
    """No alarm on ties, sessions over midnight, declared labels and reported durations."""
    assert differing(connection) == 0
    assert connection.execute("SELECT count(*) FROM features").fetchone()[0] > 200  # type: ignore[index]


@pytest.mark.parametrize("leak", DEFINITIONS)
def test_a_definition_that_leaks_is_found(
    connection: duckdb.DuckDBPyConnection, leak: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the leak in the SQL itself, which then computes and recomputes, truncated logs give other values."""
    honest = queries._text("session_features.sql")
    old, new = DEFINITIONS[leak]
    assert honest.count(old) == 1
    monkeypatch.setattr(queries, "_text", lambda _: honest.replace(old, new))
    assert differing(connection) > 0


@dataclass(frozen=True)
class Published:
    """What goes wrong before rows are published.

    Attributes:
        columns: Columns of the features that are replaced, as SQL over ``features`` and ``events``.
        order: Order of the rows.
        fold: Day and user to fold.
    """

    columns: str = ""
    order: str = "event_timestamp, event_id"
    fold: Callable[[dt.date, str], int] = lambda _, user: fold_of(user)


def publish(root: Path, log: list[Event], fault: Published) -> None:
    """Publish three days with their events, and cut a version."""
    store, contents = store_at(root), {}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("events", as_table(log))
        for number in range(1, DAYS + 1):
            day = nth(number)
            of_day = sorted((event for event in log if event.at.date() == day), key=lambda event: event.place)
            contents[str(day)] = publish_events(store, day, as_table(of_day))
            honest = session_features_query("events", {"shop": SEEN}, day)
            replaced = f"SELECT * REPLACE ({fault.columns})" if fault.columns else "SELECT *"
            query = f"{replaced} FROM ({honest}) AS features ORDER BY {fault.order}"
            near = {str(each): contents[str(each)] for each in (nth(number - 1), day) if str(each) in contents}
            publish_features(
                store,
                day,
                connection.sql(query).to_arrow_table(),
                events=near,
                fold=lambda user, day=day: fault.fold(day, user),  # type: ignore[misc]
            )
    cut_now(root)


OWN = "(SELECT count(*) FROM events AS e WHERE e.event_id = features.event_id AND e.event_type = 'purchase')"
TOTAL = (
    "(SELECT count(*) FROM events AS e WHERE e.session_uuid = features.session_uuid AND e.event_type = 'add_to_cart')"
)
MEAN = "CAST(100 * avg(label) OVER (PARTITION BY session_uuid) AS BIGINT)"
EMPIRICAL = "features_are_known_at_prediction_time"
PUBLISHED: dict[str, tuple[Published, str]] = {
    "an aggregate over the future": (Published(f"{TOTAL} AS session_cart_count"), EMPIRICAL),
    "a purchase count that counts the event": (
        Published(f"session_purchase_count_before + {OWN} AS session_purchase_count_before"), EMPIRICAL,
    ),
    "a target encoding fitted on all rows": (Published(f"{MEAN} AS session_search_count"), EMPIRICAL),
    "a label-side column under another name": (
        Published("CAST(label AS BIGINT) AS session_search_count"), "no_feature_tells_the_label",
    ),
    "a row order that tells the label": (Published(order="label DESC, event_id"), "rows_are_in_the_order_of_time"),
    "a user in another fold on another day": (
        Published(fold=lambda day, user: (fold_of(user) + (day == nth(3))) % 5), "users_are_in_one_fold",
    ),
}  # fmt: skip


@pytest.mark.parametrize("leak", PUBLISHED)
def test_what_was_published_and_pinned_with_a_leak_is_not_handed_out(
    tmp_path: Path, log: list[Event], leak: str
) -> None:
    """Whatever let the leak through to the version: loading names the check that stops it."""
    fault, check = PUBLISHED[leak]
    publish(tmp_path / "root", log, fault)
    folds = (0, 1, 2, 3, 4) if "fold" in check else None
    with pytest.raises(LeakageError, match=check):
        load_dataset(root=tmp_path / "root", folds=folds)


def test_clean_days_are_handed_out_and_say_what_was_looked_at(tmp_path: Path, log: list[Event]) -> None:
    """The same without a leak: every row, in either form; a checkout has no events, so there nothing is recomputed."""
    publish(tmp_path / "root", log, Published())
    loaded = load_dataset(root=tmp_path / "root", folds=(0, 1, 2, 3, 4))
    assert loaded.rows == load_dataset(root=tmp_path / "root").rows == len(log)
    assert EMPIRICAL in {each.check for each in loaded.findings}
    repository = repository_at(tmp_path / "root")
    check_out(str(repository.folder), repository.tags()[-1], tmp_path / "checkout")
    assert EMPIRICAL not in {each.check for each in load_dataset(tmp_path / "checkout").findings}
