"""Loading rows of a version: checked, split, sampled, as whatever a trainer wants.

Belongs here: the order of loading, and the forms that rows can take. Does not belong here: finding and comparing files
(``pinned_data``), SQL over them (``version_rows``), reading them (``kept_rows``), and what a split or a sample is
(``training``).

Rows come in the order of the files: by day and within it by time; of chosen folds by day, fold and time. Never are more
than a few batches in memory, except where all rows are asked for at once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ml_data_platform.datasets.firewall import (
    inspect_columns,
    inspect_features,
    inspect_folds,
    inspect_rows,
    inspect_split,
    require_clean,
)
from ml_data_platform.datasets.kept_rows import KeptRows, Shuffling
from ml_data_platform.datasets.known_days import known_through
from ml_data_platform.datasets.label_maturity import inspect_maturity
from ml_data_platform.datasets.pinned_data import PinnedData
from ml_data_platform.datasets.row_order import inspect_order
from ml_data_platform.datasets.stored_folds import chosen_folds
from ml_data_platform.datasets.version_rows import Selected, VersionRows, count_classes, count_places, open_engine
from ml_data_platform.errors import LeakageError, SplitError
from ml_data_platform.features.catalog import CATALOG, feature_columns
from ml_data_platform.features.dialects import DUCKDB, render
from ml_data_platform.storage import duck
from ml_data_platform.training.leakage import Finding, finding
from ml_data_platform.training.sampling import NegativeSampling, sampling_for_ratio
from ml_data_platform.training.temporal import (
    SharedUsers,
    SplitRows,
    TemporalSplit,
    part_query,
    require_part,
    require_room,
    split_text,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Dataset", "Selected", "Shuffling", "select_rows", "shared_users_cost"]

BATCH_ROWS = 65_536
LABEL = "label"
_BY_FOLD = "stratified_partitions"
_BY_DAY = "date_partitions"


@dataclass(frozen=True)
class Dataset:
    """Rows of a version, ready to be read as often as wanted; the same rows each time.

    Attributes:
        data: The version and its files.
        selected: What is loaded.
        sampling: How the train part's negatives are sampled; rate 1 keeps all.
        findings: What the leakage firewall found: every check passed.
        kept: Where the rows that come out lie.
        rows_between_folds: Rows of the version that are in no fold, since users of several folds share their session.
        split_rows: Where the rows of the version lie, and which the split leaves out; none without a split.
    """

    data: PinnedData
    selected: Selected
    sampling: NegativeSampling
    findings: tuple[Finding, ...]
    kept: KeptRows
    rows_between_folds: int = 0
    split_rows: SplitRows | None = None

    def __repr__(self) -> str:
        """Say in a line what is loaded: a version names thousands of files."""
        parts = "" if self.selected.part == "all" else f", {self.selected.part} part"
        columns = "1 column" if len(self.columns) == 1 else f"{len(self.columns)} columns"
        split, rows = self.selected.split, self.split_rows
        said = "" if split is None or rows is None else f"; {split_text(split.shared_users, rows)}"
        return f"<{self.rows:,} rows of {self.data.manifest.tag}{parts}, {columns}{said}>"

    @property
    def rows(self) -> int:
        """Number of rows that come out."""
        return self.kept.count

    @property
    def accepted(self) -> tuple[str, ...]:
        """The features that tell the label of these rows, and are accepted by the version, with the reasons."""
        return tuple(text for each in self.findings for text in each.accepted)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that come out, in order."""
        return self.selected.columns or (*feature_columns(_BY_DAY), LABEL)

    @property
    def schema(self) -> pa.Schema:
        """The columns with their types."""
        types = {column.name: column.type for column in CATALOG[_BY_DAY]}
        return pa.schema([(name, types[name]) for name in self.columns])

    def batches(
        self,
        rows: int = BATCH_ROWS,
        *,
        worker: int = 0,
        workers: int = 1,
        shuffle_seed: int | None = None,
        epoch: int = 0,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows in batches, reading as they are asked for.

        Args:
            rows: Rows of a batch; the last one may be smaller.
            worker: Number of this reader, from 0 on.
            workers: How many readers share the rows: each row comes to exactly one, and no reader has more than one row
                more than another.
            shuffle_seed: Shuffle the rows: blocks of them among each other, and the rows of a few blocks at a time. The
                same seed, epoch and workers, the same order. None: the order of the files.
            epoch: Number of the pass over the rows; each has another order.

        Raises:
            SplitError: There is no such worker, or a number is negative.
        """
        if not 0 <= worker < workers or rows < 1:
            raise SplitError(
                "there is no such worker or batch",
                expected="0 <= worker < workers, rows >= 1",
                got=f"worker {worker} of {workers}, {rows} rows",
            )
        if epoch < 0 or (shuffle_seed or 0) < 0:
            raise SplitError("seed and epoch are not negative", got=f"seed {shuffle_seed}, epoch {epoch}")
        shuffling = None if shuffle_seed is None else Shuffling(shuffle_seed, epoch)
        return self.kept.batches(self.schema, rows, worker=worker, workers=workers, shuffling=shuffling)

    def to_arrow(self) -> pa.Table:
        """Return all rows as an Arrow table."""
        return pa.Table.from_batches(self.batches(), schema=self.schema)

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

    def to_torch(self, rows: int = 1024, *, shuffle_seed: int | None = None) -> Any:
        """Return a PyTorch ``IterableDataset`` of (features, labels) batches; its workers share the rows.

        Args:
            rows: Rows of a batch; give the ``DataLoader`` ``batch_size=None``.
            shuffle_seed: See ``batches``; ``set_epoch`` of what is returned gives each pass another order.

        Raises:
            ImportError: PyTorch is not installed.
            SplitError: Neither features nor a label are loaded.
        """
        from ml_data_platform.datasets.torch_rows import TorchRows

        return TorchRows(self, rows, shuffle_seed)


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
        SplitError: The split leaves no room, a part, fold or strategy does not exist, or the test part was to be sampled.
        UnpinnedDataError: The version lacks the data set or the folds that are asked for.
    """
    require_part(selected.part)
    _require_columns(selected)
    stored = chosen_folds(data.manifest, selected.folds, selected.fold_strategy)
    wants_published = selected.folds is not None and stored is None
    by_fold = wants_published or data.manifest.dataset(_BY_DAY) is None
    rows = VersionRows.of(data, _BY_FOLD if by_fold else _BY_DAY, stored)
    if selected.negatives_per_positive is not None and selected.part == "test":
        raise SplitError("the test part is never sampled", remedy="Leave negatives_per_positive out for it.")
    with open_engine(data, memory_limit, threads) as connection:
        rows.bind(connection)
        findings = _inspect(connection, rows, selected, data)
        require_clean(findings, data.manifest.tag)
        split_rows = None if selected.split is None else count_places(connection, rows.relation(), selected.split)
        sampling = everything = NegativeSampling(1.0)
        if selected.negatives_per_positive is not None:
            negatives, positives = count_classes(connection, rows.query(selected, everything, LABEL))
            sampling = sampling_for_ratio(positives, negatives, selected.negatives_per_positive)
        if selected.is_everything and selected.folds is None and sampling.rate == 1:
            return Dataset(data, selected, sampling, findings, KeptRows(rows.files), split_rows=split_rows)
        kept = KeptRows(rows.files, rows.places(connection, selected, sampling))
        between = 0 if selected.folds is None else _count_between_folds(connection, rows)
    return Dataset(data, selected, sampling, findings, kept, between, split_rows)


def shared_users_cost(
    data: PinnedData, split: TemporalSplit, *, memory_limit: str = "1GB", threads: int = 2
) -> dict[str, int]:
    """Return each choice of ``shared_users`` with the rows that it leaves out for their users' sake.

    Args:
        data: The version and its files, compared already.
        split: The split; its own choice does not matter.
        memory_limit: Bound of the query engine.
        threads: Its threads.
    """
    rows = VersionRows.of(data, _BY_FOLD if data.manifest.dataset(_BY_DAY) is None else _BY_DAY)
    choices: tuple[SharedUsers, ...] = ("keep", "divide", "purge")
    with open_engine(data, memory_limit, threads) as connection:
        rows.bind(connection)
        counted = {
            choice: count_places(connection, rows.relation(), replace(split, shared_users=choice)) for choice in choices
        }
    return {choice: places.shared_users for choice, places in counted.items()}


def _inspect(
    connection: duckdb.DuckDBPyConnection, rows: VersionRows, selected: Selected, data: PinnedData
) -> tuple[Finding, ...]:
    names = [
        each.name for dataset in data.manifest.datasets if dataset.name == rows.dataset for each in dataset.columns
    ]
    relation = rows.relation()
    accepted = {each.feature: each.reason for each in data.manifest.accepted_features}
    found = [
        inspect_columns(rows.dataset, names),
        *inspect_rows(connection, relation, accepted=accepted),
        inspect_maturity(connection, relation, data.manifest),
    ]
    found += [inspect_order(rows.files), *_inspect_features(connection, rows, data)]
    if rows.keeps_groups and (rows.dataset == _BY_FOLD or rows.stored is not None):
        found += inspect_folds(connection, relation, rows.whole_sessions())
    if selected.split is not None:
        ((first,),) = connection.execute(f"SELECT min(event_timestamp) FROM {relation}").fetchall()
        if first is not None:
            require_room(selected.split, first, known_through(data.manifest))
        train = f"({render(part_query(relation, selected.split, 'train'), DUCKDB)})"
        test = f"({render(part_query(relation, selected.split, 'test'), DUCKDB)})"
        users_may_return = selected.split.keeps_users
        found += inspect_split(connection, train, test, selected.split.cutoff, users_may_return=users_may_return)
    return tuple(found)


def _count_between_folds(connection: duckdb.DuckDBPyConnection, rows: VersionRows) -> int:
    counted = f"SELECT (SELECT count(*) FROM {rows.relation()}) - (SELECT count(*) FROM {rows.whole_sessions()})"
    ((count,),) = connection.execute(counted).fetchall()
    return int(count)


def _inspect_features(
    connection: duckdb.DuckDBPyConnection, rows: VersionRows, data: PinnedData
) -> tuple[Finding, ...]:
    """Recompute features of some days, where their events are at hand; nothing is found where they are not."""
    found = []
    for day, paths in data.events.items():
        events = f"(SELECT * FROM {duck.parquet(connection, paths)})"
        features = rows.of_day(day)
        features.bind(connection)
        found.append(inspect_features(connection, features.relation(), events, dt.date.fromisoformat(day)))
    examples = [example for each in found for example in each.examples]
    return (finding(found[0].check, sum(each.offences for each in found), examples),) if found else ()


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
