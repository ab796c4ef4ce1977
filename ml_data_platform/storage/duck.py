"""DuckDB connections, all configured alike, and the files that their queries read and write.

Belongs here: the settings that make queries bounded, offline, confined to a few folders and independent of the
machine's zone; names of files, which are bound and never part of a query's text; the SQL types of declared columns.
Does not belong here: queries.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from ml_data_platform.errors import EngineMemoryError, SchemaMismatchError, bounded
from ml_data_platform.events.schemas import INSTANT, TableSchema
from ml_data_platform.events.sql_text import sql_identifier
from ml_data_platform.storage.system_faults import says_full

TEMPORARY = "(FORMAT parquet, COMPRESSION lz4)"
"""Options of `write_parquet` for a file that nobody keeps."""

_NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS)
_SQL_TYPES: dict[pa.DataType, str] = {
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.date32(): "DATE",
    INSTANT: "TIMESTAMPTZ",
}


@contextmanager
def connect(
    scratch: Path, *, folders: Iterable[Path] = (), memory_limit: str = "1GB", threads: int = 2
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an in-memory database that spills to ``scratch``, reaches no other file and never a network.

    Whatever a query says, also one that a mistake let a landed value into: it can read and write below ``scratch`` and
    ``folders`` only, and change no setting.

    Args:
        scratch: Folder for what does not fit in memory; the caller removes it.
        folders: Further folders that queries may read from and write to.
        memory_limit: E.g. ``1GB``.
        threads: Threads of a query; results do not depend on it where an order is stated.

    Raises:
        OSError: A file could not be read or written within the block, with the number of the system's error.
        EngineMemoryError: A query within the block needs more than ``memory_limit``.
    """
    with duckdb.connect(
        ":memory:",
        config={
            "temp_directory": str(scratch),
            "memory_limit": memory_limit,
            "threads": threads,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    ) as connection:
        # Global, so that cursors of the connection have it too.
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")
        # COPY writes a column as required where statistics of its input exclude nulls. The bytes of a table would then
        # depend on rows that a query leaves out, and a column be nullable on one day and not on the next.
        connection.execute("SET GLOBAL disabled_optimizers = 'statistics_propagation'")
        _lock(connection, [scratch, *folders])
        try:
            yield connection
        except duckdb.IOException as error:
            raise _as_os_error(error) from error
        except duckdb.OutOfMemoryException as error:
            if says_full(str(error)):
                raise OSError(errno.ENOSPC, bounded(str(error), 500), str(scratch)) from error
            raise EngineMemoryError(
                f"A query needs more memory than the {memory_limit} that the setting `memory_limit` allows.",
                remedy="Set a higher `memory_limit` in platform.yaml, or ML_DATA_PLATFORM_MEMORY_LIMIT, and run it again: "
                "what is published stays.",
                memory_limit=memory_limit,
                threads=threads,
            ) from error


def connect_without_files() -> duckdb.DuckDBPyConnection:
    """Open an in-memory database of one thread for tables that are handed to it; it reaches no file, and spills to none."""
    connection = duckdb.connect(config={"threads": 1, "temp_directory": ""})
    connection.execute("SET GLOBAL enable_external_access = false")
    connection.execute("SET GLOBAL lock_configuration = true")
    return connection


def _lock(connection: duckdb.DuckDBPyConnection, folders: Iterable[Path]) -> None:
    # A folder above may be a link: DuckDB compares the path that it leads to.
    allowed = sorted({f"{path}/" for folder in folders for path in (folder.absolute(), folder.resolve())})
    connection.execute("SET GLOBAL allowed_directories = $allowed", {"allowed": allowed})
    connection.execute("SET GLOBAL enable_external_access = false")
    connection.execute("SET GLOBAL lock_configuration = true")


def _as_os_error(error: duckdb.IOException) -> OSError:
    """Return what the system said, so that what may pass is tried again, and a full disk is not."""
    text = bounded(str(error), 500)
    found = next((number for number in _NUMBERS if os.strerror(number) in text), errno.EIO)
    return OSError(found, text)


def parquet(
    connection: duckdb.DuckDBPyConnection,
    paths: Iterable[str | Path],
    *,
    has_file_names: bool = False,
    has_row_numbers: bool = False,
) -> str:
    """Bind the names of Parquet files to a connection; returns a relation over their rows, for its queries.

    Args:
        connection: The connection itself, not a cursor of it.
        paths: At least one file, taken as they are, whatever their names consist of.
        has_file_names: Give the rows a column ``filename``.
        has_row_numbers: Give the rows a column ``file_row_number``, from 0 on in each file.
    """
    files = [str(path) for path in paths]
    bind_files(connection, files)
    return bound_parquet(files, has_file_names=has_file_names, has_row_numbers=has_row_numbers)


def bind_files(connection: duckdb.DuckDBPyConnection, files: Sequence[str]) -> None:
    """Bind the names of files to a connection, for the relation that `bound_parquet` returns for the same ones."""
    connection.execute(f"SET VARIABLE {_variable(files)} = $files", {"files": list(files)})


def bound_parquet(files: Sequence[str], *, has_file_names: bool = False, has_row_numbers: bool = False) -> str:
    """Return a relation over files whose names `bind_files` binds, for queries that are made before a connection."""
    # A folder above the root may look like a Hive partition; columns come from the files alone.
    options = "hive_partitioning = false"
    options += ", filename = true" if has_file_names else ""
    options += ", file_row_number = true" if has_row_numbers else ""
    return f"read_parquet(getvariable('{_variable(files)}'), {options})"


def write_parquet(connection: duckdb.DuckDBPyConnection, query: str, path: Path, options: str) -> None:
    """Write a query's rows to a file.

    Args:
        connection: Made by `connect`.
        query: Its text; names of files are bound, see `parquet`.
        path: The file.
        options: ``parquet.copy_options`` of its table, or `TEMPORARY`.
    """
    connection.execute(f"COPY ({query}) TO $path {options}", {"path": str(path)})


def _variable(files: Sequence[str]) -> str:
    return f"files_{hashlib.sha256(json.dumps(list(files)).encode()).hexdigest()}"


def sql_type(arrow_type: pa.DataType) -> str:
    """Return the DuckDB type whose Parquet form is read back as ``arrow_type``.

    Raises:
        SchemaMismatchError: No table uses such a type.
    """
    if pa.types.is_list(arrow_type):
        return f"{sql_type(arrow_type.value_type)}[]"
    if arrow_type not in _SQL_TYPES:
        raise SchemaMismatchError("An Arrow type has no SQL type here.", got=arrow_type)
    return _SQL_TYPES[arrow_type]


def columns_sql(table: TableSchema) -> str:
    """Return the select list that casts the columns of ``table`` to their declared types, in their order."""
    names = [(sql_identifier(field.name), sql_type(field.type)) for field in table.columns]
    return ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in names)
