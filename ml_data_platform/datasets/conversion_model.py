"""conversion_model: a baseline trained on one version, with the manifest that traces it.

Belongs here: the order of a training run, and what its manifest says. Does not belong here: metrics
(``training.scoring``), the model's bytes (``model_bytes``), and its card (``model_card``).

The same version, configuration, code and environment give the same bytes: one thread fits, the seed is given, and rows
come in one order. A run is named by a hash of what it depends on, so that running it again finds itself.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ml_data_platform.datasets.loading import Dataset, Selected, as_floats, select_rows, shared_users_cost
from ml_data_platform.datasets.model_bytes import model_to_bytes
from ml_data_platform.datasets.model_card import card_text, plot
from ml_data_platform.datasets.pinned_data import PinnedData
from ml_data_platform.datasets.provenance import code_identity, environment
from ml_data_platform.datasets.run_manifest import (
    CARD_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    PLOT_FILE,
    RunManifest,
    store_run,
)
from ml_data_platform.errors import SplitError
from ml_data_platform.features.catalog import feature_columns
from ml_data_platform.storage.records import canonical_json
from ml_data_platform.training.folds import FoldChoice, compute_folds
from ml_data_platform.training.sampling import recalibrated
from ml_data_platform.training.scoring import Floats, Labels, average_precision, calibration, log_loss, roc_auc, scores
from ml_data_platform.training.temporal import Part, SharedUsers, TemporalSplit, cutoff_text, split_at

Progress = Callable[[str], None]


@dataclass(frozen=True)
class TrainingConfig:
    """What is chosen for a training run.

    Attributes:
        cutoff: First instant of the test part: a UTC day, which stands for its beginning, or an aware instant.
        seed: Of folds, model and intervals.
        negatives_per_positive: See ``Selected``; the probabilities are brought back by the recorded rate.
        shared_users: See ``TemporalSplit``.
        fold_count: Folds of the cross-validation; users stay whole.
        trees: Boosting rounds.
        leaves: Most leaves of a tree.
        leaf_rows: Fewest rows of a leaf: conversions are rare, and a leaf of a few rows knows nothing of them.
        learning_rate: Of the boosting.
        regularization: L2, of the leaves.
    """

    cutoff: dt.date
    seed: int = 0
    negatives_per_positive: float | None = None
    shared_users: SharedUsers = "keep"
    fold_count: int = 5
    trees: int = 100
    leaves: int = 7
    leaf_rows: int = 100
    learning_rate: float = 0.05
    regularization: float = 10.0

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "cutoff": cutoff_text(self.cutoff)}


@dataclass(frozen=True)
class TrainedModel:
    """A training run: its manifest, its folder, and whether it had been run before."""

    manifest: RunManifest
    folder: Path
    outcome: Literal["trained", "unchanged"]


@dataclass(frozen=True)
class TrainingPlan:
    """What a training run would learn from: see ``RunManifest``; ``is_trained`` where the same was run before.

    Attributes:
        shared_users_cost: Each choice of ``shared_users`` with the rows that it leaves out.
    """

    run_id: str
    version: str
    is_provisional: bool
    config: dict[str, Any]
    features: list[str]
    rows: dict[str, int]
    positives: dict[str, int]
    negative_sampling: dict[str, Any]
    split_rows: dict[str, int]
    shared_users_cost: dict[str, int]
    firewall: dict[str, bool]
    accepted_features: list[str]
    is_trained: bool


def train_model(
    data: PinnedData,
    config: TrainingConfig,
    models: Path,
    *,
    now: dt.datetime,
    memory_limit: str = "1GB",
    threads: int = 2,
    progress: Progress = lambda _: None,
) -> TrainedModel:
    """Train, test and describe a model on one version.

    Args:
        data: The version and its files, compared already.
        config: The choices.
        models: Folder of all training runs.
        now: The present, aware; for the manifest.
        memory_limit: Bound of the query engine.
        threads: Its threads; the model is fitted by one.
        progress: Called with what is being done.

    Raises:
        LeakageError: The rows must not be learnt from.
        SplitError: The split leaves no room, or the train part has only one class.
    """
    progress("loading")
    parts = _select_parts(data, config, memory_limit, threads)
    train, test = _matrix(parts["train"]), _matrix(parts["test"])
    _require_classes({"train": train.labels, "test": test.labels})
    rate = parts["train"].sampling.rate
    progress("cross-validation")
    validated = _cross_validate(config, train)
    progress("fitting")
    model = _fit(config, train.features, train.labels)
    content = model_to_bytes(model)
    predicted = np.array([recalibrated(p, rate) for p in _predict(model, test.features)])
    progress("testing")
    manifest = RunManifest(
        run_id=_run_id(data, config),
        created_at=now.astimezone(dt.UTC).isoformat(timespec="microseconds"),
        version=data.manifest.tag,
        snapshot_id=data.manifest.snapshot_id,
        dir_md5={dataset.name: f"{dataset.dir_md5}.dir" for dataset in data.manifest.tracked},
        is_provisional=data.manifest.is_provisional,
        code=code_identity(),
        environment=environment(),
        config=config.to_json(),
        features=list(feature_columns("date_partitions")),
        rows={"train": len(train.labels), "test": len(test.labels)},
        split_rows=_split_rows(parts),
        baseline_log_loss=log_loss(test.labels, np.full(len(test.labels), _base_rate(train.labels, rate))),
        positives={"train": int(train.labels.sum()), "test": int(test.labels.sum())},
        negative_sampling={"rate": rate, "salt": parts["train"].sampling.salt},
        firewall=_checks(parts),
        accepted_features=_accepted(parts),
        metrics={
            name: asdict(score) for name, score in scores(test.labels, predicted, test.users, seed=config.seed).items()
        },
        cross_validation=validated,
        calibration=[asdict(each) for each in calibration(test.labels, predicted)],
        model_sha256=hashlib.sha256(content).hexdigest(),
        model_bytes=len(content),
    )
    files = {
        MODEL_FILE: content,
        PLOT_FILE: plot(manifest, test.labels, predicted),
        CARD_FILE: card_text(manifest).encode(),
    }
    return TrainedModel(*store_run(models, manifest, files))


def plan_model(
    data: PinnedData, config: TrainingConfig, models: Path, *, memory_limit: str = "1GB", threads: int = 2
) -> TrainingPlan:
    """Say what training would learn from, after all checks, without training.

    Args:
        data: The version and its files, compared already.
        config: The choices.
        models: Folder of all training runs.
        memory_limit: Bound of the query engine.
        threads: Its threads.

    Raises:
        LeakageError: The rows must not be learnt from.
        SplitError: The split leaves no room, or the train part has only one class.
    """
    parts = _select_parts(data, config, memory_limit, threads)
    labels = {
        name: np.concatenate([np.empty(0, np.int8), *(batch["label"].to_numpy() for batch in part.batches())])
        for name, part in parts.items()
    }
    _require_classes(labels)
    run_id = _run_id(data, config)
    return TrainingPlan(
        run_id=run_id,
        version=data.manifest.tag,
        is_provisional=data.manifest.is_provisional,
        config=config.to_json(),
        features=list(feature_columns("date_partitions")),
        rows={name: len(found) for name, found in labels.items()},
        positives={name: int(found.sum()) for name, found in labels.items()},
        negative_sampling={"rate": parts["train"].sampling.rate, "salt": parts["train"].sampling.salt},
        split_rows=_split_rows(parts),
        shared_users_cost=shared_users_cost(data, _split(config), memory_limit=memory_limit, threads=threads),
        firewall=_checks(parts),
        accepted_features=_accepted(parts),
        is_trained=(models / run_id / MANIFEST_FILE).is_file(),
    )


def _select_parts(data: PinnedData, config: TrainingConfig, memory_limit: str, threads: int) -> dict[str, Dataset]:
    split = _split(config)
    columns = ("user_id", *feature_columns("date_partitions"), "label")
    ratios: dict[Part, float | None] = {"train": config.negatives_per_positive, "test": None}
    return {
        part: select_rows(
            data,
            Selected(split=split, part=part, columns=columns, negatives_per_positive=ratio),
            memory_limit=memory_limit,
            threads=threads,
        )
        for part, ratio in ratios.items()
    }


def _split(config: TrainingConfig) -> TemporalSplit:
    return split_at(config.cutoff, shared_users=config.shared_users)


def _require_classes(labels: Mapping[str, Labels]) -> None:
    """Refuse parts that nothing can be learnt from, or tested on."""
    train, test = labels["train"], labels["test"]
    if len(np.unique(train)) < 2 or not len(test):
        raise SplitError(
            "the train part has labels of one class only, or there is nothing to test on",
            remedy="Choose another cutoff, or another of --shared-users: keep, divide, purge.",
            train_rows=len(train),
            train_positives=int(train.sum()),
            test_rows=len(test),
        )


def _checks(parts: Mapping[str, Dataset]) -> dict[str, bool]:
    return {each.check: each.passed for part in parts.values() for each in part.findings}


def _accepted(parts: Mapping[str, Dataset]) -> list[str]:
    return sorted({text for part in parts.values() for text in part.accepted})


@dataclass(frozen=True)
class _Rows:
    users: list[str]
    features: Floats
    labels: Labels


def _split_rows(parts: Mapping[str, Dataset]) -> dict[str, int]:
    """Return where the rows of the version lie, which both parts count alike."""
    counted = parts["train"].split_rows
    return {} if counted is None else asdict(counted)


def _base_rate(labels: Labels, sampling_rate: float) -> float:
    """Return the share of positives that would be in the train part without sampling of negatives."""
    return recalibrated(float(labels.mean()), sampling_rate)


def _matrix(dataset: Dataset) -> _Rows:
    table = dataset.to_arrow()
    features = np.column_stack([as_floats(table[name]) for name in feature_columns("date_partitions")])
    return _Rows(table["user_id"].to_pylist(), features, table["label"].to_numpy().astype(np.int8))


def _fit(config: TrainingConfig, features: Floats, labels: Labels) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    model = HistGradientBoostingClassifier(
        max_iter=config.trees,
        max_leaf_nodes=config.leaves,
        min_samples_leaf=config.leaf_rows,
        l2_regularization=config.regularization,
        learning_rate=config.learning_rate,
        early_stopping=False,
        random_state=config.seed,
    )
    with threadpool_limits(limits=1):
        return model.fit(features, labels)


def _predict(model: Any, features: Floats) -> npt.NDArray[np.float64]:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        predicted: npt.NDArray[np.float64] = model.predict_proba(features)[:, 1]
    return predicted


def _cross_validate(config: TrainingConfig, train: _Rows) -> list[dict[str, Any]]:
    """Fit and score each fold of the train part; a user is in one fold."""
    try:
        folds = compute_folds(FoldChoice("stratified_group", config.fold_count, config.seed), train.users, train.labels)
    except SplitError as error:
        return [{"fold": None, "rows": 0, "roc_auc": None, "average_precision": None, "why": error.what}]
    found = []
    for fold in range(config.fold_count):
        held_out = folds == fold
        model = _fit(config, train.features[~held_out], train.labels[~held_out])
        predicted = _predict(model, train.features[held_out])
        labels = train.labels[held_out]
        found.append(
            {
                "fold": fold,
                "rows": int(held_out.sum()),
                "roc_auc": roc_auc(labels, predicted),
                "average_precision": average_precision(labels, predicted),
            }
        )
    return found


def _run_id(data: PinnedData, config: TrainingConfig) -> str:
    """Return a hash of all that the model's bytes depend on."""
    facts = {
        "version": data.manifest.tag,
        "files": {file.path: file.sha256 for file in data.manifest.files},
        "config": config.to_json(),
        "environment": environment(),
        "code": code_identity(),
    }
    return hashlib.sha256(canonical_json(facts)).hexdigest()[:12]
