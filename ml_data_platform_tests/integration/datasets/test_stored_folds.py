"""Folds that are stored with a version: scikit-learn's own, the same on every machine."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from ml_data_platform.datasets.checkout import check_out, verify_versions
from ml_data_platform.datasets.dataset_versions import Cut, cut_version, preview_version
from ml_data_platform.datasets.load_dataset import load_dataset
from ml_data_platform.datasets.selection import Request
from ml_data_platform.errors import CorruptVersionError, SplitError, UnpinnedDataError
from ml_data_platform.features.catalog import SESSION_FEATURES
from ml_data_platform.training.folds import ACCEPTANCE, FoldChoice
from ml_data_platform_tests.faults.datasets.killed_cuts import repository_at
from ml_data_platform_tests.training_days import (
    NOW,
    feature_rows,
    fold_of,
    nth,
    publish_days,
    publish_features,
    store_at,
)
from ml_data_platform_tests.version_root import file_hashes

DAYS = 4
CHOICE = FoldChoice("stratified_group", 4, 11)


def cut(root: Path, folds: FoldChoice | None, **choices: Any) -> Cut:
    """Cut a version with folds."""
    return cut_version(repository_at(root), store_at(root), Request(folds=folds, **choices), now=NOW, threads=1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four days and a version of them with folds; to be read only."""
    folder = tmp_path_factory.mktemp("folds") / "root"
    publish_days(store_at(folder), DAYS, users=60, rows=120)
    cut(folder, CHOICE)
    return folder


def rows() -> pd.DataFrame:
    """Return all rows as they were made, by user and label."""
    made = pd.concat([feature_rows(nth(number), users=60, rows=120).to_pandas() for number in range(1, DAYS + 1)])
    return made.sort_values(["user_id", "label", "event_id"], ignore_index=True)


def expected_folds() -> dict[str, int]:
    """Return user to fold as scikit-learn deals them, called as its documentation says."""
    made = rows()
    splitter = StratifiedGroupKFold(n_splits=4, shuffle=True, random_state=11)
    parts = enumerate(splitter.split(made, made["label"], made["user_id"]))
    return {user: fold for fold, (_, held) in parts for user in made["user_id"].iloc[held]}


def test_the_folds_are_those_of_scikit_learn(root: Path, tmp_path: Path) -> None:
    """Restored where the root is not, the table holds each user once, in the fold of StratifiedGroupKFold on the rows."""
    repository = repository_at(root)
    check_out(str(repository.folder), repository.tags()[-1], tmp_path / "restored")
    table = pq.ParquetFile(tmp_path / "restored" / "data" / "folds" / "folds.parquet").read().to_pylist()
    assert [row["user_id"] for row in table] == sorted(set(rows()["user_id"]))
    assert {row["user_id"]: row["fold"] for row in table} == expected_folds()
    made, facts = rows(), repository.version("latest").folds
    assert facts is not None
    made["fold"] = made["user_id"].map(expected_folds())
    for part in facts.parts:
        own = made[made["fold"] == part.fold]
        assert (part.users, part.rows, part.positives) == (own["user_id"].nunique(), len(own), own["label"].sum())


def test_another_machine_loads_the_same_folds(root: Path, tmp_path: Path) -> None:
    """With the root gone, a checkout gives for each fold the rows of its users, all folds together every row once."""
    moved = tmp_path / "moved"
    shutil.copytree(root, moved, symlinks=True)
    repository = repository_at(moved)
    check_out(str(repository.folder), repository.tags()[-1], tmp_path / "away", remote=repository.remote)
    shutil.rmtree(moved)
    made = rows()
    made["fold"] = made["user_id"].map(expected_folds())
    for fold in range(4):
        loaded = load_dataset(tmp_path / "away", folds=[fold], columns=("event_id", "user_id"))
        assert set(loaded.to_pandas()["event_id"]) == set(made[made["fold"] == fold]["event_id"])
        here = load_dataset(root=root, folds=[fold], columns=("event_id", "user_id"))
        assert here.to_arrow().equals(loaded.to_arrow())
    assert load_dataset(tmp_path / "away", folds=range(4)).rows == len(made)


def test_published_folds_are_still_there(root: Path) -> None:
    """The strategy names which folds are meant; what a version does not hold is refused with the command that makes it."""
    hashed = load_dataset(root=root, folds=[2], fold_strategy="keyed_hash", columns=("user_id",)).to_pandas()["user_id"]
    assert {fold_of(user) for user in hashed} == {2}
    with pytest.raises(UnpinnedDataError, match="version cut --folds stratified:5"):
        load_dataset(root=root, folds=[0], fold_strategy="stratified")
    with pytest.raises(SplitError, match="0 to 3"):
        load_dataset(root=root, folds=[4])


def test_the_choice_of_folds_is_part_of_the_version(root: Path, tmp_path: Path) -> None:
    """The same choice again is the same version; another or none is another one, with the same rows and its own files."""
    own = tmp_path / "root"
    shutil.copytree(root, own, symlinks=True)
    repository, store = repository_at(own), store_at(own)
    assert cut(own, CHOICE).outcome == "unchanged"
    assert preview_version(repository, store, Request(folds=CHOICE), now=NOW).outcome == "unchanged"
    assert preview_version(repository, store, Request(), now=NOW).outcome == "dry run"
    plain = cut(own, None)
    assert (plain.outcome, plain.manifest.folds) == ("cut", None)
    assert not (own / "versions" / "data" / "folds").exists()
    assert not (own / "versions" / "data" / "folds.dvc").exists()
    only = cut(own, CHOICE, datasets=("label_partitions",))
    first = repository.version(repository.tags()[0])
    assert only.manifest.folds == first.folds
    assert [verified.faults for verified in verify_versions(repository, repository.tags())] == [()] * 3
    with pytest.raises(SplitError, match="fewer users"):
        cut(own, FoldChoice("stratified_group", 100))


def test_folds_that_tear_users_apart_are_stored_only_with_the_words(root: Path, tmp_path: Path) -> None:
    """Without the sentence there is no version; with it, rows are stratified exactly, and the version says it."""
    own = tmp_path / "root"
    shutil.copytree(root, own, symlinks=True)
    with pytest.raises(SplitError, match="would let a model know its test users"):
        cut(own, FoldChoice("stratified", 3))
    assert len(repository_at(own).tags()) == 1
    made = cut(own, FoldChoice("stratified", 3, accepts=ACCEPTANCE)).manifest
    assert made.folds is not None
    assert (made.folds.key, made.folds.accepts) == ("event_id", ACCEPTANCE)
    positives = [part.positives for part in made.folds.parts]
    assert sum(positives) == rows()["label"].sum()
    assert max(positives) - min(positives) <= 1
    loaded = [set(load_dataset(root=own, folds=[n], columns=("event_id",)).to_pandas()["event_id"]) for n in range(3)]
    assert set.union(*loaded) == set(rows()["event_id"])
    assert sum(map(len, loaded)) == len(rows())


def test_damaged_folds_are_found_out(root: Path, tmp_path: Path) -> None:
    """A bit of the stored table changed in the remote or in the cache: verify, checkout and loading refuse it."""
    own = tmp_path / "root"
    shutil.copytree(root, own, symlinks=True)
    repository = repository_at(own)
    folds = repository.version("latest").folds
    assert folds is not None
    places = [path for path in own.rglob(folds.file.md5[2:]) if path.parent.name == folds.file.md5[:2]]
    assert len(places) == 2
    for path in places:
        content = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(content[:40] + bytes([content[40] ^ 1]) + content[41:])
    (verified,) = verify_versions(repository, ["latest"])
    assert len(verified.faults) == 1
    assert "data/folds/folds.parquet" in verified.faults[0]
    with pytest.raises(CorruptVersionError):
        check_out(str(repository.folder), repository.tags()[-1], tmp_path / "restored", remote=repository.remote)
    with pytest.raises(CorruptVersionError, match="folds of the version"):
        load_dataset(root=own, folds=[0])
    assert "folds.parquet" not in " ".join(file_hashes(own / "data"))


@pytest.mark.parametrize("folds", [None, CHOICE], ids=["published", "stored"])
def test_sessions_of_users_of_several_folds_are_in_none(tmp_path: Path, folds: FoldChoice | None) -> None:
    """Someone logs in, within a day and over midnight: the version is cut, and loading by folds counts what it leaves out."""
    store = store_at(tmp_path / "root")
    days = [feature_rows(nth(number), users=60, rows=120).to_pandas() for number in (1, 2)]
    days[0].loc[[10, 11, 12], "session_uuid"] = "login"
    days[0].loc[115:119, "session_uuid"] = days[1].loc[0:4, "session_uuid"] = "login at midnight"
    for number, day in enumerate(days, start=1):
        publish_features(store, nth(number), pa.Table.from_pandas(day, SESSION_FEATURES.columns, preserve_index=False))
    cut(tmp_path / "root", folds)
    made = pd.concat(days)
    dealt = {user: fold_of(user) for user in made["user_id"]} if folds is None else _stored_folds(tmp_path / "root")
    per_session = made["user_id"].map(dealt).groupby(made["session_uuid"]).nunique()
    torn = made["session_uuid"].isin(per_session[per_session > 1].index)
    assert torn.sum() == 13, "users of one fold show nothing"
    loaded = load_dataset(root=tmp_path / "root", folds=range(5 if folds is None else 4), columns=("event_id",))
    assert loaded.to_pandas()["event_id"].sort_values().tolist() == sorted(made["event_id"][~torn])
    assert loaded.rows_between_folds == 13
    assert load_dataset(root=tmp_path / "root").rows == len(made)


def _stored_folds(root: Path) -> dict[str, int]:
    repository = repository_at(root)
    repository_folder = root.parent / "away"
    check_out(str(repository.folder), repository.tags()[-1], repository_folder)
    table = pq.ParquetFile(repository_folder / "data" / "folds" / "folds.parquet").read()
    return dict(zip(table["user_id"].to_pylist(), table["fold"].to_pylist(), strict=True))
