"""Cuts under late data that never ends, killed everywhere: what each round counts, and what must hold at the end.

Belongs here: the rounds and their anomalies, for the test and for ``benchmarks/cuts.py``. Does not belong here: how a cut
is started and killed (``killed_cuts``), and late files that are landed and built meanwhile (``fed_cuts``).
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ml_data_platform.datasets.checkout import check_out, verify_versions
from ml_data_platform_tests.faults.datasets.killed_cuts import (
    REQUEST,
    STEPS,
    Death,
    count_changes,
    cut_now,
    kill_after,
    repository_at,
    start_cut,
)
from ml_data_platform_tests.faults.lanes.lane import Figures
from ml_data_platform_tests.training_days import feature_rows, nth, publish_days, publish_features, store_at
from ml_data_platform_tests.version_root import file_hashes

DAYS = 3
TABLES = ("date_partitions", "label_partitions", "stratified_partitions")
LONGEST_GIT_SECONDS = 0.012

Expected = dict[str, dict[str, str]]


def published(root: Path) -> dict[str, str]:
    """Return the hashes of the training tables as plain readers see them."""
    hashes = file_hashes(root / "data")
    return {path: digest for path, digest in hashes.items() if path.split("/")[0] in TABLES}


def every_death(changes: int, commands: Sequence[str], rng: random.Random) -> list[Death]:
    """Return each place where a cut can die.

    Args:
        changes: How many changes a cut makes.
        commands: The git commands among them; each is also killed in its middle.
        rng: Of how much later.
    """
    steps = [Death(step) for step in STEPS]
    before = [Death(change=number) for number in range(1, changes + 1)]
    during = [Death(git=command, delay_seconds=rng.uniform(0.001, LONGEST_GIT_SECONDS)) for command in commands]
    return [*steps, *before, *during]


def some_deaths(changes: int, commands: Sequence[str], rng: random.Random) -> list[Death]:
    """Return some steps, right after the commit point, in the middle of two git commands, two changes, a random moment."""
    steps = [Death(step) for step in STEPS[::2]]
    during = [
        Death(git=command, delay_seconds=rng.uniform(0.001, 0.006)) for command in ("tag 1", rng.choice(commands))
    ]
    sampled = [Death(change=number) for number in rng.sample(range(1, changes), 2)]
    return [*steps, Death(git="update-ref 1"), *during, *sampled, Death()]


def kill_cuts(
    folder: Path,
    seed: int,
    *,
    choose: Callable[[int, Sequence[str], random.Random], list[Death]] = every_death,
    restored: int | None = None,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> Figures:
    """Kill a cut in each round and cut again; then restore the versions.

    Late rows come before each cut, and another day's while it runs.

    Args:
        folder: An empty folder.
        seed: Of all random choices.
        choose: Where cuts die, of the number of changes and the git commands among them.
        restored: How many versions are checked out; none for all. All are verified in the remote.
        report: Called with the rounds done, and how many there are.

    Returns:
        Figures; its trials are the cuts, killed or not.
    """
    figures, rng, started = Figures(), random.Random(seed), time.monotonic()
    root, expected = folder / "root", Expected()
    publish_days(store_at(root), DAYS, rows=30)
    count_changes(root, folder / "first")
    _late_rows(root, 0, 1)
    deaths = choose(*count_changes(root, folder / "second"), rng)
    for number, death in enumerate(deaths, start=1):
        with figures.noting(f"round {number}, killed at {death}"):
            _round(root, number, death, rng, figures, expected)
        figures.trials += 2
        report(number, len(deaths))
    figures.points = len(set(deaths))
    with figures.noting("at the end"):
        _restore(root, folder / "restored", expected, rng, restored, figures)
    figures.seconds = time.monotonic() - started
    return figures


def _round(  # noqa: PLR0917 - a round has all of the lane's state
    root: Path, number: int, death: Death, rng: random.Random, figures: Figures, expected: Expected
) -> None:
    _late_rows(root, number, 0)
    before = repository_at(root).tags()
    process = start_cut(root, death)
    _late_rows(root, number, 1)
    if death == Death():
        figures.count("killed at a random moment", kill_after(process, rng.uniform(0.05, 0.9)))
    else:
        process.join()
        # Threads push: a cut may come to its end with a few changes less than another.
        figures.count("killed where it was to die", process.exitcode == -signal.SIGKILL)
        figures.count("ended before it was to die", process.exitcode == 0)
        assert process.exitcode in {0, -signal.SIGKILL}, process.exitcode
    figures.count("died after the commit point", len(repository_at(root).tags()) - len(before))
    made = cut_now(root, REQUEST)
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
