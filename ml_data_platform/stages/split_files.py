"""Writing the files of a split, and the account of what was written.

Belongs here: what ``label_partitions`` and ``stratified_partitions`` share. Does not belong here: which row goes
where (``training.splits``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

from ml_data_platform.events.schemas import TableSchema
from ml_data_platform.features.dialects import DUCKDB, render
from ml_data_platform.stages.relations import rows_of, write_table
from ml_data_platform.training.splits import file_query


def write_files(
    connection: duckdb.DuckDBPyConnection,
    features: str,
    table: TableSchema,
    conditions: Mapping[str, str],
    scratch: Path,
) -> dict[str, Path]:
    """Write every file of a split, empty ones too.

    Args:
        connection: Made by ``storage.duck.connect``.
        features: A relation with the columns of ``session_features``.
        table: The split's table.
        conditions: File name within the partition to the portable condition of its rows.
        scratch: Folder of the files.

    Returns:
        File name within the partition to path.
    """
    paths = {}
    for number, (name, condition) in enumerate(conditions.items()):
        query = render(file_query(features, table.columns.names, condition), DUCKDB)
        paths[name] = write_table(connection, query, table, scratch / f"{table.name}-{number:03d}.parquet")
    return paths


def placed_rows(connection: duckdb.DuckDBPyConnection, table: TableSchema, files: Mapping[int, Path]) -> str:
    """Return a relation over all rows as they were written, with the column ``place``: the file's label or fold."""
    return (
        "("
        + " UNION ALL ".join(
            f"SELECT CAST({place:d} AS BIGINT) AS place, * FROM {rows_of(connection, [path], table)}"
            for place, path in files.items()
        )
        + ")"
    )
