"""Landed rows in memory, and both queries over them."""

from __future__ import annotations

import datetime as dt
import json

import duckdb
import pyarrow as pa
import pytest

from ml_data_platform.events.contracts import parse_contract
from ml_data_platform.events.ids import IdKey, bind_id_key
from ml_data_platform.events.parsing import mapping_query, routing_query
from ml_data_platform.events.registry_file import SHIPPED_REGISTRY

START_DATE = dt.date(2026, 1, 1)
LATEST = dt.datetime(2026, 12, 31, tzinfo=dt.UTC)


class Rows:
    """Runs the two queries over rows given as Python objects or as landed texts."""

    def __init__(self):
        self.connection = duckdb.connect()
        self.connection.execute("SET TimeZone = 'America/Lima'")
        bind_id_key(self.connection, IdKey("test", b"secret"))

    def table(self, rows):
        """Register rows as the landed file's relation and return its name."""
        landed = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        columns = {
            "source_row": pa.array(range(len(rows)), pa.int64()),
            "landed": pa.array(landed, pa.string()),
            "defect": pa.nulls(len(rows), pa.string()),
        }
        self.connection.register("landed_rows", pa.table(columns))
        return "landed_rows"

    def fetch(self, query):
        """Return the result's rows as dicts."""
        return self.connection.sql(query).to_arrow_table().to_pylist()

    def route(self, contract, rows, **options):
        """Return the dated rows, by source row."""
        options = {"start_date": START_DATE, "latest": LATEST, **options}
        query = routing_query(contract, self.table(rows), **options)
        return self.fetch(f"SELECT * FROM ({query}) ORDER BY source_row")

    def map(self, contract, rows):
        """Return the mapped rows, by source row."""
        query = routing_query(contract, self.table(rows), start_date=START_DATE, latest=LATEST)
        raw = f"(SELECT '{contract.source}' AS source, 'f00d' AS source_file, * FROM ({query}))"
        return self.fetch(f"SELECT * FROM ({mapping_query({contract.source: contract}, raw)}) ORDER BY source_row")


@pytest.fixture(scope="module")
def rows():
    """Return the runner of both queries."""
    return Rows()


@pytest.fixture(scope="session")
def contract_of():
    """Return a function from YAML text, and a registry of schema versions, to contract."""
    return lambda text, registry=SHIPPED_REGISTRY: parse_contract(text, file="test.yaml", registry=registry)
