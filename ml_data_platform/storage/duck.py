"""DuckDB connections, all configured alike.

Belongs here: the settings that make queries bounded, offline and independent of the machine's zone, and
the SQL types of declared columns. Does not belong here: queries.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from ml_data_platform.errors import SchemaMismatchError
from ml_data_platform.events.schemas import INSTANT, TableSchema

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


def connect(scratch: Path, *, memory_limit: str = "1GB", threads: int = 2) -> duckdb.DuckDBPyConnection:
    """Open an in-memory database that spills to ``scratch`` and never loads anything from a network.

    Args:
        scratch: Folder for what does not fit in memory; the caller removes it.
        memory_limit: E.g. ``1GB``.
        threads: Threads of a query; results do not depend on it where an order is stated.
    """
    connection = duckdb.connect(
        ":memory:",
        config={
            "temp_directory": str(scratch),
            "memory_limit": memory_limit,
            "threads": threads,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    # Global, so that cursors of the connection have it too.
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    # COPY writes a column as required where statistics of its input exclude nulls. The bytes of a table would then
    # depend on rows that a query leaves out, and a column be nullable on one day and not on the next.
    connection.execute("SET GLOBAL disabled_optimizers = 'statistics_propagation'")
    return connection


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
    return ", ".join(f'CAST("{field.name}" AS {sql_type(field.type)}) AS "{field.name}"' for field in table.columns)
