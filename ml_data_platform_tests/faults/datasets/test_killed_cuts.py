"""Cuts that die at any moment leave no half version, and hold up no later one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ml_data_platform.datasets.checkout import check_out
from ml_data_platform_tests.faults.datasets.cut_lane import kill_cuts, published, some_deaths
from ml_data_platform_tests.faults.datasets.killed_cuts import STEPS, cut_now, repository_at, start_cut
from ml_data_platform_tests.training_days import feature_rows, nth, publish_days, publish_features, store_at
from ml_data_platform_tests.version_root import file_hashes


def test_every_version_restores_exactly_whatever_died_before_it(tmp_path: Path) -> None:
    """Late data on every round; a cut dies at steps, around its commit point, at some changes and at a random moment.

    No death leaves a tag whose data are not complete in the remote, except that after the commit point the version is
    there; the next cut succeeds, and all versions restore what was published when they were cut.
    """
    figures = kill_cuts(tmp_path, 2026, choose=some_deaths, restored=4)
    assert figures.anomalies == []
    # Its steps and its commit point come for certain; a change or the middle of a git command may be missed.
    assert figures.notes["killed where it was to die"] >= len(STEPS[::2]) + 1
    assert figures.notes["died after the commit point"] >= 1
    assert figures.notes["versions verified in the remote"] >= 12
    assert figures.notes["versions restored exactly"] == 4


@pytest.mark.parametrize("commits", [1, 2, 3])
def test_a_day_that_is_half_published_is_cut_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commits: int
) -> None:
    """Its features and none, one or two of its tables are new: the version holds the last generations that fit.

    Once the rest is published, the next version holds the new ones.
    """
    root = tmp_path / "root"
    store = store_at(root)
    publish_days(store, 2, rows=20)
    before, commit, done = published(root), store.commit, []

    def commit_or_stop(*arguments: Any, **choices: Any) -> Any:
        if len(done) == commits:
            raise InterruptedError
        done.append(commit(*arguments, **choices))
        return done[-1]

    monkeypatch.setattr(store, "commit", commit_or_stop)
    with pytest.raises(InterruptedError):
        publish_features(store, nth(1), feature_rows(nth(1), rows=25))
    made = cut_now(root)
    assert {file.path.removeprefix("data/"): file.sha256 for file in made.manifest.files} == before
    assert published(root) != before or commits == 1
    publish_features(store_at(root), nth(1), feature_rows(nth(1), rows=25))
    made = cut_now(root)
    assert {file.path.removeprefix("data/"): file.sha256 for file in made.manifest.files} == published(root) != before


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


@pytest.mark.parametrize("place", ["root/versions/.dvc/cache", "root/remote", "restored"])
def test_an_empty_object_that_a_killed_copy_left_holds_nothing_up(tmp_path: Path, place: str) -> None:
    """DVC's copy makes an empty file under the final name first: in the cache, in a remote that is a folder, in a checkout."""
    publish_days(store_at(tmp_path / "elsewhere"), 2, rows=20)
    facts = cut_now(tmp_path / "elsewhere").manifest.tracked
    root, target = tmp_path / "root", tmp_path / "restored"
    publish_days(store_at(root), 2, rows=20)
    objects = [f"{each.dir_md5}.dir" for each in facts] + [file.md5 for each in facts for file in each.files]
    if place == "restored":
        tag = cut_now(root).manifest.tag
        (tmp_path / ".restored.partial" / ".dvc" / "cache").mkdir(parents=True)
        folder = tmp_path / ".restored.partial" / ".dvc" / "cache"
    else:
        folder = tmp_path / place
    for name in objects:
        path = folder / "files" / "md5" / name[:2] / name[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    if place != "restored":
        tag = cut_now(root).manifest.tag
    check_out(str(repository_at(root).folder), tag, target, remote=repository_at(root).remote)
    assert file_hashes(target / "data").items() >= published(root).items()


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
