"""The tutorial way against ours, on the log of a real shop: the leaked AUC and the honest one.

Run by ``make leaks``. The tutorial way: aggregates of whole sessions are merged back onto their events, and rows are dealt
out by StratifiedKFold. Ours: features up to each event, tested on what came after, users apart. The same log, the same
kind of model. The log is read where it lies (``../shared/data`` beside the checkout, or where ``EVENT_LOGS_FOLDER``
says). Its local times are taken as UTC here: nothing that is compared depends on the zone.
"""

from __future__ import annotations

import datetime as dt
import sys
from typing import Any

import duckdb
import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import HistGradientBoostingClassifier

from ml_data_platform.datasets.firewall import inspect_features, inspect_folds, inspect_rows, inspect_split
from ml_data_platform.events.schemas import VALIDATED_EVENTS
from ml_data_platform.events.sql_text import sql_literal
from ml_data_platform.features.catalog import DATE_PARTITIONS, feature_columns
from ml_data_platform.features.dialects import DUCKDB, render
from ml_data_platform.features.queries import session_features_query
from ml_data_platform.storage import duck
from ml_data_platform.training.folds import ACCEPTANCE, FoldChoice, compute_folds
from ml_data_platform.training.leakage import Finding
from ml_data_platform.training.scoring import roc_auc, scores
from ml_data_platform.training.temporal import part_query, split_at
from ml_data_platform_tests.real_logs import FOLDER, SOFTSHOP

SEEN = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
TEST_SHARE = 0.3
FOLDS = 5
OF_WHOLE_SESSIONS = ("session_total_events", "session_seconds", "session_cart_total", "session_last_hour")
out = Console(highlight=False)


def main() -> int:
    """Compare the two ways and print what the firewall says of each; returns the exit status."""
    if not SOFTSHOP.is_file():
        out.print(f"the log of the shop is not in {FOLDER}; EVENT_LOGS_FOLDER names another place")
        return 1
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        days = _prepare(connection)
        table = Table("way", "tested on", "ROC AUC", "rows", "the firewall says")
        tutorial = _tutorial(connection)
        table.add_row(*tutorial)
        for row in _ours(connection, days):
            table.add_row(*row)
        out.print(table)
    return 0


def _prepare(connection: duckdb.DuckDBPyConnection) -> list[dt.date]:
    """Make the tables ``events`` and ``rows``; returns the days."""
    columns = {
        "event_id": "'softshop:' || md5(COOKIE || Date || Time || Click_order || Webpage)",
        "user_id": "COOKIE",
        "session_uuid": "COOKIE",
        "event_type": "CASE Webpage WHEN 'addcart' THEN 'add_to_cart' WHEN 'pay_res' THEN 'purchase' ELSE 'page_view' END",
        "event_timestamp": "CAST(CAST(Date AS VARCHAR) || ' ' || CAST(Time AS VARCHAR) AS TIMESTAMP) AT TIME ZONE 'UTC'",
        "sequence": "Click_order",
        "source": "'softshop'",
    }
    selected = ", ".join(
        f"CAST({columns.get(field.name, 'NULL')} AS {duck.sql_type(field.type)}) AS {field.name}"
        for field in VALIDATED_EVENTS.columns
    )
    connection.execute(
        f"CREATE TABLE events AS SELECT {selected} FROM read_csv({sql_literal(str(SOFTSHOP))}, delim = ';', header = true)"
    )
    days = [
        row[0]
        for row in connection.execute("SELECT DISTINCT CAST(event_timestamp AS DATE) FROM events ORDER BY 1").fetchall()
    ]
    names = ", ".join(DATE_PARTITIONS.columns.names)
    for number, day in enumerate(days):
        near = (
            f"(SELECT * FROM events WHERE CAST(event_timestamp AS DATE) "
            f"BETWEEN DATE '{day - dt.timedelta(days=1)}' AND DATE '{day + dt.timedelta(days=1)}')"
        )
        query = f"SELECT {names} FROM ({session_features_query(near, {'softshop': SEEN}, day)})"
        connection.execute(f"CREATE TABLE rows AS {query}" if number == 0 else f"INSERT INTO rows {query}")
    return days


def _tutorial(connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    """Aggregates of whole sessions merged back onto events, StratifiedKFold over rows."""
    connection.execute(
        """CREATE TABLE tutorial AS SELECT rows.*, t.* EXCLUDE (session) FROM rows JOIN (
            SELECT session_uuid AS session, count(*) AS session_total_events,
            epoch(max(event_timestamp) - min(event_timestamp)) AS session_seconds,
            count(*) FILTER (event_type = 'add_to_cart') AS session_cart_total,
            hour(max(event_timestamp)) AS session_last_hour
            FROM events GROUP BY session_uuid) AS t ON t.session = rows.session_uuid ORDER BY event_id"""
    )
    features = (*feature_columns(), *OF_WHOLE_SESSIONS)
    matrix, labels, users = _read(connection, "tutorial", features)
    folds = compute_folds(FoldChoice("stratified", FOLDS, accepts=ACCEPTANCE), users, labels)
    predicted = np.empty(len(labels))
    for fold in range(FOLDS):
        held_out = folds == fold
        predicted[held_out] = _fit(matrix[~held_out], labels[~held_out]).predict_proba(matrix[held_out])[:, 1]
    connection.register("dealt", _with_folds(connection, folds))
    total = "(SELECT * REPLACE (session_cart_total AS session_cart_count) FROM tutorial)"
    ((day,),) = connection.execute("SELECT mode(CAST(event_timestamp AS DATE)) FROM events").fetchall()
    of_day = f"(SELECT * FROM {total} WHERE CAST(event_timestamp AS DATE) = DATE '{day}')"
    found = [*inspect_folds(connection, "dealt"), inspect_features(connection, of_day, "events", day)]
    return (
        "tutorial: session aggregates, rows dealt out",
        "folds",
        f"{roc_auc(labels, predicted):.4f}",
        f"{len(labels):,}",
        _says(found),
    )


def _ours(connection: duckdb.DuckDBPyConnection, days: list[dt.date]) -> list[tuple[str, ...]]:
    """Features up to each event; users apart, once in folds, once tested on what came after."""
    matrix, labels, users = _read(connection, "(FROM rows ORDER BY event_id)", feature_columns())
    folds = compute_folds(FoldChoice("stratified_group", FOLDS), users, labels)
    predicted = np.empty(len(labels))
    for fold in range(FOLDS):
        held_out = folds == fold
        predicted[held_out] = _fit(matrix[~held_out], labels[~held_out]).predict_proba(matrix[held_out])[:, 1]
    grouped = (
        "ours: features up to the event, users dealt out",
        "folds",
        f"{roc_auc(labels, predicted):.4f}",
        f"{len(labels):,}",
    )
    split = split_at(days[round(len(days) * (1 - TEST_SHARE))], shared_users="divide")
    train, test = (
        f"({render(part_query('rows', split, part), DUCKDB)} ORDER BY event_id)" for part in ("train", "test")
    )
    x, y, _ = _read(connection, train, feature_columns())
    tx, ty, who = _read(connection, test, feature_columns())
    score = scores(ty, _fit(x, y).predict_proba(tx)[:, 1], who, seed=0)["roc_auc"]
    found = [
        *inspect_rows(connection, "rows", mature_through={"softshop": SEEN}),
        *inspect_split(connection, train, test, split.cutoff),
    ]
    interval = f"{score.value:.4f} ({score.low:.3f} to {score.high:.3f})"
    after = (
        "ours: features up to the event, learnt from the past",
        f"from {split.cutoff.date()} on",
        interval,
        f"{len(ty):,}",
        _says(found),
    )
    connection.register("ours", _with_folds(connection, folds, "rows"))
    return [(*grouped, _says(list(inspect_folds(connection, "ours")))), after]


def _with_folds(connection: duckdb.DuckDBPyConnection, folds: Any, table: str = "tutorial") -> Any:
    keys = connection.sql(f"SELECT event_id, user_id, session_uuid FROM {table} ORDER BY event_id").to_arrow_table()
    return keys.append_column("fold", [folds])


def _read(connection: duckdb.DuckDBPyConnection, table: str, features: tuple[str, ...]) -> tuple[Any, Any, list[str]]:
    names = ", ".join(f"CAST({name} AS DOUBLE) AS {name}" for name in features)
    rows = connection.sql(f"SELECT {names}, label, user_id FROM {table}").to_arrow_table()
    matrix = np.column_stack([rows[name].to_numpy() for name in features])
    return matrix, rows["label"].to_numpy().astype(np.int8), rows["user_id"].to_pylist()


def _fit(matrix: Any, labels: Any) -> Any:
    return HistGradientBoostingClassifier(max_iter=100, max_leaf_nodes=15, early_stopping=False, random_state=0).fit(
        matrix, labels
    )


def _says(findings: list[Finding]) -> str:
    return "; ".join(f"{each.check}: {each.offences:,} offences" for each in findings if not each.passed) or "clean"


if __name__ == "__main__":
    sys.exit(main())
