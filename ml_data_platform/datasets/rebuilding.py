"""Versions and models of a rebuilt root, compared with those of the original.

Belongs here: cutting and training again as was done before. Does not belong here: building the tables
(``stages.rebuilding``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from ml_data_platform.datasets.conversion_model import TrainingConfig
from ml_data_platform.datasets.manifest import Manifest
from ml_data_platform.datasets.run_manifest import RunManifest
from ml_data_platform.datasets.selection import Request
from ml_data_platform.training.folds import FoldChoice, Strategy
from ml_data_platform.training.temporal import cutoff_instant


@dataclass(frozen=True)
class Repetition:
    """A version or a model that was made again.

    Attributes:
        before: Its name in the original.
        after: Its name in the rebuilt root.
        hashes_before: What names its bytes: of a version, folder to DVC's listing; of a model, the hash of its file.
        hashes_after: The same of the new one.
        notes: What explains a difference: what of the environment is another now.
    """

    before: str
    after: str
    hashes_before: Mapping[str, str]
    hashes_after: Mapping[str, str]
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_same(self) -> bool:
        """Whether every byte is."""
        return self.hashes_before == self.hashes_after

    def to_json(self) -> dict[str, Any]:
        """Return plain values for scripts."""
        return {**asdict(self), "is_same": self.is_same}


def request_of(manifest: Manifest) -> Request:
    """Return what a version was asked to hold."""
    folds = None
    if manifest.folds is not None:
        known = {name: name for name in get_args(Strategy)}
        stored = manifest.folds
        folds = FoldChoice(known[stored.strategy], stored.count, stored.seed, stored.accepts)
    first, last = (dt.date.fromisoformat(day) if day else None for day in (manifest.first, manifest.last))
    unusable = manifest.spanned_files.accepted if manifest.spanned_files else ""
    accepted = {each.feature: each.reason for each in manifest.accepted_features}
    return Request(tuple(dataset.name for dataset in manifest.datasets), first, last, folds, unusable, accepted)


def config_of(run: RunManifest) -> TrainingConfig:
    """Return the choices of a training run."""
    return TrainingConfig(**{**run.config, "cutoff": cutoff_instant(run.config["cutoff"])})


def compare_versions_of_roots(before: Manifest, after: Manifest) -> Repetition:
    """Compare the MD5 of DVC's listings, which follow from the bytes of all files."""
    return Repetition(before.tag, after.tag, _listings(before), _listings(after))


def compare_models(before: RunManifest, after: RunManifest) -> Repetition:
    """Compare the bytes of two models."""
    now = after.environment
    notes = {name: f"{value} → {now.get(name)}" for name, value in before.environment.items() if now.get(name) != value}
    return Repetition(before.run_id, after.run_id, {"model": before.model_sha256}, {"model": after.model_sha256}, notes)


def _listings(manifest: Manifest) -> dict[str, str]:
    return {folder.name: f"{folder.dir_md5}.dir" for folder in manifest.tracked}
