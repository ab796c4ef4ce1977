"""Loading rows of a version: checked, split, sampled, as whatever a trainer wants.

Belongs here: one description of what to load, and the forms it can take. Does not belong here: finding and comparing
files (``pinned_data``), and what a split or a sample is (``training``).

Rows come in the order of the tables, days first; a batch holds at most so many of them, and never is more than a few
batches in memory, except where all rows are asked for at once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ml_data_platform.datasets.firewall import (
    inspect_columns,
    inspect_folds,
    inspect_rows,
    inspect_split,
    require_clean,
)
from ml_data_platform.datasets.known_days import known_through
from ml_data_platform.datasets.label_maturity import inspect_maturity
from ml_data_platform.datasets.pinned_data import PinnedData
from ml_data_platform.datasets.stored_folds import chosen_folds, with_stored_folds
from ml_data_platform.errors import LeakageError, SplitError
from ml_data_platform.events.sql_text import sql_identifier
from ml_data_platform.features.catalog import CATALOG, feature_columns
from ml_data_platform.features.dialects import DUCKDB, render
from ml_data_platform.storage import duck
from ml_data_platform.training.folds import Strategy
from ml_data_platform.training.leakage import Finding
from ml_data_platform.training.sampling import NegativeSampling, keep_condition, sampling_for_ratio
from ml_data_platform.training.temporal import Part, TemporalSplit, part_query, require_room

if TYPE_CHECKING:
    import pandas as pd

BATCH_ROWS = 65_536
LABEL = "label"
_BY_FOLD = "stratified_partitions"
_BY_DAY = "date_partitions"
_SORT = "event_timestamp, event_id"


@dataclass(frozen=True)
class Selected:
    """What is loaded.

    Attributes:
        split: The split; none for all rows of the version.
        part: ``train``, ``test`` or ``all``.
        columns: Columns to load, of any role; by default the features and the label.
        negatives_per_positive: Keep so many negatives per positive in the train part; none keeps all.
        folds: Only users of these folds; none for all.
        fold_strategy: Which folds: ``keyed_hash`` for those published with each day, or the strategy of those stored
            with the version; by default those that are stored with it, or else the published ones.
    """

    split: TemporalSplit | None = None
    part: Part = "all"
    columns: tuple[str, ...] = ()
    negatives_per_positive: float | None = None
    folds: tuple[int, ...] | None = None
    fold_strategy: Strategy | None = None


@dataclass(frozen=True)
class Dataset:
    """Rows of a version, ready to be read as often as wanted; the same rows each time.

    Attributes:
        data: The version and its files.
        selected: What is loaded.
        sampling: How the train part's negatives are sampled; rate 1 keeps all.
        findings: What the leakage firewall found: every check passed.
        rows: Number of rows that come out.
        memory_limit: Bound of the query engine.
        threads: Its threads.
    """

    data: PinnedData
    selected: Selected
    sampling: NegativeSampling
    findings: tuple[Finding, ...]
    rows: int
    memory_limit: str = "1GB"
    threads: int = 2
    files: tuple[str, ...] = field(default=(), repr=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that come out, in order."""
        return self.selected.columns or (*feature_columns(_BY_DAY), LABEL)

    def batches(self, rows: int = BATCH_ROWS, *, worker: int = 0, workers: int = 1) -> Iterator[pa.RecordBatch]:
        """Yield the rows in batches.

        Args:
            rows: Most rows of a batch.
            worker: Number of this reader, from 0 on.
            workers: How many readers share the rows: each row comes to exactly one, by a hash of its event.
        """
        if not 0 <= worker < workers or rows < 1:
            raise SplitError(
                "there is no such worker or batch", expected="0 <= worker < workers, rows >= 1", got=worker
            )
        names = ", ".join(sql_identifier(name) for name in self.columns)
        share = f"@hash32('worker:' || event_id) % {workers} = {worker}" if workers > 1 else "TRUE"
        query = f"SELECT {names} FROM ({_selected_query(self.selected, self.sampling, self.files)}) WHERE {share} ORDER BY {_SORT}"
        with _engine(self.data, self.memory_limit, self.threads) as connection:
            yield from connection.sql(render(query, DUCKDB)).to_arrow_reader(rows)

    def to_arrow(self) -> pa.Table:
        """Return all rows as an Arrow table."""
        batches = list(self.batches())
        types = {column.name: column.type for column in CATALOG[_BY_DAY]}
        return pa.Table.from_batches(batches, schema=pa.schema([(name, types[name]) for name in self.columns]))

    def to_pandas(self) -> pd.DataFrame:
        """Return all rows as a data frame."""
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def to_numpy(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int8]]:
        """Return the features as a matrix of floats, missing values as NaN, and the labels."""
        table = self.to_arrow()
        names = [name for name in self.columns if name in feature_columns(_BY_DAY)]
        columns = [as_floats(table[name]) for name in names]
        matrix = np.column_stack(columns) if columns else np.empty((table.num_rows, 0))
        labels = table[LABEL].to_numpy().astype(np.int8) if LABEL in self.columns else np.empty(0, np.int8)
        return matrix, labels

    def to_torch(self, rows: int = 1024) -> Any:
        """Return a PyTorch ``IterableDataset`` of (features, labels) batches; its workers share the rows.

        Raises:
            ImportError: PyTorch is not installed.
        """
        from ml_data_platform.datasets.torch_rows import torch_rows

        return torch_rows(self, rows)


def as_floats(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Return a numeric or boolean column as floats, missing values as NaN."""
    values: npt.NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values


def select_rows(
    data: PinnedData,
    selected: Selected,
    *,
    memory_limit: str = "1GB",
    threads: int = 2,
) -> Dataset:
    """Choose rows of a version, after the firewall has looked at all that take part.

    Args:
        data: The version and its files, compared already.
        selected: What to load.
        memory_limit: Bound of the query engine.
        threads: Its threads.

    Raises:
        LeakageError: A check failed, or a column is asked for that must not be learnt from.
        SplitError: The split leaves no room, a fold does not exist, or the test part was to be sampled.
        UnpinnedDataError: The version lacks the data set or the folds that are asked for.
    """
    _require_columns(selected)
    stored = chosen_folds(data.manifest, selected.folds, selected.fold_strategy)
    wants_published = selected.folds is not None and stored is None
    name = _BY_FOLD if wants_published else _BY_DAY
    dataset = data.dataset(name) if data.manifest.dataset(name) or wants_published else data.dataset(_BY_FOLD)
    if selected.negatives_per_positive is not None and selected.part == "test":
        raise SplitError("the test part is never sampled", remedy="Leave negatives_per_positive out for it.")
    files = tuple(_relation_parts(data, dataset.name))
    if stored is not None and files:
        files = (with_stored_folds(f"({' UNION ALL '.join(files)})", stored, data.paths[stored.file.path]),)
    with _engine(data, memory_limit, threads) as connection:
        findings = _inspect(connection, files, dataset.name, selected, data)
        require_clean(findings, data.manifest.tag)
        everything = NegativeSampling(1.0)
        sampling = everything
        if selected.negatives_per_positive is not None:
            negatives, positives = _class_counts(connection, _selected_query(selected, everything, files))
            sampling = sampling_for_ratio(positives, negatives, selected.negatives_per_positive)
        chosen = render(_selected_query(selected, sampling, files), DUCKDB)
        rows = _one(connection, f"SELECT count(*) FROM ({chosen})")
    return Dataset(data, selected, sampling, findings, int(rows), memory_limit, threads, files)


def _inspect(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[str],
    table: str,
    selected: Selected,
    data: PinnedData,
) -> tuple[Finding, ...]:
    rows = _all_rows(files)
    names = [column.name for dataset in data.manifest.datasets if dataset.name == table for column in dataset.columns]
    found = [
        inspect_columns(table, names),
        *inspect_rows(connection, rows),
        inspect_maturity(connection, rows, data.manifest),
    ]
    stored = chosen_folds(data.manifest, selected.folds, selected.fold_strategy)
    if (table == _BY_FOLD and stored is None) or (stored is not None and not stored.accepts):
        found += inspect_folds(connection, rows)
    if selected.split is not None:
        first = _one(connection, f"SELECT min(event_timestamp) FROM {rows}")
        if first is not None:
            require_room(selected.split, first, known_through(data.manifest))
        train = f"({render(part_query(rows, selected.split, 'train'), DUCKDB)})"
        test = f"({render(part_query(rows, selected.split, 'test'), DUCKDB)})"
        may_return = selected.split.shared_users == "allow"
        found += inspect_split(connection, train, test, selected.split.cutoff, users_may_return=may_return)
    return tuple(found)


def _require_columns(selected: Selected) -> None:
    known = {column.name for column in CATALOG[_BY_DAY]}
    unknown = [name for name in selected.columns if name not in known]
    if unknown:
        raise LeakageError(
            "columns were asked for that are not in the training tables",
            remedy="Ask for features, keys or the label.",
            expected=sorted(known),
            got=unknown,
        )


def _relation_parts(data: PinnedData, name: str) -> Iterator[str]:
    """Yield one subquery per day, with the fold where the path says it."""
    columns = ", ".join(sql_identifier(column.name) for column in CATALOG[name])
    for file in data.dataset(name).files:
        if file.rows:
            fold = next((str(int(part[5:])) for part in file.path.split("/") if part.startswith("fold=")), "NULL")
            rows = duck.bound_parquet([str(data.paths[file.path])])
            yield f"SELECT {columns}, CAST({fold} AS BIGINT) AS fold FROM {rows}"


def _all_rows(files: Sequence[str]) -> str:
    if files:
        return f"({' UNION ALL '.join(files)})"
    nothing = ", ".join(
        f"CAST(NULL AS {duck.sql_type(column.type)}) AS {sql_identifier(column.name)}" for column in CATALOG[_BY_DAY]
    )
    return f"(SELECT {nothing}, CAST(NULL AS BIGINT) AS fold WHERE FALSE)"


def _selected_query(selected: Selected, sampling: NegativeSampling, files: Sequence[str]) -> str:
    rows = _all_rows(files)
    query = part_query(rows, selected.split, selected.part) if selected.split else f"SELECT * FROM {rows}"
    if selected.folds is not None:
        chosen = ", ".join(str(int(fold)) for fold in selected.folds) or "NULL"
        query = f"SELECT * FROM ({query}) WHERE fold IN ({chosen})"
    return f"SELECT * FROM ({query}) WHERE {keep_condition(sampling)}"


def _class_counts(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[int, int]:
    counted = f"SELECT count(*) FILTER (label = 0), count(*) FILTER (label = 1) FROM ({render(query, DUCKDB)})"
    row = connection.execute(counted).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


@contextmanager
def _engine(data: PinnedData, memory_limit: str, threads: int) -> Iterator[duckdb.DuckDBPyConnection]:
    with (
        tempfile.TemporaryDirectory(prefix="ml-data-platform-") as scratch,
        duck.connect(
            Path(scratch),
            folders={path.parent for path in data.paths.values()},
            memory_limit=memory_limit,
            threads=threads,
        ) as connection,
    ):
        for path in data.paths.values():
            duck.bind_files(connection, [str(path)])
        yield connection
