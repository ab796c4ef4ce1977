"""Kept rows of files with several row groups, cut into blocks: against plain lists."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_data_platform.datasets import kept_rows
from ml_data_platform.datasets.kept_rows import KeptRows, Shuffling, StoredFile, packed_masks

SCHEMA = pa.schema([("number", pa.int64())])
SIZES = (137, 1, 64, 300)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[StoredFile, ...]:
    """Four files of numbered rows, in row groups of 50, with a column that nobody asks for."""
    folder, found, first = tmp_path_factory.mktemp("kept"), [], 0
    for number, size in enumerate(SIZES):
        path = folder / f"{number}.parquet"
        rows = range(first, first + size)
        pq.write_table(pa.table({"other": ["x"] * size, "number": list(rows)}), path, row_group_size=50)
        found.append(StoredFile(path, size))
        first += size
    return tuple(found)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks and reads that fit neither each other nor the row groups."""
    monkeypatch.setattr(kept_rows, "BLOCK_ROWS", 41)
    monkeypatch.setattr(kept_rows, "READ_ROWS", 17)


def read(kept: KeptRows, rows: int, **how: object) -> list[list[int]]:
    """Return the numbers of each batch."""
    return [batch["number"].to_pylist() for batch in kept.batches(SCHEMA, rows, **how)]  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [None, 0.0, 0.02, 0.3, 0.97])
@pytest.mark.parametrize("workers", [1, 3, 8])
def test_each_kept_row_comes_once_in_order(files: tuple[StoredFile, ...], share: float | None, workers: int) -> None:
    """Whatever is kept: full batches but the last, equal parts of workers, and in their order the kept rows."""
    rng = random.Random(f"{share} {workers}")
    expected = [number for number in range(sum(SIZES)) if share is None or rng.random() < share]
    kept = KeptRows(files)
    if share is not None:
        starts = np.cumsum([0, *SIZES])
        places = [
            (
                number,
                np.array([each - starts[number] for each in expected if starts[number] <= each < starts[number + 1]]),
            )
            for number in range(len(SIZES))
        ]
        # A file may come in several parts, as from a query.
        halves = [(number, half) for number, rows in places for half in (rows[::2], rows[1::2]) if len(half)]
        kept = KeptRows(files, packed_masks(files, [(number, half.astype(np.int64)) for number, half in halves]))
    assert kept.count == len(expected)
    shares = [read(kept, 23, worker=worker, workers=workers) for worker in range(workers)]
    assert [number for batches in shares for batch in batches for number in batch] == expected
    assert all(len(batch) == 23 for batches in shares for batch in batches[:-1])
    sizes = [sum(map(len, batches)) for batches in shares]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("workers", [1, 3])
def test_blocks_and_rows_are_shuffled_anew_in_each_epoch(files: tuple[StoredFile, ...], workers: int) -> None:
    """With a buffer of one block: blocks come in another order in each epoch, rows are mixed, and each comes once."""
    orders = []
    for epoch in (0, 1, 0):
        how = Shuffling(seed=4, epoch=epoch, buffer_rows=41)
        numbers = [
            [
                number
                for batch in read(KeptRows(files), 30, worker=worker, workers=workers, shuffling=how)
                for number in batch
            ]
            for worker in range(workers)
        ]
        assert sorted(number for share in numbers for number in share) == list(range(sum(SIZES)))
        orders.append(numbers)
    assert orders[0] == orders[2]
    firsts = [{number // 41 for number in order[0][:30]} for order in orders[:2]]
    assert firsts[0] != firsts[1]
    assert orders[0][0] != sorted(orders[0][0])
