"""How good predictions are: metrics, their intervals, and calibration.

Belongs here: numbers from labels and probabilities. Does not belong here: models.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int8]
BINS = 10
DRAWS = 200
_CLIP = 1e-12


@dataclass(frozen=True)
class Score:
    """One metric: its value, and the 2.5 % and 97.5 % quantiles over draws of users; none where it is not defined."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class CalibrationBin:
    """Rows of about the same prediction: how many, what was predicted, what happened."""

    rows: int
    predicted: float
    observed: float


def roc_auc(labels: Labels, predicted: Floats) -> float | None:
    """Return the share of pairs that are ordered right, ties half; none where a class has no rows."""
    positives = int(np.count_nonzero(labels))
    negatives = len(labels) - positives
    if not positives or not negatives:
        return None
    _, place, counts = np.unique(predicted, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2.0)[place]
    return float((ranks[labels == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def average_precision(labels: Labels, predicted: Floats) -> float | None:
    """Return the mean precision over recall, equal predictions taken together; none without positives."""
    positives = int(np.count_nonzero(labels))
    if not positives:
        return None
    order = np.argsort(-predicted, kind="stable")
    found, ordered = np.cumsum(labels[order].astype(np.int64)), predicted[order]
    last = np.append(ordered[1:] != ordered[:-1], True)
    hits, seen = found[last], np.flatnonzero(last) + 1
    gained = np.diff(hits, prepend=0)
    return float(np.sum(gained * hits / seen) / positives)


def log_loss(labels: Labels, predicted: Floats) -> float | None:
    """Return the mean negative log likelihood; none without rows."""
    if not len(labels):
        return None
    p = np.clip(predicted, _CLIP, 1 - _CLIP)
    return float(-np.mean(np.where(labels == 1, np.log(p), np.log1p(-p))))


def brier_score(labels: Labels, predicted: Floats) -> float | None:
    """Return the mean squared error of the probabilities; none without rows."""
    return float(np.mean((predicted - labels) ** 2)) if len(labels) else None


METRICS: dict[str, Callable[[Labels, Floats], float | None]] = {
    "roc_auc": roc_auc,
    "average_precision": average_precision,
    "log_loss": log_loss,
    "brier_score": brier_score,
}


def scores(
    labels: Labels, predicted: Floats, users: Sequence[str], *, seed: int, draws: int = DRAWS
) -> dict[str, Score]:
    """Return every metric with its interval.

    Rows of one user are not independent, so users are drawn, not rows.

    Args:
        labels: 0 or 1 of each row.
        predicted: Probability of 1 of each row.
        users: User of each row.
        seed: Of the draws.
        draws: How many.

    Source: cluster bootstrap, B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 8.
    """
    _, index = np.unique(np.asarray(users, dtype=str), return_inverse=True)
    order = np.argsort(index, kind="stable")
    starts = np.searchsorted(index[order], np.arange(index.max(initial=-1) + 2))
    rows_of = [order[start:end] for start, end in itertools.pairwise(starts)]
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in METRICS}
    for _ in range(draws if rows_of else 0):
        rows = np.concatenate([rows_of[user] for user in rng.integers(0, len(rows_of), len(rows_of))])
        for name, metric in METRICS.items():
            value = metric(labels[rows], predicted[rows])
            if value is not None:
                drawn[name].append(value)
    return {name: _score(metric(labels, predicted), drawn[name]) for name, metric in METRICS.items()}


def _score(value: float | None, drawn: list[float]) -> Score:
    if value is None or not drawn:
        return Score(value, None, None)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Score(value, float(low), float(high))


def calibration(labels: Labels, predicted: Floats, bins: int = BINS) -> tuple[CalibrationBin, ...]:
    """Return what was predicted and what happened, over bins of about as many rows; equal predictions share one."""
    if not len(labels):
        return ()
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, bins + 1)))
    place = np.clip(np.searchsorted(edges, predicted, side="right") - 1, 0, max(len(edges) - 2, 0))
    return tuple(
        CalibrationBin(int(chosen.sum()), float(predicted[chosen].mean()), float(labels[chosen].mean()))
        for number in range(max(len(edges) - 1, 1))
        if (chosen := place == number).any()
    )
