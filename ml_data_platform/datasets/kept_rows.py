"""Which rows of which files come out, and reading them in bounded memory, alone or shared by workers.

Belongs here: places of rows in files, as a bit each, and batches of them. Does not belong here: deciding which rows are
kept (``loading``), and finding or comparing files (``pinned_data``).

Files are read a few thousand rows at a time, and nothing is sorted: the tables are stored in the order of time. A worker
reads one stretch of the kept rows, as long as any other's, and only the files that hold it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

READ_ROWS = 32_768
BLOCK_ROWS = 131_072
"""Rows that lie together in a file and stay near each other when rows are shuffled: about a row group."""

Bits = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class StoredFile:
    """A file with rows: where it lies, how many it has, the fold of all of them where there is one, and their UTC day."""

    path: Path
    rows: int
    fold: int | None = None
    day: str = ""


@dataclass(frozen=True)
class Shuffling:
    """An order of rows that depends on these numbers and the number of workers alone.

    Attributes:
        seed: 0 or more; another seed, another order.
        epoch: 0 or more; another pass over the rows, another order.
        buffer_rows: Rows that are in memory to be shuffled; those of a few blocks, which are shuffled themselves.
    """

    seed: int
    epoch: int = 0
    buffer_rows: int = 2 * BLOCK_ROWS


@dataclass(frozen=True)
class Stretch:
    """Rows of a file from ``first`` on, up to ``stop`` exclusive; ``kept`` of them come out."""

    file: int
    first: int
    stop: int
    kept: int


@dataclass(frozen=True)
class KeptRows:
    """The rows that come out.

    Attributes:
        files: Files in the order in which they are read.
        masks: Number of a file to a bit per row, packed; a file that is not named has no rows that come out. None: all
            rows of all files do.
    """

    files: tuple[StoredFile, ...]
    masks: Mapping[int, Bits] | None = None

    @property
    def count(self) -> int:
        """How many rows come out."""
        if self.masks is None:
            return sum(file.rows for file in self.files)
        return sum(int(np.bitwise_count(bits).sum(dtype=np.int64)) for bits in self.masks.values())

    def batches(
        self, schema: pa.Schema, rows: int, *, worker: int = 0, workers: int = 1, shuffling: Shuffling | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of one worker in batches of ``rows`` rows, the last one smaller.

        Args:
            schema: The columns, which the files have.
            rows: Rows of a batch.
            worker: Number of the worker, from 0 on.
            workers: How many share the rows: each row comes to exactly one.
            shuffling: The order; by default that of the files.
        """
        stretches = self._stretches()
        if shuffling is not None:
            order = np.random.default_rng([shuffling.seed, shuffling.epoch]).permutation(len(stretches))
            stretches = [stretches[place] for place in order]
        read = self._read(self._share(stretches, worker, workers), schema, use_threads=workers == 1)
        if shuffling is not None:
            rng = np.random.default_rng([shuffling.seed, shuffling.epoch, worker, workers])
            read = _shuffled(read, shuffling.buffer_rows, rng)
        return _of_size(read, rows)

    def _stretches(self) -> list[Stretch]:
        """Return the blocks of all files that have kept rows, in order."""
        found = []
        for number, file in enumerate(self.files):
            mask = self._mask(number)
            for first in range(0, file.rows, BLOCK_ROWS):
                stop = min(first + BLOCK_ROWS, file.rows)
                kept = stop - first if mask is None else int(np.count_nonzero(mask[first:stop]))
                found.append(Stretch(number, first, stop, kept))
        return [stretch for stretch in found if stretch.kept]

    def _mask(self, number: int) -> npt.NDArray[np.bool_] | None:
        if self.masks is None:
            return None
        rows = self.files[number].rows
        if number not in self.masks:
            return np.zeros(rows, dtype=bool)
        return np.unpackbits(self.masks[number], count=rows).astype(bool)

    def _share(self, stretches: Sequence[Stretch], worker: int, workers: int) -> Iterator[Stretch]:
        """Yield a worker's part of the rows: cut into as many parts as there are workers, equal but for one row."""
        count = sum(stretch.kept for stretch in stretches)
        begin, end = count * worker // workers, count * (worker + 1) // workers
        before = 0
        for stretch in stretches:
            low, high = max(begin - before, 0), min(end - before, stretch.kept)
            before += stretch.kept
            if low < high:
                yield stretch if (low, high) == (0, stretch.kept) else self._cut(stretch, low, high)

    def _cut(self, stretch: Stretch, low: int, high: int) -> Stretch:
        """Return the part of a stretch from its ``low``-th kept row on, up to its ``high``-th, exclusive."""
        mask = self._mask(stretch.file)
        if mask is None:
            return Stretch(stretch.file, stretch.first + low, stretch.first + high, high - low)
        places = np.flatnonzero(mask[stretch.first : stretch.stop]) + stretch.first
        return Stretch(stretch.file, int(places[low]), int(places[high - 1]) + 1, high - low)

    def _read(self, stretches: Iterable[Stretch], schema: pa.Schema, *, use_threads: bool) -> Iterator[pa.RecordBatch]:
        for stretch in stretches:
            mask = self._mask(stretch.file)
            with pq.ParquetFile(self.files[stretch.file].path) as file:
                groups, at = _row_groups(file, stretch)
                read = file.iter_batches(READ_ROWS, row_groups=groups, columns=schema.names, use_threads=use_threads)
                for batch in read:
                    low, high = max(stretch.first - at, 0), min(stretch.stop - at, batch.num_rows)
                    if low < high:
                        chosen = batch.select(schema.names).slice(low, high - low)
                        yield (chosen if mask is None else chosen.filter(pa.array(mask[at + low : at + high]))).cast(
                            schema
                        )
                    at += batch.num_rows


def packed_masks(files: Sequence[StoredFile], places: Iterable[tuple[int, npt.NDArray[np.int64]]]) -> dict[int, Bits]:
    """Return a bit per row for the rows that are named, in any order.

    Args:
        files: The files.
        places: Numbers of files, each with numbers of rows in it from 0 on; a file may come several times.
    """
    masks: dict[int, Bits] = {}
    for number, rows in places:
        bits = np.zeros(files[number].rows, dtype=bool)
        bits[rows] = True
        packed = np.packbits(bits)
        masks[number] = packed | masks[number] if number in masks else packed
    return masks


def _row_groups(file: pq.ParquetFile, stretch: Stretch) -> tuple[list[int], int]:
    """Return the row groups that hold a stretch, and the number of the first row of the first of them."""
    groups: list[int] = []
    at = before = 0
    for number in range(file.metadata.num_row_groups):
        rows = file.metadata.row_group(number).num_rows
        if before < stretch.stop and stretch.first < before + rows:
            at = at if groups else before
            groups.append(number)
        before += rows
    return groups, at


def _shuffled(batches: Iterable[pa.RecordBatch], rows: int, rng: np.random.Generator) -> Iterator[pa.RecordBatch]:
    for gathered in _of_size(batches, rows):
        yield gathered.take(pa.array(rng.permutation(gathered.num_rows)))


def _of_size(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the same rows in batches of ``rows`` rows, the last one smaller."""
    pending: list[pa.RecordBatch] = []
    missing = rows
    for batch in batches:
        at = 0
        while at < batch.num_rows:
            piece = batch.slice(at, missing)
            pending.append(piece)
            at += piece.num_rows
            missing -= piece.num_rows
            if not missing:
                yield pending[0] if len(pending) == 1 else pa.concat_batches(pending)
                pending, missing = [], rows
    if pending:
        yield pending[0] if len(pending) == 1 else pa.concat_batches(pending)
