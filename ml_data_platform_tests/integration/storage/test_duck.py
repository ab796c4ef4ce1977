"""What DuckDB writes has the declared types, and does not depend on the machine."""

from __future__ import annotations

import errno
import os

import duckdb
import pyarrow.parquet as pq
import pytest

from ml_data_platform.events.schemas import (
    LANDED_ROWS,
    QUARANTINED_EVENTS,
    RAW_EVENTS,
    UNDATED_ROWS,
    VALIDATED_EVENTS,
)
from ml_data_platform.storage.duck import columns_sql, connect, connect_without_files
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
        casts = columns_sql(table)
        types = {part.rsplit('"', 2)[1]: part.split(" AS ")[1].split(")")[0] for part in casts.split(", CAST")}
        values = ", ".join(f'{VALUES[types[name]]} AS "{name}"' for name in table.columns.names)
        path = tmp_path / f"{threads}.parquet"
        with connect(tmp_path, threads=threads) as connection:
            connection.execute(
                f"COPY (SELECT {casts} FROM (SELECT {values}, i FROM range({rows}) t(i)) ORDER BY {table.order_by}, i)"
                f" TO '{path}' {copy_options(table)}"
            )
        staged = verify_file(path, table, "data.parquet")
        assert staged.rows == rows
        hashes.add(staged.sha256)
    assert len(hashes) == 1


def test_instants_are_read_in_utc_also_through_cursors(tmp_path, monkeypatch):
    """Neither the machine's zone nor a cursor changes how a zoned instant is read or written."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    with connect(tmp_path) as connection:
        for handle in (connection, connection.cursor()):
            row = handle.execute(
                "SELECT ('2026-01-01T00:30:00+02:00'::TIMESTAMPTZ)::VARCHAR, '2026-01-01 00:00:00'::TIMESTAMPTZ::VARCHAR"
            ).fetchall()
            assert row == [("2025-12-31 22:30:00+00", "2026-01-01 00:00:00+00")]


def test_nothing_is_fetched_from_a_network(tmp_path):
    """Extensions are neither installed nor loaded by themselves, and spilling stays in the scratch folder."""
    names = ("autoinstall_known_extensions", "autoload_known_extensions", "temp_directory", "memory_limit")
    with connect(tmp_path, memory_limit="256MB") as connection:
        got = [connection.execute(f"SELECT current_setting('{name}')").fetchall()[0][0] for name in names]
    assert got[:3] == [False, False, str(tmp_path)]
    assert got[3] in {"244.1 MiB", "256.0 MB"}


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


ESCAPES = [
    "SELECT * FROM read_text('{secret}')",
    "SELECT * FROM read_text('{inside}/../secret')",
    "SELECT * FROM read_text('{inside}/link')",
    "SELECT * FROM glob('{outside}/*')",
    "COPY (SELECT 1) TO '{outside}/written'",
    "ATTACH '{outside}/other.db'",
    "SELECT * FROM read_text('https://127.0.0.1:1/x')",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "SET allowed_directories = ['/']",
    "SET lock_configuration = false",
    "SET memory_limit = '100GB'",
    "SET temp_directory = '/'",
    "RESET lock_configuration",
    "SELECT * FROM read_csv('{secret}')",
    "SELECT * FROM parquet_metadata('{secret}')",
    "SELECT * FROM read_blob('/proc/self/environ')",
    "CREATE TABLE t (a text); COPY t FROM '{secret}'",
    "COPY (SELECT 1) TO '{inside}/../outside/written'",
    "EXPORT DATABASE '{outside}/all'",
    "IMPORT DATABASE '{outside}'",
    "LOAD '{outside}/own.duckdb_extension'",
    "CREATE PERSISTENT SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "CALL enable_logging('QueryLog', storage = 'file', storage_config = {{'path': '{outside}/log'}})",
    "SET profiling_output = '{outside}/profile'",
    "SET secret_directory = '{outside}'",
]


@pytest.mark.parametrize("query", ESCAPES)
def test_no_query_leaves_the_folders_or_changes_a_setting(tmp_path, query):
    """Reading, writing, attaching, links, networks, extensions and settings: all refused, also through a cursor."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    secret = tmp_path / "secret"
    secret.write_text("s")
    (inside / "link").symlink_to(secret)
    text = query.format(inside=inside, outside=outside, secret=secret)
    with connect(inside) as connection, connection.cursor() as cursor:
        for handle in (connection, cursor):
            with pytest.raises(duckdb.Error):
                handle.execute(text).fetchall()
    with connect_without_files() as connection, pytest.raises(duckdb.Error):
        connection.execute(text).fetchall()
    assert list(outside.iterdir()) == []


def test_named_folders_are_open_also_behind_a_link(tmp_path):
    """A root that is reached through a link is read and written by either of its paths."""
    real, scratch = tmp_path / "real", tmp_path / "scratch"
    real.mkdir()
    scratch.mkdir()
    (tmp_path / "link").symlink_to(real)
    with connect(scratch, folders=[tmp_path / "link"]) as connection:
        connection.execute(f"COPY (SELECT 1 AS a) TO '{tmp_path}/link/x.parquet' (FORMAT parquet)")
        assert connection.execute(f"SELECT a FROM '{real}/x.parquet'").fetchall() == [(1,)]


@pytest.mark.parametrize(("code", "expected"), [(errno.ENOSPC, errno.ENOSPC), (errno.EIO, errno.EIO)])
def test_what_the_disk_says_is_an_os_error_with_its_number(tmp_path, code, expected):
    """A full disk can be told from an error that may pass."""
    with pytest.raises(OSError, match=os.strerror(code)) as caught, connect(tmp_path):
        raise duckdb.IOException(f"IO Error: Could not write file: {os.strerror(code)}")
    assert caught.value.errno == expected


def test_a_file_that_vanished_may_come_back(tmp_path):
    """A cached copy that was dropped between two looks is an error that a retry mends: it is fetched again."""
    with pytest.raises(OSError, match="No files found") as caught, connect(tmp_path) as connection:
        connection.execute(f"SELECT * FROM read_parquet('{tmp_path}/gone.parquet')")
    assert caught.value.errno == errno.EIO
