"""What a training run says of itself: the file ``manifest.json`` beside its model.

Belongs here: its form, reading the runs of a root, and storing one. Does not belong here: training.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ml_data_platform.errors import CorruptVersionError, UnknownVersionError

MANIFEST_FILE = "manifest.json"
MODEL_FILE = "model.skops"
CARD_FILE = "card.md"
PLOT_FILE = "plots.png"
HASHES_FILE = "SHA256SUMS"


class RunManifest(BaseModel):
    """A training run.

    Attributes:
        run_id: Hash of all that the model depends on: version, configuration, code, environment.
        created_at: ISO-8601, UTC.
        version: Tag of the version that it learnt from.
        snapshot_id: The snapshot that pins that version's bytes.
        dir_md5: Data set to the name of DVC's listing.
        is_provisional: The version was provisional.
        code: Version of the package, commit, and whether files differed from it.
        environment: Versions of what the model may depend on.
        config: The choices.
        features: Columns of the matrix, in order.
        rows: Part to number of rows.
        split_rows: Where the rows of the version lie, before sampling: see ``training.temporal.SplitRows``; empty in older
            runs.
        rows_left_out: Of older runs alone: part to the rows of its time that are not in it, for users' and sessions' sake.
        positives: Part to number of rows with label 1.
        negative_sampling: Rate and salt of the train part.
        firewall: Check to whether it passed; all did.
        accepted_features: Features that tell the label of a part, and are accepted by the version, with the reasons.
        metrics: Metric to value, low and high, on the test part.
        baseline_log_loss: What always predicting the share of positives in the train part costs on the test part.
        cross_validation: One entry per fold of the train part.
        calibration: Bins of the test part.
        model_sha256: Hash of the model's file.
        model_bytes: Its size.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    format: int = 1
    run_id: str
    created_at: str
    version: str
    snapshot_id: str
    dir_md5: dict[str, str]
    is_provisional: bool
    code: dict[str, Any]
    environment: dict[str, str]
    config: dict[str, Any]
    features: list[str]
    rows: dict[str, int]
    split_rows: dict[str, int] = {}
    rows_left_out: dict[str, int | None] = {}
    positives: dict[str, int]
    negative_sampling: dict[str, Any]
    firewall: dict[str, bool]
    accepted_features: list[str] = []
    metrics: dict[str, dict[str, float | None]]
    baseline_log_loss: float | None = None
    cross_validation: list[dict[str, Any]]
    calibration: list[dict[str, Any]]
    model_sha256: str
    model_bytes: int

    def to_text(self) -> str:
        """Return the file's text."""
        return json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True) + "\n"

    @classmethod
    def read(cls, folder: Path) -> RunManifest:
        """Read the manifest of a run.

        Raises:
            CorruptVersionError: It cannot be read, it or the model beside it has other bytes than were written.
        """
        try:
            data = (folder / MANIFEST_FILE).read_bytes()
            _require_noted(folder, data)
            found = cls.model_validate_json(data)
            model = hashlib.sha256((folder / MODEL_FILE).read_bytes()).hexdigest()
        except (OSError, ValueError) as error:
            raise CorruptVersionError("a training run cannot be read", folder=str(folder), got=error) from error
        if model != found.model_sha256:
            raise CorruptVersionError(
                "a model has other bytes than its manifest names",
                remedy="Train it again: the same manifest gives the same bytes.",
                folder=str(folder),
                expected=found.model_sha256,
                got=model,
            )
        return found


def _require_noted(folder: Path, manifest: bytes) -> None:
    """Refuse a manifest that is not the one whose hash was noted beside it; runs of before have no such note."""
    noted = folder / HASHES_FILE
    line = f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST_FILE}"
    if noted.exists() and line.encode() not in noted.read_bytes().splitlines():
        raise CorruptVersionError(
            "the manifest of a training run has other bytes than were written",
            remedy="Run `ml-data-platform verify --repair`, which names the command that trains it again.",
            folder=str(folder),
        )


def all_runs(models: Path) -> list[RunManifest]:
    """Return the training runs below a folder, oldest first."""
    folders = [path.parent for path in models.glob(f"*/{MANIFEST_FILE}") if not path.parent.name.startswith(".")]
    return sorted((RunManifest.read(folder) for folder in folders), key=lambda run: (run.created_at, run.run_id))


def find_run(models: Path, name: str) -> RunManifest:
    """Return a run by its id, or a part of it that is its alone; ``latest`` for the newest.

    Raises:
        UnknownVersionError: No run, or more than one, has this name.
    """
    runs = all_runs(models)
    found = runs[-1:] if name == "latest" else [run for run in runs if name and run.run_id.startswith(name)]
    if len(found) != 1:
        raise UnknownVersionError("there is no such model", remedy="Train one: ml-data-platform train.", got=name)
    return found[0]


def hashes_text(files: Mapping[str, bytes]) -> str:
    """Return the file of hashes of a run, as ``sha256sum --check`` reads it.

    Args:
        files: Name to bytes.
    """
    return "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))


def store_run(
    models: Path, manifest: RunManifest, files: Mapping[str, bytes]
) -> tuple[RunManifest, Path, Literal["trained", "unchanged"]]:
    """Put a run into its folder, whole or not at all; a run that is there already stays as it is.

    Args:
        models: Folder of all training runs.
        manifest: What the run says of itself.
        files: Its other files: name to bytes.

    Returns:
        The manifest that is there, its folder, and whether it is new.

    Raises:
        CorruptVersionError: The same run gave another model before, or what is there cannot be read.
    """
    folder = models / manifest.run_id
    if (folder / MANIFEST_FILE).is_file():
        known = RunManifest.read(folder)
        if known.model_sha256 == manifest.model_sha256:
            return known, folder, "unchanged"
        raise CorruptVersionError(
            "the same version, choices, code and environment gave another model before",
            remedy="Move that run away to keep it, then train again and compare the two.",
            folder=str(folder),
            expected=known.model_sha256,
            got=manifest.model_sha256,
        )
    partial = models / f".{manifest.run_id}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    content = {**files, MANIFEST_FILE: manifest.to_text().encode()}
    for name, data in {**content, HASHES_FILE: hashes_text(content).encode()}.items():
        (partial / name).write_bytes(data)
    # Without a manifest it is no run.
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return manifest, folder, "trained"
