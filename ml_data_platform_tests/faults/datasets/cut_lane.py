"""Cuts under late data that never ends, killed at every step: what each round counts, and what must hold at the end.

Belongs here: the rounds and their anomalies, for the test and for ``benchmarks/cuts.py``. Does not belong here: how a cut
is started and killed (``killed_cuts``).
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from ml_data_platform.datasets.checkout import check_out, verify_versions
from ml_data_platform_tests.faults.datasets.killed_cuts import STEPS, cut_now, kill_after, repository_at, start_cut
from ml_data_platform_tests.faults.lanes.lane import Figures
from ml_data_platform_tests.training_days import feature_rows, nth, publish_days, publish_features, store_at
from ml_data_platform_tests.version_root import file_hashes

DAYS = 3
RANDOM_MOMENTS = 3
TABLES = ("date_partitions", "label_partitions", "stratified_partitions")
DEATHS: tuple[tuple[str | None, str | None], ...] = (
    *((step, None) for step in STEPS),
    (None, "tag"),
    *((None, None),) * RANDOM_MOMENTS,
)
"""Where a cut dies: at a step, after the commit point, or at a random moment."""

Expected = dict[str, dict[str, str]]


def published(root: Path) -> dict[str, str]:
    """Return the hashes of the training tables as plain readers see them."""
    hashes = file_hashes(root / "data")
    return {path: digest for path, digest in hashes.items() if path.split("/")[0] in TABLES}


def kill_cuts(
    folder: Path,
    rounds: int,
    seed: int,
    *,
    restored: int | None = None,
    report: Callable[[int], None] = lambda _: None,
) -> Figures:
    """Kill a cut in each round and cut again; then restore the versions.

    Late rows come before each cut, and another day's while it runs.

    Args:
        folder: An empty folder.
        rounds: Number of cuts that are killed; as many are not.
        seed: Of the random moments, and of which versions are restored.
        restored: How many versions are checked out; none for all. All are verified in the remote.
        report: Called with the rounds done.

    Returns:
        Figures; its trials are the cuts, killed or not.
    """
    figures, rng, started = Figures(), random.Random(seed), time.monotonic()
    root, expected = folder / "root", Expected()
    publish_days(store_at(root), DAYS, rows=30)
    for number in range(rounds):
        step, after = DEATHS[number % len(DEATHS)]
        with figures.noting(f"round {number}, killed at {step or after or 'a random moment'}"):
            _round(root, number, step, after, rng, figures, expected)
        figures.trials += 2
        report(number + 1)
    figures.points = len(set(DEATHS[:rounds]))
    with figures.noting("at the end"):
        _restore(root, folder / "restored", expected, rng, restored, figures)
    figures.seconds = time.monotonic() - started
    return figures


def _round(  # noqa: PLR0917 - a round has all of the lane's state
    root: Path,
    number: int,
    step: str | None,
    after: str | None,
    rng: random.Random,
    figures: Figures,
    expected: Expected,
) -> None:
    _late_rows(root, number, 0)
    before = repository_at(root).tags()
    process = start_cut(root, step, after)
    _late_rows(root, number, 1)
    if (step, after) == (None, None):
        figures.count("killed at a random moment", kill_after(process, rng.uniform(0.05, 0.9)))
    else:
        process.join()
        assert process.exitcode == -signal.SIGKILL, process.exitcode
        assert len(repository_at(root).tags()) == len(before) + (after == "tag")
        figures.count("killed at a step")
    made = cut_now(root)
    assert made.outcome == "cut" or made.manifest.tag not in before
    figures.count("cut after a death")
    expected[made.manifest.tag] = published(root)


def _late_rows(root: Path, number: int, offset: int) -> None:
    of = nth(1 + (number + offset) % DAYS)
    publish_features(store_at(root), of, feature_rows(of, rows=30 + number, seed=offset))


def _restore(  # noqa: PLR0917 - as above
    root: Path, target: Path, expected: Expected, rng: random.Random, restored: int | None, figures: Figures
) -> None:
    """Verify all versions, check some out, and look for what the deaths left behind.

    A cut that died after its commit point has a tag too: what it named while rows came is not known here, so it is
    restored against its own manifest.
    """
    repository = repository_at(root)
    tags = repository.tags()
    figures.count("versions", len(tags))
    assert set(expected) <= set(tags)
    for checked in verify_versions(repository, tags):
        assert checked.faults == (), checked
        figures.count("versions verified in the remote")
    for tag in rng.sample(sorted(tags), len(tags) if restored is None else min(restored, len(tags))):
        with figures.noting(f"checkout of {tag}"):
            check_out(str(repository.folder), tag, target / tag)
            manifest = {file.path.removeprefix("data/"): file.sha256 for file in repository.version(tag).files}
            assert file_hashes(target / tag / "data").items() >= expected.get(tag, manifest).items()
            figures.count("versions restored exactly")
    snapshots = {path.stem for path in (root / "_store" / "snapshots").glob("*.json")}
    assert snapshots == {repository.version(tag).snapshot_id for tag in tags}
    assert repository.git("status", "--porcelain") == ""
