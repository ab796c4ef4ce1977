"""What DuckDB writes has the declared types, and does not depend on the machine."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from ml_data_platform.events.schemas import (
    LANDED_ROWS,
    QUARANTINED_EVENTS,
    RAW_EVENTS,
    UNDATED_ROWS,
    VALIDATED_EVENTS,
)
from ml_data_platform.storage.duck import columns_sql, connect
from ml_data_platform.storage.parquet import copy_options, verify_file

VALUES = {
    "BIGINT": "(i * 7919) % 1000",
    "SMALLINT": "i % 3",
    "TINYINT": "CASE WHEN i % 2 = 0 THEN NULL ELSE 1 END",
    "DOUBLE": "i / 7",
    "VARCHAR": "'t' || (i % 17)",
    "VARCHAR[]": "CASE WHEN i % 5 = 0 THEN NULL ELSE ['a', NULL, 'b' || i] END",
    "TIMESTAMPTZ": "TIMESTAMPTZ '2026-01-01 00:00:00+00' + INTERVAL (i) MICROSECOND",
}


@pytest.mark.parametrize(
    "table", [LANDED_ROWS, UNDATED_ROWS, RAW_EVENTS, VALIDATED_EVENTS, QUARANTINED_EVENTS], ids=lambda table: table.name
)
@pytest.mark.parametrize("rows", [0, 5_000])
def test_copy_writes_the_declared_types_and_the_same_bytes_with_any_threads(tmp_path, table, rows):
    """COPY of cast columns passes verification for every table, empty or not, and bytes do not vary."""
    hashes = set()
    for threads in (1, 2, 4):
        connection = connect(tmp_path, threads=threads)
        casts = columns_sql(table)
        types = {part.rsplit('"', 2)[1]: part.split(" AS ")[1].split(")")[0] for part in casts.split(", CAST")}
        values = ", ".join(f'{VALUES[types[name]]} AS "{name}"' for name in table.columns.names)
        path = tmp_path / f"{threads}.parquet"
        connection.execute(
            f"COPY (SELECT {casts} FROM (SELECT {values}, i FROM range({rows}) t(i)) ORDER BY {table.order_by}, i)"
            f" TO '{path}' {copy_options(table)}"
        )
        connection.close()
        staged = verify_file(path, table, "data.parquet")
        assert staged.rows == rows
        hashes.add(staged.sha256)
    assert len(hashes) == 1


def test_instants_are_read_in_utc_also_through_cursors(tmp_path, monkeypatch):
    """Neither the machine's zone nor a cursor changes how a zoned instant is read or written."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    connection = connect(tmp_path)
    for handle in (connection, connection.cursor()):
        row = handle.execute(
            "SELECT ('2026-01-01T00:30:00+02:00'::TIMESTAMPTZ)::VARCHAR, '2026-01-01 00:00:00'::TIMESTAMPTZ::VARCHAR"
        ).fetchall()
        assert row == [("2025-12-31 22:30:00+00", "2026-01-01 00:00:00+00")]
    connection.close()


def test_nothing_is_fetched_from_a_network(tmp_path):
    """Extensions are neither installed nor loaded by themselves, and spilling stays in the scratch folder."""
    connection = connect(tmp_path, memory_limit="256MB")
    names = ("autoinstall_known_extensions", "autoload_known_extensions", "temp_directory", "memory_limit")
    got = [connection.execute(f"SELECT current_setting('{name}')").fetchall()[0][0] for name in names]
    assert got[:3] == [False, False, str(tmp_path)]
    assert got[3] in {"244.1 MiB", "256.0 MB"}
    connection.close()


def test_the_bytes_do_not_tell_what_was_left_out(tmp_path):
    """A query that leaves rows out writes the same bytes, whether or not those had nulls; every column is optional."""
    hashes = set()
    for case, others in {"with nulls": "NULL", "without": "'other'"}.items():
        with connect(tmp_path) as connection:
            rows = f"SELECT i, CASE WHEN i < 9 THEN 't' || i ELSE {others} END AS t FROM range(20) r(i)"
            connection.execute(f"COPY ({rows}) TO '{tmp_path / case}.in' (FORMAT parquet)")
            kept = f"SELECT * FROM read_parquet('{tmp_path / case}.in') WHERE i < 9 ORDER BY i"
            connection.cursor().execute(f"COPY ({kept}) TO '{tmp_path / case}.out' (FORMAT parquet)")
        assert all(field.nullable for field in pq.read_schema(tmp_path / f"{case}.out"))
        hashes.add((tmp_path / f"{case}.out").read_bytes())
    assert len(hashes) == 1
