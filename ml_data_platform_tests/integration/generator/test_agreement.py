"""The platform finds in every generated row exactly what was planted there."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, date, datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ml_data_platform.events.contract_model import SourceContract
from ml_data_platform.events.contracts import load_contract
from ml_data_platform.events.ids import IdKey, bind_id_key
from ml_data_platform.events.parsing import mapping_query, routing_query
from ml_data_platform.generator.generate import generate
from ml_data_platform.generator.options import GeneratorOptions
from ml_data_platform.landing.readers import read_chunks
from ml_data_platform.validation.runner import RowValidator
from ml_data_platform.validation.suites import rules_for

Truth = dict[tuple[str, int], dict[str, Any]]
OPTIONS = GeneratorOptions(duplicate_share=0.05, broken_share=0.15, undated_share=0.08, late_share=0.05)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    """Three days in which a quarter of the rows is damaged, and the truth by file and row."""
    out = tmp_path_factory.mktemp("planted")
    generate(out, start=date(2026, 1, 5), days=3, events_per_day=3_000, seed=11, options=OPTIONS)
    with (out / "_planted/rows.jsonl").open() as file:
        said = [json.loads(line) for line in file]
    return out, {(row["file"], row["row"]): row for row in said}


@pytest.fixture(scope="module")
def contract() -> SourceContract:
    """The shipped contract of the sample's source."""
    with as_file(files("ml_data_platform") / "sources" / "demo_shop.yaml") as path:
        return load_contract(path)


@pytest.fixture(scope="module")
def engine() -> duckdb.DuckDBPyConnection:
    """An engine that knows a key for user ids."""
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone='UTC'")
    bind_id_key(connection, IdKey("test", b"k" * 32))
    return connection


@pytest.fixture(scope="module")
def routed(
    planted: tuple[Path, Truth], contract: SourceContract, engine: duckdb.DuckDBPyConnection
) -> dict[str, pa.Table]:
    """Every landed file, its rows dated by the platform."""
    out, truth = planted
    tables = {}
    for name in sorted({file for file, _ in truth}):
        engine.register("landed", pa.concat_tables(list(read_chunks(out / name, contract, connection=engine))))
        query = routing_query(contract, "landed", start_date=date(2026, 1, 1), latest=datetime(2026, 2, 1, tzinfo=UTC))
        tables[name] = engine.sql(query).to_arrow_table()
    return tables


def test_rows_are_dated_as_planted(planted: tuple[Path, Truth], routed: dict[str, pa.Table]) -> None:
    """Each line becomes one row, with the planted instant and row format, or without a day for the planted reason."""
    truth = dict(planted[1])
    for name, table in routed.items():
        for row in table.to_pylist():
            said = truth.pop((name, row["source_row"]))
            assert row["undated_reason"] == said["reason"]
            if said["reason"] is None:
                assert round(row["event_time"].timestamp() * 1000) == said["event_time_ms"]
                assert row["schema_version"] == said["version"]
    assert not truth


def test_rows_are_rejected_as_planted(
    planted: tuple[Path, Truth],
    contract: SourceContract,
    engine: duckdb.DuckDBPyConnection,
    routed: dict[str, pa.Table],
) -> None:
    """The row rules reject each dated row for exactly the planted rules, and accept all others."""
    truth = planted[1]
    dated = []
    for name, table in routed.items():
        rows = table.filter(pc.is_null(table["undated_reason"]))
        rows = rows.select(["source_row", "event_time", "schema_version", "landed"])
        for column, value in (("source", "demo_shop"), ("source_file", name)):
            rows = rows.append_column(column, pa.array([value] * len(rows), pa.string()))
        dated.append(rows)
    engine.register("raw_rows_of_all", pa.concat_tables(dated))
    frame = engine.sql(mapping_query({"demo_shop": contract}, "raw_rows_of_all")).to_arrow_table().to_pandas()
    rules = [rule for rule in rules_for("validated_events") if rule.scope == "row"]
    found: dict[int, set[str]] = defaultdict(set)
    for rule, positions in RowValidator(rules).validate(frame).items():
        for position in positions.tolist():
            found[position].add(rule)
    assert len(frame) == sum(said["reason"] is None for said in truth.values())
    for position, key in enumerate(zip(frame["source_file"], frame["source_row"], strict=True)):
        assert sorted(found[position]) == truth[key]["rules"]
