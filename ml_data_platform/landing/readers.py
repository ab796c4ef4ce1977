"""A landed file as chunks of rows, by its contract's format.

Belongs here: choosing the reader, and refusing a file whose columns the contract does not allow. Does
not belong here: what the columns mean, and on which day a row falls (``events.parsing``).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedIOBase
from pathlib import Path

import duckdb
import pyarrow as pa

from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.landed_paths import with_member_query
from ml_data_platform.events.parsing import unknown_columns_query
from ml_data_platform.events.path_columns import PathValues
from ml_data_platform.landing.chunks import CHUNK
from ml_data_platform.landing.column_names import refuse_ambiguous, refuse_unknown_columns, require_columns
from ml_data_platform.landing.delimited import DelimitedReader
from ml_data_platform.landing.guarded import read_parquet
from ml_data_platform.landing.jsonl import read_json_lines
from ml_data_platform.landing.limits import LIMITS, Limits
from ml_data_platform.landing.lines import open_landed
from ml_data_platform.storage.duck import connect_without_files


def read_chunks(
    path: Path,
    contract: SourceContract,
    *,
    connection: duckdb.DuckDBPyConnection | None = None,
    scratch: Path | None = None,
    limits: Limits = LIMITS,
    path_values: PathValues | None = None,
) -> Iterator[pa.Table]:
    """Read the rows of a landed file, streaming; gzip is recognised by its first bytes.

    See `open_rows`.
    """
    with ExitStack() as stack:
        engine = connection or stack.enter_context(connect_without_files())
        folder = scratch or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        opened = open_rows(path, contract, connection=engine, scratch=folder, limits=limits, path_values=path_values)
        _, chunks = stack.enter_context(opened)
        yield from chunks


@contextmanager
def open_rows(
    path: Path,
    contract: SourceContract,
    *,
    connection: duckdb.DuckDBPyConnection,
    scratch: Path,
    in_memory: bool = False,
    limits: Limits = LIMITS,
    path_values: PathValues | None = None,
) -> Iterator[tuple[list[str] | None, Iterator[pa.Table]]]:
    """Open a landed file for reading its rows, streaming; gzip is recognised by its first bytes.

    Args:
        path: A regular file with at least one byte of content.
        contract: The contract of its source.
        connection: An engine to work with, single-threaded use.
        scratch: Private folder for temporary files.
        in_memory: Write nothing of the content to temporary files.
        limits: What the file may cost.
        path_values: Values of columns that stand only in the path: rows without such a column have it from there.

    Yields:
        The names of its columns, None where each row has its own; and tables of at most 131,072 rows and about 16 MiB
        of text, in file order, with ``source_row`` (int64, 1-based; CSV: number of the record behind the header, JSON
        lines: number of the physical line, Parquet: number of the row), ``landed`` (JSON object as text) and ``defect``
        (null, ``malformed_row``, ``wrong_field_count`` or, of the last row, ``cut_off``).

    Raises:
        LandingError: The file as a whole is not what the contract says: damaged gzip or Parquet, another
            format, a header without the contract's columns, or unknown columns where they are frozen.
    """
    with ExitStack() as stack:
        if contract.format == "parquet":
            opened = stack.enter_context(read_parquet(path, scratch, in_memory=in_memory, limits=limits))
            names, repeated, tables = opened
            limits.require_columns(len(names))
            refuse_ambiguous(repeated, contract)
            named, tables = _with_values(names, tables, path_values or {}, connection)
            require_columns(named, contract)
            refuse_unknown_columns(names, contract)
            yield named, _counted(tables, limits)
            return
        stream = stack.enter_context(open_landed(path, limits=limits))
        if contract.format == "csv":
            said = contract.csv
            reader = DelimitedReader(
                stream, delimiter=said.delimiter, quote=said.quote, escape=said.escape, limits=limits
            )
            refuse_ambiguous([[name] for name in reader.repeated], contract)
            named, chunks = _with_values(reader.header, reader.chunks(connection), path_values or {}, connection)
            require_columns(named, contract)
            refuse_unknown_columns(reader.header, contract)
            yield named, _counted(chunks, limits)
            return
        objects = _objects(stream, contract, connection)
        yield None, _counted(_with_values([], objects, path_values or {}, connection)[1], limits)


def _with_values(
    names: list[str], chunks: Iterator[pa.Table], values: PathValues, connection: duckdb.DuckDBPyConnection
) -> tuple[list[str], Iterator[pa.Table]]:
    """Return the names of a file's columns with those of its path that it does not have, and its rows with their values."""
    added = {name: value for name, value in values.items() if name not in names}
    return [*names, *added], (_with_members(chunk, added, connection) for chunk in chunks) if added else chunks


def _with_members(chunk: pa.Table, values: PathValues, connection: duckdb.DuckDBPyConnection) -> pa.Table:
    for name, value in values.items():
        member = f"{json.dumps(name, ensure_ascii=False)}:{json.dumps(value, ensure_ascii=False)}}}"
        connection.register("landed_members", chunk)
        try:
            query = with_member_query(name, "landed_members")
            chunk = connection.sql(query, params={"member": member}).to_arrow_table().cast(CHUNK).combine_chunks()
        finally:
            connection.unregister("landed_members")
    return chunk


def _counted(chunks: Iterator[pa.Table], limits: Limits) -> Iterator[pa.Table]:
    rows = 0
    for chunk in chunks:
        rows += chunk.num_rows
        limits.require_rows(rows)
        yield chunk


def _objects(
    stream: BufferedIOBase, contract: SourceContract, connection: duckdb.DuckDBPyConnection
) -> Iterator[pa.Table]:
    for chunk in read_json_lines(stream, connection):
        if contract.unknown_columns == "freeze":
            refuse_unknown_columns(_unknown(chunk, contract, connection), contract)
        yield chunk


def _unknown(chunk: pa.Table, contract: SourceContract, connection: duckdb.DuckDBPyConnection) -> list[str]:
    connection.register("landed_objects", chunk)
    try:
        found = connection.sql(unknown_columns_query(contract, "landed_objects")).fetchall()
    finally:
        connection.unregister("landed_objects")
    return [name for name, _ in found]
