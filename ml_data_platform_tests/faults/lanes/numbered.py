"""Partitions that say which commit they are, and an oracle that reads them without the platform.

Belongs here: tables whose every row carries the number of its commit, and whose number of rows follows from it, so
that a mix, a cut or a stale byte shows; reading log, objects and view with nothing but JSON, hashes and Parquet. Does
not belong here: faults.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ml_data_platform.events.schemas import TableSchema
from ml_data_platform.storage.table_store import Commit, TableStore
from ml_data_platform_tests.storage_tables import DAY, files_below, present

LEAST_ROWS = 20
MOST_MORE_ROWS = 23


def rows_of(number: int) -> int:
    """Return how many rows each file of a commit has; commits in a row differ."""
    return LEAST_ROWS + number % MOST_MORE_ROWS


def write_numbered(folder: Path, table: TableSchema, number: int) -> dict[str, Path]:
    """Write the files of a commit with plain pyarrow."""
    paths = {}
    for position, name in enumerate(table.files):
        rows = list(range(position, position + rows_of(number)))
        data = pa.table({"row": rows, "generation": [number] * len(rows)}, schema=table.columns)
        paths[name] = folder / f"{number}_{position}.parquet"
        pq.write_table(data.replace_schema_metadata(table.metadata), paths[name], use_dictionary=False)
    return paths


def commit_numbered(
    store: TableStore,
    table: TableSchema,
    number: int,
    *,
    expected: int,
    why: str = "",
    is_current: bool = False,
    run_id: str = "run",
) -> Commit:
    """Stage and commit the rows of a number."""
    with store.scratch() as scratch:
        staged = store.stage(
            table,
            DAY,
            write_numbered(scratch, table, number),
            inputs={"number": str(number), "why": why},
            code_version="1",
            expected_generation=expected,
        )
        return store.commit(staged, run_id=run_id, inputs_are_current=lambda _: is_current)


def commit_all(root: Path, table: TableSchema, numbers: Iterable[int]) -> None:
    """Commit one number after the other on an empty root."""
    store = TableStore(root, present)
    for generation, number in enumerate(numbers):
        assert commit_numbered(store, table, number, expected=generation).outcome == "committed"


def number_in(path: Path | str) -> int:
    """Return the one number whose rows a file holds; fails for a mixed, short or unreadable file."""
    with open(path, "rb") as stream:
        numbers, rows = _numbers_and_rows(stream.read())
    assert len(numbers) == 1, f"{path} holds rows of {set(numbers)}"
    (number,) = numbers
    assert rows == rows_of(number), f"{path} holds {rows} rows, {number} has {rows_of(number)}"
    return number


@lru_cache(maxsize=256)
def _numbers_and_rows(data: bytes) -> tuple[frozenset[int], int]:
    """Read a file of these bytes: the numbers in it, and how many rows it has."""
    rows = pq.ParquetFile(io.BytesIO(data)).read(use_threads=False)
    return frozenset(rows["generation"].to_pylist()), rows.num_rows


def records(root: Path, table: TableSchema) -> list[dict[str, Any]]:
    """Read a partition's log; fails where it has gaps, foreign names or records that cannot be read."""
    folder = root / "_store" / table.name / "log" / f"dt={DAY}"
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    assert names == [f"{number:08d}.json" for number in range(1, len(names) + 1)], f"the log has gaps: {names}"
    found = [json.loads((folder / name).read_bytes()) for name in names]
    assert [record["generation"] for record in found] == list(range(1, len(names) + 1))
    return found


def numbers(root: Path, table: TableSchema) -> list[int]:
    """Return the number of each generation in the log, in order."""
    return [int(record["inputs"]["number"]) for record in records(root, table)]


def object_path(root: Path, table: TableSchema, sha256: str) -> Path:
    """Return where an object lies."""
    return root / "_store" / table.name / "objects" / sha256[:2] / f"{sha256}.parquet"


def stored_objects(root: Path, table: TableSchema) -> set[str]:
    """Return the hashes by which objects of a table are stored."""
    return {Path(name).stem for name in files_below(root / "_store" / table.name / "objects")}


def assert_record_holds(root: Path, table: TableSchema, record: Mapping[str, Any]) -> None:
    """Check that the objects of a record are there, with the bytes, sizes and rows that it says."""
    assert sorted(file["name"] for file in record["files"]) == sorted(table.files)
    for file in record["files"]:
        data = object_path(root, table, file["sha256"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == file["sha256"], "an object's bytes are not those of its name"
        assert len(data) == file["size_bytes"]
        assert number_in(object_path(root, table, file["sha256"])) == int(record["inputs"]["number"])
        assert file["rows"] == rows_of(int(record["inputs"]["number"]))


def assert_view_is_whole(root: Path, table: TableSchema, allowed: Iterable[int], *, complete: bool) -> None:
    """Check what a plain reader sees before any recovery: whole files, of numbers that the log has.

    Args:
        root: The root.
        table: The table.
        allowed: The numbers in the log.
        complete: All files must be there.
    """
    known = set(allowed)
    shown = files_below(root / "data") if (root / "data").is_dir() else []
    wanted = {f"{table.name}/dt={DAY}/{name}" for name in table.files}
    assert set(shown) <= wanted, f"the view shows {shown}"
    assert not complete or set(shown) == wanted, f"the view lacks files: {shown}"
    for name in shown:
        assert number_in(root / "data" / name) in known, "the view shows what the log has not"


def assert_whole(root: Path, table: TableSchema) -> None:
    """Check that log, objects and view agree, and that nothing is left in scratch."""
    history = records(root, table)
    view = root / "data"
    wanted = sorted(f"{table.name}/dt={DAY}/{name}" for name in table.files) if history else []
    shown = files_below(view) if view.is_dir() else []
    assert shown == wanted, f"the view shows {shown}"
    assert not any((root / "_store" / "tmp").glob("*")), "scratch is not empty"
    if not history:
        return
    assert_record_holds(root, table, history[-1])
    for file in history[-1]["files"]:
        data = (view / table.name / f"dt={DAY}" / file["name"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == file["sha256"], "the view is not the head"


def assert_no_litter(root: Path, table: TableSchema) -> None:
    """Collect what no record names, and check that then every object is one that the log names, and all are there."""
    TableStore(root, present).collect(keep_last=10**6, older_than=timedelta(0), now=present() + timedelta(days=1))
    named = {file["sha256"] for record in records(root, table) for file in record["files"]}
    assert stored_objects(root, table) == named, "objects are not those that the log names"


def recover(root: Path) -> None:
    """Open a root anew and recover it."""
    broken = TableStore(root, present).recover().broken
    assert broken == (), f"recovery could not mend {broken}"
