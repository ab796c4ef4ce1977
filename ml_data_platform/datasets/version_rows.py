"""The stored rows of a version as a relation, and the query for those that are selected.

Belongs here: SQL over the files of a version, and where the selected rows lie in them. Does not belong here: finding the
files (``pinned_data``), the checks (``firewall``), and reading what was selected (``kept_rows``).
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from ml_data_platform.datasets.kept_rows import Bits, StoredFile, packed_masks
from ml_data_platform.datasets.manifest import FoldFacts
from ml_data_platform.datasets.pinned_data import PinnedData
from ml_data_platform.datasets.stored_folds import with_stored_folds
from ml_data_platform.events.sql_text import sql_identifier
from ml_data_platform.features.catalog import CATALOG
from ml_data_platform.features.dialects import DUCKDB, render
from ml_data_platform.storage import duck
from ml_data_platform.training.folds import Strategy
from ml_data_platform.training.sampling import NegativeSampling, keep_condition
from ml_data_platform.training.temporal import Part, SplitRows, TemporalSplit, part_query, split_rows_query

_FETCHED_ROWS = 1_000_000


@dataclass(frozen=True)
class Selected:
    """What is loaded.

    Attributes:
        split: The split; none for all rows of the version.
        part: ``train``, ``test`` or ``all``.
        columns: Columns to load, of any role; by default the features and the label.
        negatives_per_positive: Keep so many negatives per positive in the train part; none keeps all.
        folds: Only users of these folds; none for all. Rows of a session whose users are in several folds are in none.
        fold_strategy: Which folds: ``keyed_hash`` for those published with each day, or the strategy of those stored
            with the version; by default those that are stored with it, or else the published ones.
    """

    split: TemporalSplit | None = None
    part: Part = "all"
    columns: tuple[str, ...] = ()
    negatives_per_positive: float | None = None
    folds: tuple[int, ...] | None = None
    fold_strategy: Strategy | None = None

    @property
    def is_everything(self) -> bool:
        """Whether all rows of the chosen folds come out, the negatives aside."""
        return self.split is None or self.part == "all"


@dataclass(frozen=True)
class VersionRows:
    """The rows of one data set of a version.

    Attributes:
        dataset: Its name.
        files: Its files that have rows, by day.
        stored: Folds that take the place of those of the files; none where those count.
        fold_file: The table of those folds.
    """

    dataset: str
    files: tuple[StoredFile, ...]
    stored: FoldFacts | None = None
    fold_file: Path | None = None

    @classmethod
    def of(cls, data: PinnedData, name: str, stored: FoldFacts | None = None) -> VersionRows:
        """Return the rows of a data set.

        Args:
            data: The version and its files.
            name: The data set.
            stored: The stored folds, where those are meant.

        Raises:
            UnpinnedDataError: The version does not hold it.
        """
        files = [
            StoredFile(data.paths[file.path], file.rows, _fold_of(file.path), partition.day)
            for partition in data.dataset(name).partitions
            for file in partition.files
            if file.rows
        ]
        return cls(name, tuple(files), stored, None if stored is None else data.paths[stored.file.path])

    def bind(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Bind the names of the files to a connection, for the relation and the queries over it."""
        for paths in self._groups().values():
            duck.bind_files(connection, paths)

    def relation(self) -> str:
        """Return a relation with the columns of the data set, and ``fold``, ``file_group``, ``file_index``, ``file_row_number``."""
        columns = [column.name for column in CATALOG[self.dataset]]
        if not self.files:
            return _no_rows(self.dataset)
        names = ", ".join(map(sql_identifier, columns))
        parts = [
            f"SELECT {names}, CAST({'NULL' if fold is None else int(fold)} AS BIGINT) AS fold, {number:d} AS file_group, "
            f"file_index, file_row_number FROM {duck.bound_parquet(paths)}"
            for number, (fold, paths) in enumerate(self._groups().items())
        ]
        rows = f"({' UNION ALL '.join(parts)})"
        if self.stored is None or self.fold_file is None:
            return rows
        return f"({with_stored_folds(rows, self.stored, self.fold_file)})"

    def of_day(self, day: str) -> VersionRows:
        """Return the rows of one UTC day."""
        return replace(self, files=tuple(file for file in self.files if file.day == day))

    def query(self, selected: Selected, sampling: NegativeSampling, columns: str) -> str:
        """Return the query for the selected rows, in no order.

        Args:
            selected: What is loaded.
            sampling: Which negatives.
            columns: Select list.
        """
        rows = self.relation()
        query = part_query(rows, selected.split, selected.part) if selected.split else f"SELECT * FROM {rows}"
        if selected.folds is not None:
            chosen = ", ".join(str(int(fold)) for fold in selected.folds) or "NULL"
            query = f"SELECT * FROM ({query}) WHERE fold IN ({chosen}) AND {self._is_whole()}"
        return render(f"SELECT {columns} FROM ({query}) WHERE {keep_condition(sampling)}", DUCKDB)

    @property
    def keeps_groups(self) -> bool:
        """Whether users and sessions must be in one fold: not where words accept that the stored folds tear them."""
        return self.stored is None or not self.stored.accepts

    def whole_sessions(self) -> str:
        """Return the relation without the rows of sessions that are in several folds: those of users who log in, mostly."""
        return f"(SELECT * FROM {self.relation()} WHERE {self._is_whole()})"

    def places(
        self, connection: duckdb.DuckDBPyConnection, selected: Selected, sampling: NegativeSampling
    ) -> dict[int, Bits]:
        """Return where the selected rows lie: number of a file to a bit per row."""
        numbers = {str(file.path): number for number, file in enumerate(self.files)}
        groups = [[numbers[path] for path in paths] for paths in self._groups().values()]
        query = self.query(selected, sampling, "file_group, file_index, file_row_number")

        def found() -> Iterator[tuple[int, Any]]:
            for batch in connection.sql(query).to_arrow_reader(_FETCHED_ROWS):
                group, index, row = (column.to_numpy(zero_copy_only=False).astype(np.int64) for column in batch.columns)
                for which, members in enumerate(groups):
                    for place in np.unique(index[group == which]):
                        yield members[int(place)], row[(group == which) & (index == place)]

        return packed_masks(self.files, found())

    def _is_whole(self) -> str:
        if not self.keeps_groups:
            return "TRUE"
        torn = f"SELECT session_uuid FROM {self.relation()} GROUP BY session_uuid HAVING min(fold) <> max(fold)"
        return f"session_uuid NOT IN ({torn})"

    def _groups(self) -> dict[int | None, list[str]]:
        """Return the files of each fold, so that a query names each fold once, however many days there are."""
        groups: dict[int | None, list[str]] = {}
        for file in self.files:
            groups.setdefault(file.fold, []).append(str(file.path))
        return groups


@contextmanager
def open_engine(data: PinnedData, memory_limit: str, threads: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection that reaches the files of a version."""
    with (
        tempfile.TemporaryDirectory(prefix="ml-data-platform-") as scratch,
        duck.connect(
            Path(scratch),
            folders={path.parent for path in [*data.paths.values(), *itertools.chain(*data.events.values())]},
            memory_limit=memory_limit,
            threads=threads,
        ) as connection,
    ):
        yield connection


def count_classes(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[int, int]:
    """Return the numbers of negatives and positives of a query with the column ``label``."""
    counted = f"SELECT count(*) FILTER (label = 0), count(*) FILTER (label = 1) FROM ({query})"
    ((negatives, positives),) = connection.execute(counted).fetchall()
    return int(negatives), int(positives)


def count_places(connection: duckdb.DuckDBPyConnection, relation: str, split: TemporalSplit) -> SplitRows:
    """Return how many rows of a relation lie where in a split."""
    (counts,) = connection.execute(render(split_rows_query(relation, split), DUCKDB)).fetchall()
    return SplitRows(*map(int, counts))


def _fold_of(path: str) -> int | None:
    return next((int(part.removeprefix("fold=")) for part in path.split("/") if part.startswith("fold=")), None)


def _no_rows(dataset: str) -> str:
    columns: Sequence[str] = [
        *(
            f"CAST(NULL AS {duck.sql_type(column.type)}) AS {sql_identifier(column.name)}"
            for column in CATALOG[dataset]
        ),
        *(f"CAST(NULL AS BIGINT) AS {name}" for name in ("fold", "file_group", "file_index", "file_row_number")),
    ]
    return f"(SELECT {', '.join(columns)} WHERE FALSE)"
