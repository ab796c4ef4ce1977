"""Cuts that die at any moment leave no half version, and hold up no later one."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from ml_data_platform.datasets.checkout import check_out, verify_versions
from ml_data_platform_tests.faults.datasets.killed_cuts import STEPS, cut_now, kill_after, repository_at, start_cut
from ml_data_platform_tests.training_days import feature_rows, nth, publish_days, publish_features, store_at
from ml_data_platform_tests.version_root import file_hashes

TABLES = ("date_partitions", "label_partitions", "stratified_partitions")


def published(root: Path) -> dict[str, str]:
    """Return the hashes of the training tables as plain readers see them."""
    hashes = file_hashes(root / "data")
    return {path: digest for path, digest in hashes.items() if path.split("/")[0] in TABLES}


def test_every_version_restores_exactly_whatever_died_before_it(tmp_path: Path) -> None:
    """Late data on every round; a cut dies at each step, after its commit point, and at random moments.

    No death leaves a tag whose data are not complete in the remote, except that after the commit point the version is
    there; the next cut succeeds, and all versions restore what was published when they were cut.
    """
    root, rng = tmp_path / "root", random.Random(2026)
    store = store_at(root)
    publish_days(store, 3, rows=30)
    expected: dict[str, dict[str, str]] = {}
    deaths = [*((step, None) for step in STEPS), (None, "tag"), *((None, None) for _ in range(3))]
    for number, (step, after) in enumerate(deaths):
        publish_features(store, nth(1 + number % 3), feature_rows(nth(1 + number % 3), rows=30 + number))
        before = repository_at(root).tags()
        process = start_cut(root, step, after)
        if (step, after) == (None, None):
            kill_after(process, rng.uniform(0.05, 0.9))
        else:
            process.join()
            assert process.exitcode == -signal.SIGKILL, (step, after)
            assert len(repository_at(root).tags()) == len(before) + (after == "tag")
        made = cut_now(root)
        assert made.outcome == "cut" or made.manifest.tag not in before
        expected[made.manifest.tag] = published(root)
    repository = repository_at(root)
    assert set(repository.tags()) == set(expected)
    assert [each.faults for each in verify_versions(repository, repository.tags())] == [()] * len(expected)
    for tag in rng.sample(sorted(expected), 4):
        check_out(str(repository.folder), tag, tmp_path / "restored" / tag)
        assert file_hashes(tmp_path / "restored" / tag / "data").items() >= expected[tag].items()
    snapshots = {path.stem for path in (root / "_store" / "snapshots").glob("*.json")}
    assert snapshots == {repository.version(tag).snapshot_id for tag in expected}
    assert repository.git("status", "--porcelain") == ""


@pytest.mark.parametrize("seed", [1, 2])
def test_cuts_at_the_same_time_wait_for_each_other(tmp_path: Path, seed: int) -> None:
    """Three processes cut at once: one version comes out, and it restores."""
    root = tmp_path / "root"
    publish_days(store_at(root), 2, rows=20 + seed)
    processes = [start_cut(root) for _ in range(3)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    (tag,) = repository_at(root).tags()
    check_out(str(repository_at(root).folder), tag, tmp_path / "restored")
    assert file_hashes(tmp_path / "restored" / "data").items() >= published(root).items()


def test_what_a_version_names_is_never_collected(tmp_path: Path) -> None:
    """Restated thrice and collected without grace, the bytes of a version's generations are still in the store."""
    import datetime as dt

    root = tmp_path / "root"
    store = store_at(root)
    publish_days(store, 1, rows=20)
    made = cut_now(root)
    for number in range(3):
        publish_features(store, nth(1), feature_rows(nth(1), rows=21 + number))
    later = store.clock() + dt.timedelta(days=400)
    assert store.collect(keep_last=1, older_than=dt.timedelta(0), now=later).generations_expired > 0
    objects = {path.stem for path in (root / "_store").glob("*/objects/*/*.parquet")}
    assert {file.sha256 for file in made.manifest.files} <= objects
