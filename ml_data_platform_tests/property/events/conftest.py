"""One DuckDB connection in memory, and the evaluation of an SQL expression over texts."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from ml_data_platform.events.ids import IdKey, bind_id_key

KEY = IdKey(key_id="test", secret=b"a secret of the tests")


@pytest.fixture(scope="session")
def duck():
    """Return a connection that knows the id key; its time zone is far from UTC, since no query may depend on it."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'Pacific/Kiritimati'")
    connection.execute("SET threads = 1")
    bind_id_key(connection, KEY)
    return connection


@pytest.fixture(scope="session")
def evaluate(duck):
    """Return a function that evaluates an SQL expression over the column ``text``, in the order of the texts."""

    def run(expression, texts):
        rows = pa.table({"place": pa.array(range(len(texts)), pa.int64()), "text": pa.array(texts, pa.string())})
        duck.register("texts_under_test", rows)
        found = duck.execute(f"SELECT {expression} FROM texts_under_test ORDER BY place").fetchall()
        return [value for (value,) in found]

    return run


@pytest.fixture(scope="session")
def id_secret():
    """Return the secret that the connection's user ids are made with."""
    return KEY.secret
