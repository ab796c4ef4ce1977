"""The check of label rates per fold: quiet on fair folds, loud on skewed ones, silent on tiny data."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from ml_data_platform.training.label_rates import FoldSums, compare_label_rates

Users = tuple[np.ndarray, np.ndarray]


def clustered_users(rng: np.random.Generator, count: int, label_rate: float) -> Users:
    """Rows and positives per user: long-tailed row counts, and each user with a rate of their own."""
    rows = 1 + rng.geometric(0.15, count) * rng.integers(1, 5, count)
    rates = rng.beta(label_rate * 0.7, (1 - label_rate) * 0.7, count)
    return rows, rng.binomial(rows, rates)


def sums(users: Users, folds: np.ndarray, fold_count: int = 5) -> list[FoldSums]:
    """The sums per fold, by numpy."""
    rows, positives = users
    return [
        FoldSums(
            fold,
            int(rows[folds == fold].sum()),
            int(positives[folds == fold].sum()),
            int((folds == fold).sum()),
            int((rows[folds == fold] ** 2).sum()),
            int((positives[folds == fold] ** 2).sum()),
            int((rows * positives)[folds == fold].sum()),
        )
        for fold in range(fold_count)
    ]


def test_z_scores_have_mean_zero_and_variance_one_over_all_splits() -> None:
    """Over every way to put 7 users into a fold of 3, the z scores of both folds have exactly these moments."""
    rows = np.array([5, 1, 2, 9, 4, 1, 3])
    positives = np.array([1, 1, 0, 2, 4, 0, 3])
    scores = []
    for chosen in itertools.combinations(range(7), 3):
        folds = np.array([0 if user in chosen else 1 for user in range(7)])
        scores.append(_scores_without_guards(sums((rows, positives), folds, 2)))
    for fold in (0, 1):
        values = [score[fold] for score in scores]
        assert math.isclose(sum(values), 0, abs_tol=1e-9)
        assert math.isclose(sum(value**2 for value in values) / len(values), 1, rel_tol=1e-12)


def _scores_without_guards(folds: list[FoldSums]) -> tuple[float, ...]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ml_data_platform.training.label_rates.MIN_USERS_PER_FOLD", 0)
        patch.setattr("ml_data_platform.training.label_rates.MIN_EXPECTED_PER_FOLD", 0)
        return compare_label_rates(folds).z_scores


@pytest.mark.parametrize(("label_rate", "count"), [(0.3, 800), (0.05, 3_000), (0.02, 20_000)])
def test_fair_folds_are_rarely_flagged(label_rate: float, count: int) -> None:
    """Of 400 fair splits of clustered users into 5 folds, at most 2 have a flagged fold."""
    rng = np.random.default_rng(20_260_304)
    verdicts = [
        compare_label_rates(sums(clustered_users(rng, count, label_rate), rng.integers(0, 5, count)))
        for _ in range(400)
    ]
    assert sum(verdict.too_few == "" for verdict in verdicts) >= 390
    assert sum(bool(verdict.skewed_folds) for verdict in verdicts) <= 2


def test_treating_rows_as_independent_would_flag_fair_folds() -> None:
    """The reason for the user residuals: a test over rows finds more than a tenth of fair splits skewed at z = 4."""
    rng = np.random.default_rng(7)
    false_alarms = 0
    for _ in range(200):
        folds = sums(clustered_users(rng, 2_000, 0.2), rng.integers(0, 5, 2_000))
        rate = sum(fold.positives for fold in folds) / sum(fold.rows for fold in folds)
        false_alarms += any(
            abs(fold.positives - rate * fold.rows) > 4 * math.sqrt(fold.rows * rate * (1 - rate)) for fold in folds
        )
    assert false_alarms > 20


def test_a_planted_skew_is_flagged() -> None:
    """Where half of the users with positives are moved into fold 2, fold 2 is flagged."""
    rng = np.random.default_rng(11)
    for _ in range(50):
        rows, positives = clustered_users(rng, 2_000, 0.2)
        folds = rng.integers(0, 5, 2_000)
        moved = (positives > 0) & (rng.random(2_000) < 1 / 2)
        verdict = compare_label_rates(sums((rows, positives), np.where(moved, 2, folds)))
        assert 2 in verdict.skewed_folds
        assert verdict.z_scores[2] > 4


@pytest.mark.parametrize(
    ("users", "reason"),
    [
        ((np.ones(100, int), np.arange(100) % 2), "effective users"),
        ((np.ones(2_000, int), (np.arange(2_000) < 20).astype(int)), "effective positives"),
        ((np.ones(2_000, int), (np.arange(2_000) >= 20).astype(int)), "effective negatives"),
        ((np.where(np.arange(2_000) == 0, 10**6, 1), np.arange(2_000) % 2), "effective users"),
    ],
)
def test_tiny_data_are_too_few(users: Users, reason: str) -> None:
    """Few users, few positives, few negatives, or one user with nearly all rows: no verdict, and the reason."""
    count = len(users[0])
    verdict = compare_label_rates(sums(users, np.arange(count) * 5 // count))
    assert reason in verdict.too_few
    assert verdict.skewed_folds == ()
    assert verdict.largest_z_score == 0.0


def test_an_empty_partition_is_too_few() -> None:
    """Five empty folds are no error."""
    verdict = compare_label_rates([FoldSums(fold) for fold in range(5)])
    assert verdict.too_few
    assert verdict.label_rate == 0.0


def test_one_rate_for_all_users_is_never_skewed() -> None:
    """Where each user has the same share of positives there is no variance, and no fold can differ."""
    rows = 2 * np.arange(1, 1_001)
    verdict = compare_label_rates(sums((rows, rows // 2), np.arange(1_000) % 5))
    assert (verdict.too_few, verdict.skewed_folds, verdict.label_rate) == ("", (), 0.5)
