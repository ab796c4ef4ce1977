"""Metrics against scikit-learn, and intervals that hold what they should."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from ml_data_platform.training.scoring import METRICS, calibration, scores


def some(seed: int, rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and predictions with ties."""
    rng = np.random.default_rng(seed)
    predicted = np.round(rng.random(rows), 2).clip(0.01, 0.99)
    return (rng.random(rows) < predicted**2).astype(np.int8), predicted


@pytest.mark.parametrize("seed", range(4))
def test_metrics_are_those_of_scikit_learn(seed: int) -> None:
    """To the last digits, ties and all."""
    labels, predicted = some(seed)
    expected = {
        "roc_auc": metrics.roc_auc_score(labels, predicted),
        "average_precision": metrics.average_precision_score(labels, predicted),
        "log_loss": metrics.log_loss(labels, predicted),
        "brier_score": metrics.brier_score_loss(labels, predicted),
    }
    assert {name: metric(labels, predicted) for name, metric in METRICS.items()} == pytest.approx(expected, rel=1e-9)


def test_what_is_not_defined_is_none() -> None:
    """One class, or no rows: no AUC is made up."""
    none, one = np.array([], dtype=np.int8), np.array([0, 0], dtype=np.int8)
    assert all(metric(none, np.array([])) is None for metric in METRICS.values())
    assert METRICS["roc_auc"](one, np.array([0.1, 0.2])) is None
    assert METRICS["average_precision"](one, np.array([0.1, 0.2])) is None


def test_intervals_know_that_rows_of_a_user_belong_together() -> None:
    """Around the value, the same each time, and wider where each user has many equal rows."""
    labels, predicted = some(9)
    alone = scores(labels, predicted, [str(n) for n in range(len(labels))], seed=1)
    again = scores(labels, predicted, [str(n) for n in range(len(labels))], seed=1)
    assert alone == again
    for score in alone.values():
        assert score.low < score.value < score.high
    repeated = [np.repeat(each[:40], 10) for each in (labels, predicted)]
    together = scores(*repeated, np.repeat(np.arange(40), 10).astype(str).tolist(), seed=1)
    apart = scores(*repeated, [str(n) for n in range(400)], seed=1)
    assert together["brier_score"].high - together["brier_score"].low > 2 * (
        apart["brier_score"].high - apart["brier_score"].low
    )


def test_calibration_accounts_for_every_row() -> None:
    """The bins' rows, predictions and labels add up to all of them; equal predictions share a bin."""
    labels, predicted = some(3)
    bins = calibration(labels, predicted)
    assert sum(each.rows for each in bins) == len(labels)
    assert sum(each.rows * each.predicted for each in bins) == pytest.approx(predicted.sum())
    assert sum(each.rows * each.observed for each in bins) == pytest.approx(labels.sum())
    (only,) = calibration(labels, np.full(len(labels), 0.25))
    assert (only.rows, only.predicted, only.observed) == (len(labels), 0.25, pytest.approx(labels.mean()))
