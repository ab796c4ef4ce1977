"""Published files as relations, and relations as files of a table.

Belongs here: the few lines around DuckDB that the stages share. Does not belong here: any table's query, and how
a connection is set up (``storage.duck``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

from ml_data_platform.events.schemas import TableSchema
from ml_data_platform.events.sql_text import sql_identifier
from ml_data_platform.features.dialects import DUCKDB, render
from ml_data_platform.storage import duck
from ml_data_platform.storage.parquet import copy_options


def rows_of(connection: duckdb.DuckDBPyConnection, paths: Sequence[str | Path], table: TableSchema) -> str:
    """Return a subquery over the rows of files of one table, with its declared columns; no files, no rows."""
    if not paths:
        nothing = ", ".join(
            f"CAST(NULL AS {duck.sql_type(field.type)}) AS {sql_identifier(field.name)}" for field in table.columns
        )
        return f"(SELECT {nothing} WHERE FALSE)"
    columns = ", ".join(sql_identifier(name) for name in table.columns.names)
    return f"(SELECT {columns} FROM {duck.parquet(connection, paths)})"


def write_table(connection: duckdb.DuckDBPyConnection, query: str, table: TableSchema, path: Path) -> Path:
    """Write a query's rows as a file of a table, in the table's order; returns the path.

    Args:
        connection: Made by ``storage.duck.connect``.
        query: A query with the columns of the table.
        table: The declared table; values are cast to its types.
        path: File to write.
    """
    rows = f"SELECT {duck.columns_sql(table)} FROM ({query}) ORDER BY {table.order_by}"
    duck.write_parquet(connection, rows, path, copy_options(table))
    return path


def read_counts(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, int]]:
    """Run a portable query of integer columns; returns one mapping of column to number per row."""
    cursor = connection.execute(render(query, DUCKDB))
    names = [str(column[0]) for column in cursor.description]
    return [{name: int(value) for name, value in zip(names, row, strict=True)} for row in cursor.fetchall()]
