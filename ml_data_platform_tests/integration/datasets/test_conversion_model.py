"""Training on a version: the same bytes each time, honest scores, a manifest that says on what."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from dvc.repo import Repo
from sklearn.metrics import brier_score_loss, log_loss
from threadpoolctl import threadpool_limits

from ml_data_platform.datasets.checkout import check_out
from ml_data_platform.datasets.conversion_model import TrainedModel, TrainingConfig, plan_model, train_model
from ml_data_platform.datasets.known_days import default_cutoff
from ml_data_platform.datasets.load_dataset import find_version
from ml_data_platform.datasets.model_bytes import model_from_bytes, model_to_bytes
from ml_data_platform.datasets.model_card import split_line
from ml_data_platform.datasets.provenance import files_hash
from ml_data_platform.datasets.rebuilding import config_of
from ml_data_platform.datasets.run_manifest import RunManifest, all_runs, find_run
from ml_data_platform.errors import CorruptVersionError, SplitError, VersionError
from ml_data_platform.features.catalog import feature_columns
from ml_data_platform.settings import load_settings
from ml_data_platform.training.temporal import PLACES
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.faults.datasets.killed_cuts import cut_now, repository_at
from ml_data_platform_tests.training_days import NOW, feature_rows, nth, publish_days, store_at
from ml_data_platform_tests.version_root import dvc

DAYS = 8
CONFIG = TrainingConfig(nth(6), trees=30)


def train(root: Path, config: TrainingConfig = CONFIG, now: dt.datetime = NOW) -> TrainedModel:
    """Train on the newest version of a root."""
    data = find_version(load_settings({}, root, root=root), "latest")
    return train_model(data, config, root / "models", now=now, threads=1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight days and their version, cut."""
    folder = tmp_path_factory.mktemp("model") / "root"
    publish_days(store_at(folder), DAYS, rows=250)
    cut_now(folder)
    return folder


@pytest.fixture(scope="module")
def trained(root: Path) -> TrainedModel:
    """A model of that version."""
    return train(root)


def test_the_same_version_gives_the_same_bytes(root: Path, trained: TrainedModel, tmp_path: Path) -> None:
    """Again: nothing new. In a clean root from the same rows, at another time: the same listing and the same model."""
    again = train(root, now=NOW + dt.timedelta(days=3))
    assert (again.outcome, again.manifest) == ("unchanged", trained.manifest)
    publish_days(store_at(tmp_path / "clean"), DAYS, rows=250)
    cut_now(tmp_path / "clean")
    clean = train(tmp_path / "clean")
    assert clean.manifest.dir_md5 == trained.manifest.dir_md5
    for name in ("model.skops", "plots.png"):
        assert (clean.folder / name).read_bytes() == (trained.folder / name).read_bytes()
    other = train(root, replace(CONFIG, seed=1, trees=5))
    assert other.manifest.model_sha256 != trained.manifest.model_sha256
    assert {run.run_id for run in all_runs(root / "models")} == {trained.manifest.run_id, other.manifest.run_id}


def test_the_model_predicts_what_the_rows_hold(root: Path, trained: TrainedModel) -> None:
    """Read back without pickle, it finds the planted signal: more carts, more conversions; its AUC is that of pairs."""
    model = model_from_bytes((trained.folder / "model.skops").read_bytes())
    rows = [row for number in (6, 7, 8) for row in feature_rows(nth(number), rows=250).to_pylist()]
    matrix = np.array([[np.nan if row[n] is None else float(row[n]) for n in feature_columns()] for row in rows])
    predicted = model.predict_proba(matrix)[:, 1]
    few, many = (predicted[[row["session_cart_count"] == carts for row in rows]].mean() for carts in (0, 3))
    assert many > few + 0.3
    labels = np.array([row["label"] for row in rows])
    pairs = predicted[labels == 1][:, None] - predicted[labels == 0][None, :]
    auc = trained.manifest.metrics["roc_auc"]
    assert auc["value"] == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    assert auc["low"] < auc["value"] < auc["high"]
    assert 0.6 < auc["value"] < 0.97


def test_the_manifest_says_on_what(root: Path, trained: TrainedModel) -> None:
    """Tag, listings, snapshot, code, environment, rows, checks, and a card for people."""
    run = trained.manifest
    version = find_version(load_settings({}, root, root=root), "latest").manifest
    assert (run.version, run.snapshot_id) == (version.tag, version.snapshot_id)
    assert run.dir_md5 == {each.name: f"{each.dir_md5}.dir" for each in version.datasets}
    assert run.rows == {"train": 4 * 250, "test": 3 * 250}
    assert set(run.code) == {"package_version", "files_sha256", "git_sha", "is_dirty"}
    assert run.environment["scikit-learn"] != "none"
    assert all(run.firewall.values())
    assert "sessions_are_on_one_side" in run.firewall
    assert run.model_sha256 == hashlib.sha256((trained.folder / "model.skops").read_bytes()).hexdigest()
    assert json.loads((trained.folder / "manifest.json").read_text())["run_id"] == run.run_id
    card = (trained.folder / "card.md").read_text()
    assert version.tag in card
    assert run.model_sha256 in card
    assert find_run(root / "models", run.run_id[:8]) == run


def placed(shared: str) -> dict[str, list[dict[str, object]]]:
    """Return the rows of both parts, by plain Python; no session of these rows lasts over a night."""
    rows = [row for number in range(1, DAYS + 1) for row in feature_rows(nth(number), rows=250).to_pylist()]
    is_tested = {
        row["user_id"]: int(hashlib.md5(f"tested:{row['user_id']}".encode()).hexdigest()[:8], 16) % 2 == 0
        for row in rows
    }
    early, late = (
        [row for row in rows if kept(row["event_timestamp"].date())]
        for kept in (lambda day: day < nth(5), lambda day: day >= nth(6))
    )
    if shared == "divide":
        late = [row for row in late if is_tested[row["user_id"]]]
        early = [row for row in early if not is_tested[row["user_id"]]]
    if shared == "purge":
        early = [row for row in early if row["user_id"] not in {other["user_id"] for other in late}]
    return {"train": early, "test": late}


def test_by_default_every_row_is_learnt_from_tested_or_in_the_embargo(trained: TrainedModel) -> None:
    """Of eight days with 250 rows: four, one and three; users stay on both sides, and manifest and card say so."""
    run, parts = trained.manifest, placed("keep")
    assert run.config["shared_users"] == "keep"
    assert run.rows == {part: len(rows) for part, rows in parts.items()} == {"train": 1000, "test": 750}
    learnt = {row["user_id"] for row in parts["train"]}
    known = sum(row["user_id"] in learnt for row in parts["test"])
    assert known > 700
    assert run.split_rows == {
        **run.rows,
        "embargo": 250,
        "shared_sessions": 0,
        "shared_users": 0,
        "test_of_known_users": known,
    }
    assert "users_are_on_one_side" not in run.firewall
    card = (trained.folder / "card.md").read_text()
    assert "Users on both sides of the cutoff: they stay on both and no row is left out" in card
    assert (
        f"left out: 250 in the embargo, 0 for their users; {known} of 750 test rows are of users in the train" in card
    )


@pytest.mark.parametrize("shared", ["divide", "purge"])
def test_other_choices_say_what_they_cost(root: Path, shared: str) -> None:
    """No user is on both sides; with the rows that are left out, all rows of the two times are accounted for."""
    data, parts = find_version(load_settings({}, root, root=root), "latest"), placed(shared)
    if not parts["train"]:
        with pytest.raises(SplitError, match="keep, divide, purge"):
            train(root, replace(CONFIG, shared_users=shared))
        return
    run = train(root, TrainingConfig(nth(6), trees=5, shared_users=shared)).manifest
    assert run.rows == {part: len(rows) for part, rows in parts.items()}
    left_out = 1750 - sum(run.rows.values())
    assert (run.split_rows["shared_users"], run.split_rows["test_of_known_users"]) == (left_out, 0)
    assert run.firewall["users_are_on_one_side"]
    plan = plan_model(data, TrainingConfig(nth(6)), root / "models", threads=1)
    assert plan.shared_users_cost == {
        each: 1750 - sum(map(len, placed(each).values())) for each in ("keep", "divide", "purge")
    }
    share = run.positives["train"] / run.rows["train"]
    of_tested = run.positives["test"] / run.rows["test"]
    expected = -of_tested * math.log(share) - (1 - of_tested) * math.log(1 - share)
    assert run.baseline_log_loss == pytest.approx(expected)


@pytest.mark.parametrize(("shared", "now"), [("divide", "divide"), ("allow", "keep")])
def test_older_runs_are_read_and_run_again(root: Path, tmp_path: Path, shared: str, now: str) -> None:
    """A manifest from before the places of rows were counted is read, and its choices give the rows that it names."""
    config = replace(CONFIG, shared_users=shared, trees=5)
    known = train(root, config)
    older = json.loads(known.manifest.to_text())
    del older["split_rows"]
    older["rows_left_out"] = {"train": 1000 - older["rows"]["train"], "test": 750 - older["rows"]["test"]}
    shutil.copytree(known.folder, tmp_path / "models" / "older")
    (tmp_path / "models" / "older" / "SHA256SUMS").unlink()
    (tmp_path / "models" / "older" / "manifest.json").write_text(json.dumps(older))
    run = find_run(tmp_path / "models", known.manifest.run_id)
    assert (run.config["shared_users"], run.split_rows) == (shared, {})
    assert split_line(run) == ""
    data = find_version(load_settings({}, root, root=root), "latest")
    trained = train_model(data, config_of(run), tmp_path / "again", now=NOW, threads=1).manifest
    assert (trained.model_sha256, trained.rows) == (run.model_sha256, run.rows)
    assert trained.rows == {part: len(rows) for part, rows in placed(now).items()}


def test_users_stay_whole_in_cross_validation(trained: TrainedModel) -> None:
    """Every row of the train part is held out once."""
    assert sum(fold["rows"] for fold in trained.manifest.cross_validation) == trained.manifest.rows["train"]
    assert len(trained.manifest.cross_validation) == 5


def test_recorded_scores_are_those_of_true_probabilities(root: Path) -> None:
    """Sampled, odds shrink by the rate: with that done by hand, scikit-learn's metrics on the unsampled rows agree.

    Without it they would not, and the card says at which rate and that it was done. The calibration that is recorded is
    about that of the unsampled test part.
    """
    trained = train(root, replace(CONFIG, negatives_per_positive=0.5))
    run, rate = trained.manifest, trained.manifest.negative_sampling["rate"]
    assert rate < 0.6
    assert run.rows["test"] == 750
    predicted = sum(each["rows"] * each["predicted"] for each in run.calibration) / 750
    assert predicted == pytest.approx(run.positives["test"] / 750, abs=0.08)
    early = [row for number in range(1, 5) for row in feature_rows(nth(number), rows=250).to_pylist()]
    negatives = sum(not row["label"] for row in early)
    kept = run.rows["train"] - run.positives["train"]
    assert run.positives["train"] == len(early) - negatives
    assert kept / negatives == pytest.approx(rate, rel=0.15)
    rows = [row for number in (6, 7, 8) for row in feature_rows(nth(number), rows=250).to_pylist()]
    matrix = np.array([[np.nan if row[n] is None else float(row[n]) for n in feature_columns()] for row in rows])
    labels = np.array([row["label"] for row in rows])
    sampled = model_from_bytes((trained.folder / "model.skops").read_bytes()).predict_proba(matrix)[:, 1]
    odds = rate * sampled / (1 - sampled)
    assert run.metrics["log_loss"]["value"] == pytest.approx(log_loss(labels, odds / (1 + odds)))
    assert run.metrics["brier_score"]["value"] == pytest.approx(brier_score_loss(labels, odds / (1 + odds)))
    assert log_loss(labels, sampled) > log_loss(labels, odds / (1 + odds)) + 0.1
    assert (odds / (1 + odds)).mean() == pytest.approx(labels.mean(), abs=0.08)
    assert f"{rate:.4f} were kept; probabilities are brought back" in (trained.folder / "card.md").read_text()


def test_threads_change_no_byte(root: Path, trained: TrainedModel, tmp_path: Path) -> None:
    """With four threads of the engine and of scikit-learn's loops: the same model, manifest and plots."""
    data = find_version(load_settings({}, root, root=root), "latest")
    with threadpool_limits(limits=4):
        train_model(data, CONFIG, tmp_path, now=NOW, threads=4, memory_limit="300MB")
    (other,) = all_runs(tmp_path)
    for name in ("model.skops", "plots.png", "manifest.json", "card.md"):
        assert (tmp_path / other.run_id / name).read_bytes() == (trained.folder / name).read_bytes()


def test_a_dry_run_says_what_would_be_learnt_from(root: Path, trained: TrainedModel) -> None:
    """The numbers of the run that is there, and that it is; of another seed the same rows, and nothing is written."""
    data = find_version(load_settings({}, root, root=root), "latest")
    before = sorted(root.joinpath("models").rglob("*"))
    plan = plan_model(data, CONFIG, root / "models", threads=1)
    run = trained.manifest
    assert (plan.run_id, plan.is_trained, plan.rows, plan.positives) == (run.run_id, True, run.rows, run.positives)
    assert (plan.firewall, plan.config, plan.negative_sampling) == (run.firewall, run.config, run.negative_sampling)
    other = plan_model(data, replace(CONFIG, seed=9), root / "models", threads=1)
    assert (other.is_trained, other.rows) == (False, run.rows)
    assert sorted(root.joinpath("models").rglob("*")) == before
    with pytest.raises(SplitError):
        plan_model(data, TrainingConfig(nth(1)), root / "models")


def test_another_code_is_another_run_and_a_run_is_never_replaced(
    tmp_path: Path, root: Path, trained: TrainedModel
) -> None:
    """An edit, a new file and another name of one tell codes apart, caches do not; a run that gave other bytes stays."""
    package = tmp_path / "package"
    (package / "__pycache__").mkdir(parents=True)
    (package / "a.py").write_text("one")
    seen = [files_hash(package)]
    for name, text in (("a.py", "two"), ("b.py", ""), ("c.py", "two")):
        (package / name).write_text(text)
        seen.append(files_hash(package))
    (package / "a.py").unlink()
    seen.append(files_hash(package))
    assert len(set(seen)) == 5
    (package / "__pycache__" / "a.pyc").write_text("compiled")
    assert files_hash(package) == seen[-1]

    folder = tmp_path / "models" / trained.manifest.run_id
    shutil.copytree(trained.folder, folder)
    (folder / "SHA256SUMS").unlink()
    other = trained.manifest.model_copy(update={"model_sha256": hashlib.sha256(b"other").hexdigest()})
    (folder / "model.skops").write_bytes(b"other")
    (folder / "manifest.json").write_text(other.to_text())
    data = find_version(load_settings({}, root, root=root), "latest")
    with pytest.raises(CorruptVersionError, match="another model before"):
        train_model(data, CONFIG, tmp_path / "models", now=NOW, threads=1)
    assert (folder / "model.skops").read_bytes() == b"other"


def test_a_changed_model_is_not_used(root: Path, tmp_path: Path, trained: TrainedModel) -> None:
    """Other bytes than the manifest names, and types that could run code, are refused."""
    shutil.copytree(trained.folder, tmp_path / "run")
    (tmp_path / "run" / "model.skops").write_bytes(b"other")
    with pytest.raises(CorruptVersionError, match="other bytes"):
        RunManifest.read(tmp_path / "run")

    class Foreign:
        """A type that no model of ours has."""

    with pytest.raises(VersionError, match="not trusted"):
        model_from_bytes(model_to_bytes(Foreign()))


def test_a_cutoff_within_a_day_is_recorded_and_repeated(root: Path, tmp_path: Path) -> None:
    """On the command line and in the asset: the manifest holds the instant, and with it the same run is found again."""
    at = dt.datetime.combine(nth(6), dt.time(9, 30), dt.UTC)
    command = CommandLine(tmp_path)
    there = at.astimezone(dt.timezone(dt.timedelta(hours=2))).isoformat()
    asked = command.ok("train", "--root", root, "--cutoff", there, "--json")
    run = find_run(root / "models", json.loads(asked.out)["run_id"])
    assert run.config["cutoff"] == at.isoformat()
    rows = [row for number in range(1, DAYS + 1) for row in feature_rows(nth(number), rows=250).to_pylist()]
    tested = [row for row in rows if row["event_timestamp"] >= at]
    before = [row for row in rows if at - row["event_timestamp"] > dt.timedelta(days=1)]
    known = {row["session_uuid"] for row in tested}
    assert run.rows == {
        "test": len(tested),
        "train": sum(row["session_uuid"] not in known for row in before),
    }
    assert run.split_rows["shared_sessions"] == len(before) - run.rows["train"]
    assert sum(run.split_rows[place] for place in PLACES) == len(rows)
    repeated = plan_model(
        find_version(load_settings({}, root, root=root), "latest"), config_of(run), root / "models", threads=1
    )
    assert (repeated.is_trained, repeated.run_id) == (True, run.run_id)
    naive = command("train", "--root", root, "--cutoff", there[:-6], "--json")
    assert naive.status == 2
    assert "without a time zone" in naive.text


def test_splits_without_room_are_refused(root: Path) -> None:
    """A cutoff at which nothing is known, and before which nothing lies; the default leaves room."""
    manifest = find_version(load_settings({}, root, root=root), "latest").manifest
    assert default_cutoff(manifest) == nth(7)
    for wrong in (nth(1), nth(DAYS + 1)):
        with pytest.raises(SplitError):
            train(root, TrainingConfig(wrong))


def test_dvc_shows_and_runs_the_training_stage(root: Path, tmp_path: Path) -> None:
    """In a clone elsewhere, without a root: DVC's graph has the stage, `dvc repro` trains, and then nothing is due."""
    repository = repository_at(root)
    tag = repository.tags()[-1]
    clone = check_out(str(repository.folder), tag, tmp_path / "clone").folder
    with Repo(str(clone)) as opened:
        graph = opened.index.graph
        (stage,) = (each for each in graph if getattr(each, "name", None) == "train")
        assert "date_partitions.dvc" in {Path(each.path).name for each in graph.successors(stage)}
    params = clone / "params.yaml"
    assert yaml.safe_load(params.read_text())["shared_users"] == "keep"
    params.write_text(params.read_text().replace("seed: 0", "seed: 3"))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "dvc", "repro", "--quiet"]
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = all_runs(clone / "models")
    assert (run.version, run.config["seed"]) == (tag, 3)
    # Its exit status is that of changes.
    dvc(clone, "status")
    params.write_text(params.read_text().replace("seed: 3", "seed: 4"))
    with pytest.raises(AssertionError):
        dvc(clone, "status")
