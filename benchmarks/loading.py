"""Loading millions of rows of a version: what it costs, beside pandas and beside plain pyarrow over the same files.

Run by ``make loading``; ends with status 1 where batches take more memory than they may. A version of generated rows is
cut in a temporary root. Then each way of reading runs in a process of its own, which notes its peak memory from the first
row on: what the libraries take before that is not counted. The first reading warms the system's cache, so no disk is
measured. Comparing hashes and looking for leaks happen before any row comes out, and are shown apart. Linux only: no other
system lets a process begin its peak anew.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.dataset as pads
from rich.table import Table

from benchmarks.verdicts import out
from ml_data_platform.datasets.load_dataset import find_version
from ml_data_platform.datasets.loading import Dataset, Selected, select_rows
from ml_data_platform.datasets.pinned_data import PinnedData
from ml_data_platform.features.catalog import feature_columns
from ml_data_platform.settings import load_settings
from ml_data_platform.training.temporal import split_at
from ml_data_platform_tests.faults.datasets.killed_cuts import cut_now
from ml_data_platform_tests.training_days import feature_rows, nth, publish_features, store_at

ROWS_PER_DAY = 86_000
MOST_GROWTH = 1.25
"""Reading everything may take so many times the memory of reading a quarter, which takes a fixed amount."""
QUARTER = "batches() of a quarter"
MIB = 1024 * 1024
READS = 3
COLUMNS = [*feature_columns(), "label"]


def main() -> int:
    """Make the version, read it in each way and print what that cost; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=float, default=2.0, help="millions of rows")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(_measure(arguments.root, arguments.way)))
        return 0
    with tempfile.TemporaryDirectory(prefix="loading-") as folder:
        root, days = Path(folder) / "root", max(4, round(arguments.millions * 1e6 / ROWS_PER_DAY))
        store = store_at(root)
        for number in range(1, days + 1):
            publish_features(store, nth(number), feature_rows(nth(number), rows=ROWS_PER_DAY, users=5_000))
        cut_now(root)
        found = {way: min((_apart(root, way) for _ in range(READS)), key=lambda each: each["seconds"]) for way in WAYS}
    return _print(found, days)


def _apart(root: Path, way: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.loading", "--root", str(root), "--way", way]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _measure(root: Path, way: str) -> dict[str, Any]:
    """Read in one way, in this process."""
    settings = load_settings({}, root, root=root, versions_remote=str(root / "remote"))
    began = time.perf_counter()
    data = find_version(settings, "latest")
    hashed = time.perf_counter() - began
    before = _begin_peak()
    began = time.perf_counter()
    loaded = select_rows(data, _selected(data, way), memory_limit=settings.memory_limit, threads=settings.threads)
    inspected, inspecting = time.perf_counter() - began, _peak() - before
    first: list[float] = []
    before = _begin_peak()
    began = time.perf_counter()
    rows, size = 0, 0
    for count, taken in WAYS[way](data, loaded):
        first = first or [time.perf_counter() - began]
        rows, size = rows + count, size + taken
    seconds = time.perf_counter() - began
    return {
        "rows": rows,
        "bytes": size,
        "seconds": seconds,
        "first": first[0],
        "peak": _peak() - before,
        "hashed": hashed,
        "inspected": inspected,
        "inspecting": inspecting,
    }


def _selected(data: PinnedData, way: str) -> Selected:
    """Return everything, or the train part before the last two days."""
    if "train" not in way:
        return Selected()
    cutoff = nth(len(data.manifest.days) - 1)
    return Selected(split=split_at(cutoff), part="train", negatives_per_positive=1)


def _plainly(data: PinnedData, _: Dataset) -> Iterator[tuple[int, int]]:
    files = [str(path) for path in data.files_of(data.dataset("date_partitions"))]
    for batch in pads.dataset(files, format="parquet").to_batches(columns=COLUMNS):
        yield batch.num_rows, batch.nbytes


def _batches(_: PinnedData, loaded: Dataset) -> Iterator[tuple[int, int]]:
    for batch in loaded.batches():
        yield batch.num_rows, batch.nbytes


def _quarter(_: PinnedData, loaded: Dataset) -> Iterator[tuple[int, int]]:
    for batch in loaded.batches(worker=0, workers=4):
        yield batch.num_rows, batch.nbytes


def _shuffled(_: PinnedData, loaded: Dataset) -> Iterator[tuple[int, int]]:
    for batch in loaded.batches(shuffle_seed=0):
        yield batch.num_rows, batch.nbytes


def _pandas(_: PinnedData, loaded: Dataset) -> Iterator[tuple[int, int]]:
    frame = loaded.to_pandas()
    yield len(frame), int(frame.memory_usage().sum())


WAYS: dict[str, Callable[[PinnedData, Dataset], Iterator[tuple[int, int]]]] = {
    "plain pyarrow.dataset": _plainly,
    "batches()": _batches,
    QUARTER: _quarter,
    "batches() of a sampled train part": _batches,
    "batches(shuffle_seed=0)": _shuffled,
    "to_pandas()": _pandas,
}


def _begin_peak() -> int:
    """Begin the peak of this process anew; returns what it takes now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _peak()


def _peak() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _print(found: dict[str, dict[str, Any]], days: int) -> int:
    plain, pandas = found["plain pyarrow.dataset"], found["to_pandas()"]
    speed = plain["rows"] / plain["seconds"]
    table = Table(
        title=f"{plain['rows']:,} rows of {days} days, {plain['bytes'] / MIB:,.0f} MiB in memory, best of {READS}"
    )
    table.add_column("way")
    for name in ("rows", "first rows after s", "M rows/s", "of plain", "peak MiB", "of the data", "of pandas"):
        table.add_column(name, justify="right")
    for way, cost in found.items():
        table.add_row(
            way,
            f"{cost['rows']:,}",
            f"{cost['first']:.3f}",
            f"{cost['rows'] / cost['seconds'] / 1e6:.2f}",
            f"{cost['rows'] / cost['seconds'] / speed:.2f}",
            f"{cost['peak'] / MIB:,.0f}",
            f"{cost['peak'] / plain['bytes']:.2f}",
            f"{cost['peak'] / pandas['peak']:.2f}",
        )
    out.print(table)
    loaded, train = found["batches()"], found["batches() of a sampled train part"]
    out.print(f"before the first row: hashes of all files {loaded['hashed']:.2f} s")
    for name, cost in (("everything", loaded), ("train part", train)):
        out.print(f"  firewall, {name}: {cost['inspected']:.2f} s, peak {cost['inspecting'] / MIB:,.0f} MiB")
    growth = loaded["peak"] / found[QUARTER]["peak"]
    is_bounded = growth <= MOST_GROWTH
    out.print(f"four times the rows take {growth:.2f} times the memory: {'bounded' if is_bounded else 'NOT BOUNDED'}")
    return 0 if is_bounded else 1


if __name__ == "__main__":
    sys.exit(main())
