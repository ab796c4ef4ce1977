"""Stored training runs: a flipped bit in any file is found, and a model's file from elsewhere runs nothing."""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from ml_data_platform.datasets import model_bytes
from ml_data_platform.datasets.model_bytes import model_from_bytes, model_to_bytes
from ml_data_platform.datasets.run_manifest import HASHES_FILE, RunManifest, all_runs, store_run
from ml_data_platform.datasets.stored_models import defects_of_models, note_hashes
from ml_data_platform.errors import CorruptVersionError, VersionError

TAG = "data/20260601T000000Z-0123456789ab"


@pytest.fixture(scope="module")
def model() -> bytes:
    """A small model of the kind that training makes."""
    rng = np.random.default_rng(0)
    features, labels = rng.random((60, 3)), rng.integers(0, 2, 60)
    return model_to_bytes(HistGradientBoostingClassifier(max_iter=3).fit(features, labels))


@pytest.fixture
def models(tmp_path: Path, model: bytes) -> Path:
    """A folder with two runs, and a folder that is none."""
    for run_id in ("first", "second"):
        manifest = RunManifest(
            run_id=run_id,
            created_at="2026-06-01T00:00:00+00:00",
            version=TAG,
            snapshot_id="0123456789ab",
            dir_md5={},
            is_provisional=False,
            code={},
            environment={},
            config={"cutoff": "2026-06-01"},
            features=["a"],
            rows={"train": 60, "test": 10},
            positives={"train": 30, "test": 5},
            negative_sampling={"rate": 1.0},
            firewall={},
            metrics={},
            cross_validation=[],
            calibration=[],
            model_sha256=hashlib.sha256(model).hexdigest(),
            model_bytes=len(model),
        )
        store_run(tmp_path, manifest, {"model.skops": model, "card.md": b"# Card", "plots.png": b"PNG" * 50})
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "mine.ipynb").write_text("{}")
    return tmp_path


def defects(models: Path, *, is_repair: bool = False) -> list[str]:
    """Return where something is wrong."""
    return [each.key.rpartition("/")[2] for each in defects_of_models(models, is_repair=is_repair)]


def test_whole_runs_are_whole(models: Path) -> None:
    """Nothing is wrong with runs as they are written, folders of others, and no folder; other tools read the hashes."""
    assert defects(models) == []
    assert defects(models / "nothing") == []
    check = ["sha256sum", "--check", "--quiet", HASHES_FILE]
    assert subprocess.run(check, cwd=models / "first", check=False).returncode == 0


def test_a_flipped_bit_in_any_file_is_found(models: Path) -> None:
    """Model, manifest, card, plots and hashes: each of 12 flips per file is told, and so is each file that is gone."""
    rng = random.Random(5)
    for path in sorted((models / "first").iterdir()):
        content = path.read_bytes()
        for _ in range(12):
            damaged = bytearray(content)
            damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            path.write_bytes(bytes(damaged))
            assert defects(models) == ["first"], path.name
        path.unlink()
        if path.name != HASHES_FILE:
            assert defects(models) == ["first"], path.name
        path.write_bytes(content)
    assert defects(models) == []


def test_a_damaged_run_is_set_aside_and_named_with_the_command(models: Path) -> None:
    """The others can be used again, nothing is removed, and the message says how the model is trained again."""
    (models / "first" / "model.skops").write_bytes(b"damaged")
    (found,) = defects_of_models(models, is_repair=True)
    assert f"ml-data-platform train --version {TAG} --cutoff 2026-06-01" in found.detail
    assert not found.is_repaired
    assert [run.run_id for run in all_runs(models)] == ["second"]
    assert (models / ".damaged" / "first" / "model.skops").read_bytes() == b"damaged"
    assert defects(models) == []


def test_runs_of_before_are_taken_over(models: Path) -> None:
    """A run without hashes is no defect; it is given them once, unless it is damaged, which is said."""
    for run in ("first", "second"):
        (models / run / HASHES_FILE).unlink()
    assert defects(models) == []
    (models / "second" / "model.skops").write_bytes(b"damaged")
    assert note_hashes(models, is_dry_run=True)[0] == 1
    count, problems = note_hashes(models, is_dry_run=False)
    assert (count, len(problems)) == (1, 1)
    assert "second" in problems[0]
    assert note_hashes(models, is_dry_run=False)[0] == 0
    shutil.rmtree(models / "second")
    (models / "first" / "card.md").write_bytes(b"# Carf")
    assert defects(models) == ["first"]


def _archive(change: Callable[[dict[str, bytes]], None], model: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(model)) as source:
        entries = {name: source.read(name) for name in source.namelist()}
    change(entries)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in entries.items():
            target.writestr(name, content)
    return out.getvalue()


def _other_type(entries: dict[str, bytes]) -> None:
    schema = json.loads(entries["schema.json"])
    schema |= {"__module__": "os", "__class__": "system", "__loader__": "FunctionNode", "content": "system"}
    entries["schema.json"] = json.dumps(schema).encode()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_other_type, "not trusted"),
        (lambda entries: entries.update({"../../x.npy": b""}), "other files"),
        (lambda entries: entries.update({"/etc/x.npy": b""}), "other files"),
        (lambda entries: entries.pop("schema.json"), "other files"),
        (lambda entries: entries.update({"schema.json": b"{" * 100_000}), "cannot be read"),
        (lambda entries: entries.update({"bomb.npy": bytes(10_000_001)}), "unpack to more"),
    ],
)
def test_a_model_from_elsewhere_is_refused(
    change: Callable[[dict[str, bytes]], None], says: str, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Types, paths, bombs and nonsense: one error, before anything of it is unpacked; the model itself is read."""
    monkeypatch.setattr(model_bytes, "MAX_BYTES", 10_000_000)
    with pytest.raises(VersionError, match=says):
        model_from_bytes(_archive(change, model))
    assert model_from_bytes(model).n_features_in_ == 3
    assert model_from_bytes(_archive(lambda _: None, model)).n_features_in_ == 3


def test_what_is_no_archive_is_refused() -> None:
    """A pickle, and half a file, are errors of the platform."""
    for data in (b"\x80\x04K\x01.", b"PK\x03\x04", b""):
        with pytest.raises(VersionError, match="no archive"):
            model_from_bytes(data)


def test_a_manifest_that_says_another_thing_is_not_read(models: Path) -> None:
    """One digit of it is another: still a manifest, of the same model, and refused to all who ask for the run."""
    manifest = models / "first" / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"model_bytes": ', '"model_bytes": 1', 1))
    with pytest.raises(CorruptVersionError, match="other bytes than were written"):
        RunManifest.read(models / "first")
