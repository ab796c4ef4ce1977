"""Parquet files with declared schemas: deterministic writing, and verification of what was written.

Belongs here: the one way Arrow batches become a file, the options with which DuckDB writes one, and the
check that the bytes on disk are what was declared. Does not belong here: where files go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from ml_data_platform.errors import SchemaMismatchError, StageFailedError, VerificationError
from ml_data_platform.events.schemas import TableSchema
from ml_data_platform.events.sql_text import sql_literal
from ml_data_platform.storage.durability import file_sha256, sync_file

ROW_GROUP_ROWS = 131_072
# DuckDB writes whole vectors of 2,048 rows; its default group of 60 vectors keeps bytes stable.
DUCKDB_ROW_GROUP_ROWS = 122_880
READ_BACK_ROWS = 16_384
"""Rows in memory while a file is read back."""


@dataclass(frozen=True)
class StagedFile:
    """One verified file of a partition, not yet published.

    Attributes:
        name: Name within the partition, e.g. ``fold=0/data.parquet``.
        path: Where it lies, in a scratch folder of the stage that wrote it.
        sha256: Hash of its bytes, hex.
        size_bytes: Its size.
        rows: Rows, as its footer counts them.
    """

    name: str
    path: Path
    sha256: str
    size_bytes: int
    rows: int


def verify_file(path: Path, table: TableSchema, name: str) -> StagedFile:
    """Flush a written file to disk, read every page of it back, and hash its bytes.

    Every value is decoded, a few thousand rows at a time: a footer says nothing about the pages. Nullability is not
    compared: writers derive it from statistics.

    Args:
        path: The file.
        table: What it must be: column names, their order and types, and metadata.
        name: Its name within the partition.

    Raises:
        SchemaMismatchError: Columns, types or metadata differ from the declared ones.
        VerificationError: The file is missing, cannot be read back as Parquet, has other rows than its footer counts, or
            changed meanwhile.
        OSError: It could not be flushed; it is removed then.
    """
    if not path.is_file():
        raise VerificationError("A file to be published is missing.", asset=table.name, file=path)
    sync_file(path)
    before, rows = _state(path), 0
    sha256 = file_sha256(path)
    try:
        with pq.ParquetFile(path, pre_buffer=False) as parquet:
            columns, footer = parquet.schema_arrow, parquet.metadata
            for batch in parquet.iter_batches(READ_BACK_ROWS, use_threads=False):
                batch.validate(full=True)
                rows += batch.num_rows
    except (pa.ArrowException, OSError, ValueError) as error:
        raise VerificationError(
            "A written file cannot be read back.", asset=table.name, file=path, got=error
        ) from error
    if rows != footer.num_rows or _state(path) != before:
        what = (
            "A written file changed while it was read back."
            if rows == footer.num_rows
            else "A written file lacks rows."
        )
        raise VerificationError(
            what, asset=table.name, file=path, expected=f"{footer.num_rows} rows", got=f"{rows} rows"
        )
    problems = schema_differences(columns, table.columns) + _metadata_differences(footer.metadata or {}, table)
    if problems:
        raise SchemaMismatchError(
            "A file's schema is not the declared one: " + "; ".join(problems[:20]),
            remedy="Write the declared columns, or declare a new version of the table.",
            asset=table.name,
            file=path,
        )
    return StagedFile(name, path, sha256, before[1], rows)


def _state(path: Path) -> tuple[int, int, int, int]:
    state = path.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def schema_differences(got: pa.Schema, expected: pa.Schema) -> list[str]:
    """Return every difference in names, order and types, as stored versus declared; not nullability."""
    stored, declared = {field.name: field.type for field in got}, {field.name: field.type for field in expected}
    problems = [f"{name} is missing" for name in declared if name not in stored]
    problems += [f"{name} is not declared" for name in stored if name not in declared]
    problems += [
        f"{name} is {stored[name]}, declared {declared[name]}"
        for name in declared
        if name in stored and not _same_type(stored[name], declared[name])
    ]
    if not problems and got.names != expected.names:
        problems.append(f"columns are ordered {got.names}, declared {expected.names}")
    return problems


def _same_type(got: pa.DataType, expected: pa.DataType) -> bool:
    # Writers name a list's items "element" or "item"; the name carries no meaning.
    if pa.types.is_list(got) and pa.types.is_list(expected):
        return _same_type(got.value_type, expected.value_type)
    return bool(got.equals(expected))


def _metadata_differences(got: Mapping[bytes, bytes], table: TableSchema) -> list[str]:
    stored = {key: got.get(key.encode(), b"").decode("utf-8", "replace") for key in table.metadata}
    return [
        f"metadata {key} is {stored[key]!r}, declared {value!r}"
        for key, value in table.metadata.items()
        if stored[key] != value
    ]


def copy_options(table: TableSchema) -> str:
    """Return the options with which ``duck.write_parquet`` writes a file of ``table``."""
    metadata = ", ".join(f"{sql_literal(key)}: {sql_literal(value)}" for key, value in sorted(table.metadata.items()))
    return f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {DUCKDB_ROW_GROUP_ROWS}, KV_METADATA {{{metadata}}})"


class ParquetSink:
    """Write a stream of Arrow batches as one file whose bytes do not depend on how rows were batched.

    Used as a context manager; the file is removed when the block ends with an error.

    Args:
        path: The file to write.
        table: Its declared schema; batches are cast to it.
    """

    def __init__(self, path: Path, table: TableSchema) -> None:
        self.path = path
        self.table = table
        self.rows = 0
        self._schema = table.columns.with_metadata(table.metadata)
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        self._writer = pq.ParquetWriter(self.path, self._schema, compression="zstd", version="2.6")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        writer, self._writer = self._writer, None
        assert writer is not None
        try:
            with writer:
                if kind is None and self._pending_rows:
                    self._write_group(writer, self._pending_rows)
        except BaseException:
            self.path.unlink(missing_ok=True)
            raise
        if kind is not None:
            self.path.unlink(missing_ok=True)

    def write(self, batch: pa.Table | pa.RecordBatch) -> None:
        """Append rows in their order.

        Raises:
            SchemaMismatchError: Columns are missing, not declared, or hold values of another type.
        """
        if self._writer is None:
            raise StageFailedError("A closed sink was written to.", asset=self.table.name, file=self.path)
        rows = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
        self._pending.append(self._cast(rows))
        self._pending_rows += rows.num_rows
        self.rows += rows.num_rows
        while self._pending_rows >= ROW_GROUP_ROWS:
            self._write_group(self._writer, ROW_GROUP_ROWS)

    def _cast(self, rows: pa.Table) -> pa.Table:
        names = self._schema.names
        problems = sorted(set(names) ^ set(rows.column_names))
        if not problems:
            try:
                return rows.select(names).cast(self._schema)
            except (pa.ArrowException, ValueError) as error:
                problems = [str(error)]
        raise SchemaMismatchError(
            "Rows do not fit the declared columns: " + "; ".join(problems[:20]),
            remedy="Write the declared columns, or declare a new version of the table.",
            asset=self.table.name,
            file=self.path,
        )

    def _write_group(self, writer: pq.ParquetWriter, size: int) -> None:
        # Bytes follow chunk borders, so each group is one chunk of exactly its size.
        pending = pa.concat_tables(self._pending)
        writer.write_table(pending.slice(0, size).combine_chunks(), row_group_size=size)
        rest = pending.slice(size)
        self._pending, self._pending_rows = [rest] if rest.num_rows else [], rest.num_rows
