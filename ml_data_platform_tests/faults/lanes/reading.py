"""The lane of readers that never rest, while a writer never rests.

Belongs here: reading as plain tools do and as the platform does, and what each read must find. Does not belong here:
writing (`writers.recommit`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ml_data_platform.events.schemas import TableSchema
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.faults.lanes import numbered
from ml_data_platform_tests.faults.lanes.children import server
from ml_data_platform_tests.faults.lanes.kills import remove
from ml_data_platform_tests.faults.lanes.lane import Figures, Plan
from ml_data_platform_tests.storage_tables import DAY, PARTED, SINGLE, present

LONGEST_SECONDS = 3_600.0
READS_BETWEEN_LOOKS = 50
# A log that grows without end would make each read and each commit slower.
READS_OF_A_ROOT = 1_000
PATIENCE = 100
BY_NAME_EVERY = 10
QUERY = (
    "SELECT filename, min(generation), max(generation), count(*)"
    " FROM read_parquet(?, filename = true, hive_partitioning = false) GROUP BY filename"
)
# By file name within the partition, the number that it holds.
Reader = Callable[[], dict[str, int]]


def read_during_commits(plan: Plan) -> Figures:
    """Read a partition of one file and one of several while each is committed again and again.

    A plain reader finds every file, whole, of a number that is not older than what it found before; a reader through
    the log finds one number in all files. A plain reader is one that opens a file once: DuckDB and the datasets of
    pyarrow open a name several times for one read, so that they can meet two files under it whoever replaces it.
    Through the log they count; what becomes of them in the view is measured beside.
    """
    figures = Figures()
    with server(plan.mutant) as writer:
        while not plan.is_done(figures):
            table = (SINGLE, PARTED)[figures.notes.get("roots", 0) % 2]
            root = plan.folder / f"{table.name}-{figures.notes.get('roots', 0)}"
            root.mkdir()
            figures.count("roots")
            numbered.commit_all(root, table, [1])
            writer.order(do="recommit", root=root, table=table.name, first=2, seconds=LONGEST_SECONDS)
            before = len(figures.anomalies)
            seen = _read(plan, figures, root, table, min(figures.trials + READS_OF_A_ROOT, plan.trials))
            root.with_name(f"{root.name}.stop").touch()
            last = writer.answer()["last"]
            figures.count("commits", last)
            figures.count("generations seen", len(seen))
            if len(figures.anomalies) == before:
                with figures.noting(table.name):
                    assert set(_pyarrow(root, table)().values()) == {last}, "the view did not end at the last commit"
            remove(root)
        with figures.noting("all"):
            assert figures.notes["generations seen"] > figures.notes["roots"], "no commit happened during the reads"
    return figures


def _read(plan: Plan, figures: Figures, root: Path, table: TableSchema, end: int) -> set[int]:
    """Read until there are ``end`` reads and a commit among them, or enough anomalies; return the numbers seen."""
    readers = readers_of(root, table)
    by_name = _by_name(root, table)
    found_before: dict[str, dict[str, int]] = {name: {} for name in readers}
    seen: set[int] = set()
    for name, read in itertools.cycle(readers.items()):
        with figures.noting(f"{table.name}, {name}"):
            found = read()
            assert sorted(found) == sorted(table.files), f"files found: {sorted(found)}"
            older = found_before[name]
            assert all(number >= older.get(file, 0) for file, number in found.items()), f"{found} after {older}"
            assert not name.startswith("platform") or len(set(found.values())) == 1, f"a mix: {found}"
            found_before[name] = found
            seen |= set(found.values())
        figures.trials += 1
        if figures.trials % BY_NAME_EVERY == 0:
            for other, read_by_name in by_name.items():
                _try_by_name(figures, other, read_by_name)
        # Where the writer was kept from work meanwhile, the readers have tried nothing yet.
        is_tried = len(seen) > 1 or figures.trials >= end * PATIENCE
        if (figures.trials >= end and is_tried) or len(figures.anomalies) >= plan.enough:
            return seen
        if figures.trials % READS_BETWEEN_LOOKS == 0:
            plan.progress(figures)
    raise AssertionError


def readers_of(root: Path, table: TableSchema) -> dict[str, Reader]:
    """Return a plain reader of the view, and readers through the log."""
    return {
        "pyarrow": _pyarrow(root, table),
        "platform": _platform(root, table),
        "platform, DuckDB": _platform_duckdb(root, table),
    }


def _pyarrow(root: Path, table: TableSchema) -> Reader:
    folder = root / "data" / table.name / f"dt={DAY}"
    return lambda: {name: numbered.number_in(folder / name) for name in table.files}


def _query(connection: duckdb.DuckDBPyConnection, paths: str | list[str]) -> dict[str, int]:
    """Return by path the number that DuckDB finds in it."""
    found = {}
    for path, least, most, rows in connection.execute(QUERY, [paths]).fetchall():
        assert least == most, f"a mix in one file: {least} and {most}"
        assert rows == numbered.rows_of(least), f"{rows} rows of {least}"
        found[path] = least
    return found


def _by_name(root: Path, table: TableSchema) -> dict[str, Callable[[], None]]:
    """Return readers that open a name more than once for one read, each of which fails where it meets two files."""
    connection = duckdb.connect(config={"threads": 1})
    folder = root / "data" / table.name / f"dt={DAY}"

    def with_duckdb() -> None:
        assert len(_query(connection, f"{root}/data/**/*.parquet")) == len(table.files)

    def with_pyarrow() -> None:
        for name in table.files:
            rows = pq.read_table(folder / name, partitioning=None)
            (number,) = set(rows["generation"].to_pylist())
            assert rows.num_rows == numbered.rows_of(number)

    return {"DuckDB": with_duckdb, "pyarrow.read_table": with_pyarrow}


def _try_by_name(figures: Figures, name: str, read: Callable[[], None]) -> None:
    """Count what becomes of a read of the view by name: an error, or worse a wrong answer."""
    figures.count(f"{name} by name")
    try:
        read()
    except (duckdb.Error, OSError, pa.ArrowException):
        figures.count(f"{name} by name, met two files and said so")
    except (AssertionError, ValueError):
        figures.count(f"{name} by name, met two files silently")


def _platform(root: Path, table: TableSchema) -> Reader:
    store = TableStore(root, present)

    def read() -> dict[str, int]:
        reference = store.ref(table.name, [DAY])
        return {name: numbered.number_in(reference.paths(DAY, name)[0]) for name in table.files}

    return read


def _platform_duckdb(root: Path, table: TableSchema) -> Reader:
    store, connection = TableStore(root, present), duckdb.connect(config={"threads": 1})

    def read() -> dict[str, int]:
        reference = store.ref(table.name, [DAY])
        names = {reference.paths(DAY, name)[0]: name for name in table.files}
        return {names[path]: number for path, number in _query(connection, list(names)).items()}

    return read
