"""Cuts while another process lands late files and builds their days without rest, killed at any change.

Belongs here: the feeder, and what must hold of versions that nobody can say beforehand. Does not belong here: how a cut
is killed (``killed_cuts``).
"""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path

import pyarrow.parquet as pq

from ml_data_platform.datasets.checkout import check_out, verify_versions
from ml_data_platform_tests.faults.datasets.killed_cuts import (
    REQUEST,
    Death,
    count_changes,
    cut_now,
    repository_at,
    start_cut,
)
from ml_data_platform_tests.faults.lanes.lane import Figures
from ml_data_platform_tests.pipeline_root import PipelineRoot, day, settings_for, shop_lines

DAYS = 3


def kill_fed_cuts(
    folder: Path, rounds: int, seed: int, *, report: Callable[[int, int], None] = lambda _done, _total: None
) -> Figures:
    """Kill a cut in each round and cut again, while files are landed and built; then restore every version.

    Args:
        folder: An empty folder.
        rounds: Number of cuts that are killed; as many are not.
        seed: Of where they die.
        report: Called with the rounds done, and how many there are.
    """
    figures, rng, started = Figures(), random.Random(seed), time.monotonic()
    root = PipelineRoot(settings_for(folder / "root"))
    for number in range(1, DAYS + 1):
        root.drop(f"day-{number}.jsonl", shop_lines(day(number), 60, name=f"day-{number}"))
    assert root.backfill().is_successful
    count_changes(root.folder, folder / "first")
    # A cut with one changed day makes fewer changes than the first.
    root.drop("before.jsonl", shop_lines(day(1), 3, name="before"))
    assert root.backfill().is_successful
    changes, _ = count_changes(root.folder, folder / "second")
    context = multiprocessing.get_context("forkserver")
    stop = context.Event()
    feeder = context.Process(target=_feed, args=(str(root.folder), stop, str(folder / "fed")))
    feeder.start()
    while not (folder / "fed").exists() and feeder.is_alive():
        time.sleep(0.1)
    try:
        for number in range(1, rounds + 1):
            with figures.noting(f"round {number}"):
                process = start_cut(root.folder, Death(change=rng.randint(1, changes)))
                process.join()
                figures.count("killed while days were built", process.exitcode != 0)
                made = cut_now(root.folder, REQUEST)
                figures.count("cut while days were built", made.outcome == "cut")
            figures.trials += 2
            report(number, rounds)
    finally:
        stop.set()
        feeder.join()
    assert feeder.exitcode == 0, feeder.exitcode
    figures.count("late files landed and built meanwhile", int((folder / "fed").read_text(encoding="ascii")))
    with figures.noting("at the end"):
        _restore(root.folder, folder / "restored", figures)
    figures.seconds = time.monotonic() - started
    return figures


def _feed(folder: str, stop: Event, note: str) -> None:
    root, fed = PipelineRoot(settings_for(Path(folder))), 0
    while not stop.is_set():
        fed += 1
        name = f"late-{fed}"
        root.drop(f"{name}.jsonl", shop_lines(day(1 + fed % DAYS), 3, name=name))
        assert root.backfill().is_successful
        Path(note).write_text(f"{fed}", encoding="ascii")


def _restore(root: Path, target: Path, figures: Figures) -> None:
    """Restore every version: each file was published by its day's log, and the three tables hold the same events."""
    repository = repository_at(root)
    tags = repository.tags()
    figures.count("versions", len(tags))
    assert all(checked.faults == () for checked in verify_versions(repository, tags))
    logged = {
        (record.parts[-4], record.parent.name, file["name"], file["sha256"])
        for record in (root / "_store").glob("*/log/dt=*/*.json")
        for file in json.loads(record.read_text(encoding="utf-8"))["files"]
    }
    for tag in tags:
        with figures.noting(f"checkout of {tag}"):
            check_out(str(repository.folder), tag, target / tag)
            for dataset in repository.version(tag).datasets:
                for file in dataset.files:
                    _, asset, of, *name = file.path.split("/")
                    assert (asset, of, "/".join(name), file.sha256) in logged, file.path
            _require_same_events(target / tag / "data")
            figures.count("versions restored exactly")


def _require_same_events(data: Path) -> None:
    for partition in (data / "date_partitions").glob("dt=*"):
        found = []
        for asset in ("date_partitions", "label_partitions", "stratified_partitions"):
            files = sorted((data / asset / partition.name).rglob("*.parquet"))
            found.append(sorted(name for path in files for name in pq.ParquetFile(path).read()["event_id"].to_pylist()))
        assert found[0] == found[1] == found[2], partition.name
