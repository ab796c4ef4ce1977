"""Loading: only what a version pins, checked, in every form the same rows."""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_data_platform.datasets import kept_rows
from ml_data_platform.datasets.checkout import check_out
from ml_data_platform.datasets.load_dataset import load_dataset
from ml_data_platform.errors import CorruptVersionError, LeakageError, SplitError, UnpinnedDataError
from ml_data_platform.features.catalog import feature_columns
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.faults.datasets.killed_cuts import cut_now, repository_at
from ml_data_platform_tests.training_days import (
    feature_rows,
    fold_of,
    nth,
    publish_days,
    publish_features,
    store_at,
)

DAYS, DAYS_ROWS = 10, 120
CUTOFF = nth(7)
NIGHT = dt.datetime.combine(CUTOFF, dt.time(), dt.UTC)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten days and their version, then a day published that no version holds; to be read only."""
    folder = tmp_path_factory.mktemp("loading") / "root"
    publish_days(store_at(folder), DAYS, users=90)
    cut_now(folder)
    publish_features(store_at(folder), nth(11), feature_rows(nth(11)))
    return folder


def published() -> list[dict[str, Any]]:
    """Return all rows of the version, as they were made."""
    return [row for number in range(1, DAYS + 1) for row in feature_rows(nth(number), users=90).to_pylist()]


def early_rows() -> list[dict[str, Any]]:
    """Return the rows whose labels end before the cutoff."""
    return [row for row in published() if row["event_timestamp"] < NIGHT - dt.timedelta(days=1)]


def test_every_form_gives_the_rows_of_the_version(root: Path) -> None:
    """Arrow, pandas, NumPy and batches hold the published rows in the order of time, and no later day."""
    expected = sorted(published(), key=lambda row: (row["event_timestamp"], row["event_id"]))
    loaded = load_dataset(root=root, columns=("event_id", *feature_columns(), "label"))
    rows = loaded.to_arrow().to_pylist()
    assert loaded.rows == len(expected)
    assert rows == [{name: row[name] for name in loaded.columns} for row in expected]
    assert list(loaded.to_pandas()["event_id"]) == [row["event_id"] for row in expected]
    matrix, labels = loaded.to_numpy()
    assert matrix.shape == (len(expected), len(feature_columns()))
    wanted = np.array([[np.nan if row[n] is None else float(row[n]) for n in feature_columns()] for row in expected])
    assert np.array_equal(matrix, wanted, equal_nan=True)
    assert labels.tolist() == [row["label"] for row in expected]
    batches = list(loaded.batches(100))
    assert max(batch.num_rows for batch in batches) <= 100
    assert [name for batch in batches for name in batch["event_id"].to_pylist()] == [
        row["event_id"] for row in expected
    ]


@pytest.mark.parametrize("workers", [1, 4, 8, 1300])
@pytest.mark.parametrize("seed", [None, 5])
def test_workers_share_the_rows(root: Path, workers: int, seed: int | None) -> None:
    """However many read, together they read each row once, and none has more than one row more than another.

    Of the train part too, whose rows lie scattered, and shuffled too.
    """
    everything, train = (Counter(row["event_id"] for row in rows) for rows in (published(), early_rows()))
    for expected, choices in ((everything, {}), (train, {"split": "train", "cutoff": CUTOFF})):
        loaded = load_dataset(root=root, columns=("event_id", "label"), **choices)
        shares = [
            [
                name
                for batch in loaded.batches(64, worker=worker, workers=workers, shuffle_seed=seed)
                for name in batch["event_id"].to_pylist()
            ]
            for worker in range(workers)
        ]
        assert Counter(name for share in shares for name in share) == expected
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_shuffled_rows_have_an_order_of_their_own_in_each_epoch(root: Path) -> None:
    """The same seed, epoch and workers give the same order again; another seed or epoch another one, far from sorted."""
    loaded = load_dataset(root=root, columns=("event_id", "label"))

    def read(**how: int) -> list[str]:
        return [name for batch in loaded.batches(100, **how) for name in batch["event_id"].to_pylist()]

    orders = [read(shuffle_seed=seed, epoch=epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert len({tuple(order) for order in orders}) == 3
    assert orders[1] == read(shuffle_seed=0, epoch=1)
    places = {name: place for place, name in enumerate(read())}
    moved = [abs(place - places[name]) for place, name in enumerate(orders[0])]
    assert np.mean(moved) == pytest.approx(len(places) / 3, rel=0.15)
    with pytest.raises(SplitError, match="not negative"):
        loaded.batches(shuffle_seed=-1)


def test_batches_read_no_more_than_they_need(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of ten, of ten equal days, opens one file; the test part opens its days alone; a first batch one file."""
    opened: list[str] = []

    class Watched(pq.ParquetFile):
        def __init__(self, source: Any, **more: Any) -> None:
            opened.append(str(source))
            super().__init__(source, **more)

    loaded, tested = load_dataset(root=root), load_dataset(root=root, split="test", cutoff=CUTOFF)
    monkeypatch.setattr(kept_rows.pq, "ParquetFile", Watched)
    assert sum(batch.num_rows for batch in loaded.batches(worker=3, workers=DAYS)) == loaded.rows // DAYS
    assert len(opened) == 1
    assert next(loaded.batches(10)).num_rows == 10
    assert len(opened) == 2
    tested.to_arrow()
    assert len(set(opened[2:])) == len(opened[2:]) == DAYS - 6


def test_parts_are_apart_in_time_and_users(root: Path) -> None:
    """Train ends a day before the cutoff and shares no user with the test part; sampling thins train's negatives only."""
    columns = ("event_id", "user_id", "event_timestamp", "label")
    train, test = (
        load_dataset(root=root, split=s, cutoff=CUTOFF, columns=columns, shared_users="purge").to_arrow().to_pylist()
        for s in ("train", "test")
    )
    rows = published()
    assert {row["event_id"] for row in test} == {row["event_id"] for row in rows if row["event_timestamp"] >= NIGHT}
    users = {row["user_id"] for row in test}
    early = early_rows()
    assert {row["event_id"] for row in train} == {row["event_id"] for row in early if row["user_id"] not in users}
    thin = load_dataset(root=root, split="train", cutoff=CUTOFF, columns=columns, negatives_per_positive=1)
    sampled = thin.to_arrow().to_pylist()
    assert sum(row["label"] for row in sampled) == sum(row["label"] for row in early)
    negatives = sum(not row["label"] for row in early)
    assert len(sampled) - sum(row["label"] for row in sampled) == pytest.approx(
        thin.sampling.rate * negatives, rel=0.25
    )
    assert thin.sampling.rate < 1


def test_a_cutoff_within_a_day_parts_its_rows(root: Path) -> None:
    """At an instant the rows from it on are tested, those over a day before it are learnt from, and no others."""
    at = NIGHT + dt.timedelta(hours=11, minutes=30)
    columns = ("event_id", "event_timestamp")
    parts = {
        part: {
            row["event_id"]
            for row in load_dataset(root=root, split=part, cutoff=at.isoformat(), columns=columns)
            .to_arrow()
            .to_pylist()
        }
        for part in ("train", "test")
    }
    tested = [row for row in published() if row["event_timestamp"] >= at]
    sessions = {row["session_uuid"] for row in tested}
    early = [row for row in published() if at - row["event_timestamp"] > dt.timedelta(days=1)]
    assert parts["test"] == {row["event_id"] for row in tested}
    assert parts["train"] == {row["event_id"] for row in early if row["session_uuid"] not in sessions}
    days = {row["event_timestamp"].date() for row in published() if row["event_id"] in parts["test"]}
    of_day = [row for row in published() if row["event_timestamp"].date() == CUTOFF]
    assert CUTOFF in days
    assert 0 < sum(row["event_id"] in parts["test"] for row in of_day) < len(of_day)
    with pytest.raises(SplitError, match="without a time zone"):
        load_dataset(root=root, split="test", cutoff=at.replace(tzinfo=None).isoformat())


def test_folds_are_those_that_were_published(root: Path) -> None:
    """The users of a fold are those that the version stores in it."""
    loaded = load_dataset(root=root, folds=(1, 3), columns=("event_id", "user_id"))
    expected = {row["event_id"] for row in published() if fold_of(row["user_id"]) in {1, 3}}
    assert set(loaded.to_arrow()["event_id"].to_pylist()) == expected


def test_a_data_set_says_in_a_line_what_it_is(root: Path) -> None:
    """What a notebook shows is short, however many files a version has; one column may be named as it is."""
    loaded = load_dataset("latest", split="train", cutoff=CUTOFF, columns="label", root=root)
    assert loaded.columns == ("label",)
    tag, rows = loaded.data.manifest.tag, published()
    users = {row["user_id"] for row in early_rows()}
    tested = [row for row in rows if row["event_timestamp"] >= NIGHT]
    known = sum(row["user_id"] in users for row in tested)
    assert loaded.rows + len(tested) + DAYS_ROWS == len(rows)
    assert repr(loaded) == (
        f"<{loaded.rows:,} rows of {tag}, train part, 1 column; shared users: keep; rows left out: {DAYS_ROWS} in the "
        f"embargo, 0 for their users; {known} of {len(tested)} test rows are of users in the train part>"
    )
    assert repr(load_dataset(root=root, columns="label")) == f"<{len(rows):,} rows of {tag}, 1 column>"
    for slip in ({"fold_strategy": "bogus"}, {"split": "valid"}):
        with pytest.raises(SplitError, match=r"there is no such .*expected"):
            load_dataset("latest", **{"cutoff": CUTOFF, "root": root, **slip})


def _change_a_byte(checkout: Path, file: Path) -> str:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)
    return file.relative_to(checkout).as_posix()


def _remove(checkout: Path, file: Path) -> str:
    file.unlink()
    return file.relative_to(checkout).as_posix()


def _add(checkout: Path, file: Path) -> str:
    added = file.with_name("more.parquet")
    shutil.copy(file, added)
    return added.relative_to(checkout).as_posix()


def _swap(checkout: Path, file: Path) -> str:
    other = file.parent.with_name(f"dt={nth(2)}") / file.name
    file.unlink()
    shutil.copy(other, file)
    return file.relative_to(checkout).as_posix()


def _edit_the_manifest(checkout: Path, file: Path) -> str:
    """Let the manifest name the bytes that a file has since it was changed."""
    manifest, before = checkout / "version.json", hashlib.sha256(file.read_bytes()).hexdigest()
    _change_a_byte(checkout, file)
    text = manifest.read_text(encoding="utf-8")
    assert before in text
    manifest.write_text(text.replace(before, hashlib.sha256(file.read_bytes()).hexdigest()), encoding="utf-8")
    return "version.json"


def _commit_the_edit(checkout: Path, file: Path) -> str:
    """Commit the edited manifest too; the tag stays where it was."""
    named = _edit_the_manifest(checkout, file)
    git = ["git", "-C", str(checkout), "-c", "user.name=x", "-c", "user.email=x@x"]
    subprocess.run([*git, "commit", "--quiet", "--all", "-m", "edited"], check=True)
    return named


@pytest.fixture(scope="module")
def checkout(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The version, restored; to be read only."""
    repository = repository_at(root)
    folder = tmp_path_factory.mktemp("restored") / "checkout"
    check_out(str(repository.folder), repository.tags()[-1], folder)
    assert load_dataset(folder).rows == len(published())
    return folder


@pytest.mark.parametrize("change", [_change_a_byte, _remove, _add, _swap, _edit_the_manifest, _commit_the_edit])
def test_a_changed_checkout_is_refused(
    root: Path, checkout: Path, tmp_path: Path, change: Callable[[Path, Path], str]
) -> None:
    """A byte, a file less or more, another day's file, an edited manifest: named, with the command that mends it.

    Loading and training refuse alike, whatever rows are asked for, and the command does mend it.
    """
    copy = tmp_path / "checkout"
    shutil.copytree(checkout, copy)
    named = change(copy, copy / "data" / "date_partitions" / f"dt={nth(1)}" / "data.parquet")
    tag = repository_at(root).tags()[-1]
    with pytest.raises(UnpinnedDataError, match=rf"{named}.*version checkout {tag} --to"):
        load_dataset(copy, split="test", cutoff=CUTOFF)
    refused = CommandLine(tmp_path)("train", "--version", copy, "--models", tmp_path / "models")
    assert (refused.status, f"version checkout {tag}" in refused.text) == (1, True)
    assert not (tmp_path / "models").exists()


def test_what_no_version_pins_is_refused(root: Path, checkout: Path, tmp_path: Path) -> None:
    """The view, an empty folder, and a checkout without its git: each error says how to mend it."""
    with pytest.raises(UnpinnedDataError, match="version checkout"):
        load_dataset(root / "data", root=root)
    with pytest.raises(UnpinnedDataError, match="version checkout"):
        load_dataset(tmp_path)
    shutil.copytree(checkout, tmp_path / "checkout", ignore=shutil.ignore_patterns(".git"))
    with pytest.raises(UnpinnedDataError, match="version checkout"):
        load_dataset(tmp_path / "checkout")


def test_changed_objects_are_not_used(root: Path, tmp_path: Path) -> None:
    """Where the store's bytes changed, DVC's cache is used; where both did, loading is refused."""
    copy = tmp_path / "root"
    shutil.copytree(root, copy)
    manifest = repository_at(copy).version("latest")
    file = next(file for dataset in manifest.datasets if dataset.name == "date_partitions" for file in dataset.files)
    stored = copy / "_store" / "date_partitions" / "objects" / file.sha256[:2] / f"{file.sha256}.parquet"
    stored.chmod(0o644)
    stored.write_bytes(b"PAR1 nothing PAR1")
    assert load_dataset(root=copy).rows == len(published())
    cached = repository_at(copy).dvc.cached(file.md5)
    assert cached is not None
    cached.chmod(0o644)
    cached.write_bytes(b"nothing")
    with pytest.raises(CorruptVersionError, match="version checkout"):
        load_dataset(root=copy)


def test_leaks_are_refused_when_rows_are_loaded(tmp_path: Path) -> None:
    """A label in disguise that was published and pinned is still not handed out; nor is a column of no table."""
    store = store_at(tmp_path / "root")
    rows = feature_rows(nth(1), rows=600)
    place = rows.schema.get_field_index("session_search_count")
    publish_features(store, nth(1), rows.set_column(place, "session_search_count", rows["label"].cast("int64")))
    cut_now(tmp_path / "root")
    with pytest.raises(LeakageError, match=r"no_feature_tells_the_label.*session_search_count"):
        load_dataset(root=tmp_path / "root")
    with pytest.raises(LeakageError, match="not in the training tables"):
        load_dataset(root=tmp_path / "root", columns=("has_purchase",))


@pytest.mark.parametrize(("hours", "early"), [(12, 0), (None, 0), (12, 200)])
def test_labels_given_too_early_are_refused_when_rows_are_loaded(tmp_path: Path, hours: int | None, early: int) -> None:
    """Labels of a day of which too little had been seen are not handed out, by root or checkout; declared ones are.

    The second day was built when ``hours`` of the day after it, or nothing, had been seen. Of ``early`` rows the producer
    declared the label, which the features show by having none of their own.
    """
    store = store_at(tmp_path / "root")
    publish_features(store, nth(1), feature_rows(nth(1)))
    rows = feature_rows(nth(2), rows=200)
    seen = dt.datetime.combine(nth(3), dt.time(hours), dt.UTC) if hours else dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    if early:
        unseen = [at > seen - dt.timedelta(days=1) for at in rows["event_timestamp"].to_pylist()]
        own = [None if late else label for label, late in zip(rows["label"].to_pylist(), unseen, strict=True)]
        rows = rows.set_column(rows.schema.get_field_index("converted"), "converted", pa.array(own, pa.int8()))
    publish_features(store, nth(2), rows, seen)
    cut_now(tmp_path / "root")
    if early:
        assert load_dataset(root=tmp_path / "root").rows == 320
        return
    at_risk = sum(at > seen - dt.timedelta(days=1) for at in rows["event_timestamp"].to_pylist())
    assert 0 < at_risk <= 200
    with pytest.raises(LeakageError, match=rf"labels_are_mature: {at_risk} offences.*{nth(2)}"):
        load_dataset(root=tmp_path / "root")
    repository = repository_at(tmp_path / "root")
    check_out(str(repository.folder), repository.tags()[-1], tmp_path / "checkout")
    with pytest.raises(LeakageError, match=f"labels_are_mature: {at_risk} offences"):
        load_dataset(tmp_path / "checkout")


def test_splits_that_cannot_be_are_refused(root: Path) -> None:
    """A cutoff within a day of the end, a part without cutoff, a sampled test part."""
    with pytest.raises(SplitError, match="inside the label horizon"):
        load_dataset(root=root, split="test", cutoff=nth(DAYS + 1))
    assert load_dataset(root=root, split="test", cutoff=nth(DAYS)).rows > 0
    with pytest.raises(SplitError, match="without a cutoff"):
        load_dataset(root=root, split="train")
    with pytest.raises(SplitError, match="never sampled"):
        load_dataset(root=root, split="test", cutoff=CUTOFF, negatives_per_positive=2)
