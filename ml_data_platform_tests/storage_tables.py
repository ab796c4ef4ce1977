"""Small tables for tests of storage: every row of a generation carries its number, so a mix shows."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ml_data_platform.events.schemas import TableSchema
from ml_data_platform.storage.commit_log import LogRecord
from ml_data_platform.storage.layout import TEMP_FOLDER, Layout
from ml_data_platform.storage.local_objects import LocalObjectStore
from ml_data_platform.storage.table_store import StagedTable, TableStore

DAY = "2026-03-04"
ROWS = 50
COLUMNS = pa.schema([("row", pa.int64()), ("generation", pa.int64())])
SINGLE = TableSchema(name="single_table", version=1, columns=COLUMNS, key=("row",), sort=("row",))
PARTED = TableSchema(
    name="parted_table",
    version=1,
    columns=COLUMNS,
    key=("row",),
    sort=("row",),
    files=("part=a/data.parquet", "part=b/data.parquet"),
)
TABLES = {table.name: table for table in (SINGLE, PARTED)}


def present() -> datetime:
    """Return the real time: what tests of storage say does not depend on it."""
    return datetime.now(UTC)


def write_files(folder: Path, table: TableSchema, generation: int, rows: int = ROWS) -> dict[str, Path]:
    """Write the files of one generation with plain pyarrow; each file differs also from its siblings."""
    paths = {}
    for position, name in enumerate(table.files):
        columns = {"row": range(position, position + rows), "generation": [generation] * rows}
        data = pa.table({key: list(values) for key, values in columns.items()}, schema=table.columns)
        paths[name] = folder / f"{table.name}_{generation}_{position}"
        pq.write_table(data.replace_schema_metadata(table.metadata), paths[name])
    return paths


def stage(
    store: TableStore,
    scratch: Path,
    table: TableSchema,
    generation: int,
    *,
    expected: int,
    inputs: Mapping[str, str] | None = None,
    code_version: str = "1",
) -> StagedTable:
    """Stage rows that say ``generation``."""
    return store.stage(
        table,
        DAY,
        write_files(scratch, table, generation),
        inputs={"upstream": str(generation)} if inputs is None else inputs,
        code_version=code_version,
        expected_generation=expected,
    )


def publish(store: TableStore, table: TableSchema, generation: int, *, expected: int, run_id: str = "run") -> str:
    """Stage and commit rows that say ``generation``; return the outcome."""
    with store.scratch() as scratch:
        return store.commit(stage(store, scratch, table, generation, expected=expected), run_id=run_id).outcome


def generation_in(path: Path | str | io.BytesIO) -> int:
    """Return the one generation whose rows a file holds; fails for a mixed or short file."""
    rows = pq.ParquetFile(path).read()
    (generation,) = set(rows["generation"].to_pylist())
    assert rows.num_rows == ROWS
    return int(generation)


def shown_generations(root: Path, table: TableSchema) -> set[int]:
    """Return the generations in the view's files, all of which must be there."""
    return {generation_in(root / "data" / table.name / f"dt={DAY}" / name) for name in table.files}


def files_below(folder: Path) -> list[str]:
    """Return all files below a folder, relative to it, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def assert_whole(store: TableStore, table: TableSchema, allowed: set[int]) -> LogRecord:
    """Check that log, objects and view agree on one allowed generation, and that nothing else is left."""
    head = store.head(table.name, DAY)
    assert head is not None
    pinned = {generation_in(path) for path in store.ref(table.name, [DAY]).paths()}
    assert len(pinned) == 1
    assert pinned <= allowed
    shown = {generation_in(io.BytesIO(store.objects.read_bytes(key))) for key in view_keys(table)}
    assert shown == pinned
    assert store.objects.list(Layout.view_root(table.name)) == sorted(view_keys(table))
    assert litter(store) == []
    return head


def view_keys(table: TableSchema) -> list[str]:
    """Return the keys of a partition as plain readers see it."""
    return [Layout.view_key(table.name, DAY, name) for name in table.files]


def litter(store: TableStore) -> list[str]:
    """Return the files that writers left in scratch on this machine."""
    objects = store.objects if isinstance(store.objects, LocalObjectStore) else store.objects.local
    return files_below(objects.root / TEMP_FOLDER)
