"""Whether the label rates of the folds are as equal as chance makes them.

Belongs here: the statistical test over sums per fold. Does not belong here: how the sums are made (``splits``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z_LIMIT = 4.0
MIN_USERS_PER_FOLD = 30
MIN_EXPECTED_PER_FOLD = 5.0


@dataclass(frozen=True)
class FoldSums:
    """Sums over the users of one fold; n are a user's rows, y those with label 1.

    Attributes:
        fold: Number of the fold.
        rows: Sum of n.
        positives: Sum of y.
        users: Number of users.
        rows_squared: Sum of n².
        positives_squared: Sum of y².
        rows_times_positives: Sum of n·y.
    """

    fold: int
    rows: int = 0
    positives: int = 0
    users: int = 0
    rows_squared: int = 0
    positives_squared: int = 0
    rows_times_positives: int = 0


@dataclass(frozen=True)
class LabelRateVerdict:
    """What the test says about one partition.

    Attributes:
        too_few: Why the data are too few to say anything; empty when they are enough.
        label_rate: Share of positives among all rows; 0 when there are none.
        z_scores: Per fold, in the given order: by how many standard deviations its positives differ from what its
            rows make one expect. Empty when ``too_few``.
        skewed_folds: Folds whose z score is beyond the limit.
    """

    too_few: str
    label_rate: float
    z_scores: tuple[float, ...] = ()
    skewed_folds: tuple[int, ...] = ()

    @property
    def largest_z_score(self) -> float:
        """The largest absolute z score; 0 when the data are too few."""
        return max((abs(score) for score in self.z_scores), default=0.0)


def compare_label_rates(folds: Sequence[FoldSums], z_limit: float = Z_LIMIT) -> LabelRateVerdict:
    """Test that users were put into folds without regard to their labels.

    Rows of one user are not independent, so users are the sampling units and a fold's label rate is a ratio of two
    user totals, y and n. With R = Y / N over all folds and the linearised residual e = y - R n of each user (these
    add up to zero), a fold f of m users out of M, drawn without replacement, has

        y_f - R n_f = sum of e over f,    mean 0,    variance  m (1 - m / M) S²,    S² = sum of e² / (M - 1).

    The factor (1 - m / M) is the finite-population correction: the folds share out one set of users. The z score
    is the left side over the root of the variance. No rate is divided by a random n_f, so the moments are exact;
    only the normal limit is an approximation, and it is not used where few users make up the data:

    - a fold has fewer than 30 users, or fewer than 30 effective ones, (sum of n)² / sum of n²: one user with most of
      the rows tells nothing about the split;
    - fewer than 5 effective positives, (sum of y)² / sum of y², are expected in each fold, or negatives likewise.

    Args:
        folds: One entry per fold, empty folds included.
        z_limit: Absolute z score from which a fold counts as skewed. At 4, a fair fold is flagged with a probability
            of 6e-5 where the normal limit holds.

    Returns:
        The verdict.

    Source: W. G. Cochran, *Sampling Techniques*, 3rd ed., 1977, theorem 2.2 (variance without replacement),
    chapters 6 and 9A (ratio estimator, clusters of unequal size); C.-E. Särndal, B. Swensson, J. Wretman, *Model Assisted
    Survey Sampling*, 1992, section 5.5 (linearised residuals); L. Kish, *Survey Sampling*, 1965, chapter 11
    (effective number).
    """
    total = _total(folds)
    rate = total.positives / total.rows if total.rows else 0.0
    too_few = _why_too_few(folds, total)
    if too_few:
        return LabelRateVerdict(too_few, rate)
    # The sum of e² times N², in integers: the difference of large sums would lose digits as floats.
    scaled_squares = (
        total.positives_squared * total.rows**2
        - 2 * total.positives * total.rows * total.rows_times_positives
        + total.positives**2 * total.rows_squared
    )
    unit_variance = scaled_squares / total.rows**2 / (total.users - 1)
    scores = tuple(_z_score(fold, total, unit_variance) for fold in folds)
    skewed = tuple(fold.fold for fold, score in zip(folds, scores, strict=True) if abs(score) > z_limit)
    return LabelRateVerdict("", rate, scores, skewed)


def _z_score(fold: FoldSums, total: FoldSums, unit_variance: float) -> float:
    excess = (fold.positives * total.rows - total.positives * fold.rows) / total.rows
    variance = fold.users * (1 - fold.users / total.users) * unit_variance
    if variance > 0:
        return excess / math.sqrt(variance)
    # Every user has the same rate (then nothing can be skewed), or one fold has all users.
    return 0.0


def _why_too_few(folds: Sequence[FoldSums], total: FoldSums) -> str:
    if len(folds) < 2:
        return "there are fewer than 2 folds"
    for fold in folds:
        users = min(float(fold.users), _effective(fold.rows, fold.rows_squared))
        if users < MIN_USERS_PER_FOLD:
            return f"fold {fold.fold} has {users:.1f} effective users, fewer than {MIN_USERS_PER_FOLD}"
    negatives = total.rows - total.positives
    negatives_squared = total.rows_squared - 2 * total.rows_times_positives + total.positives_squared
    for name, count, squared in (
        ("positives", total.positives, total.positives_squared),
        ("negatives", negatives, negatives_squared),
    ):
        expected = _effective(count, squared) / len(folds)
        if expected < MIN_EXPECTED_PER_FOLD:
            return f"{expected:.1f} effective {name} are expected in a fold, fewer than {MIN_EXPECTED_PER_FOLD:.0f}"
    return ""


def _effective(count: int, squared: int) -> float:
    """Kish's effective number of users: as many equal users would give the same variance."""
    return count**2 / squared if squared else 0.0


def _total(folds: Sequence[FoldSums]) -> FoldSums:
    return FoldSums(
        fold=-1,
        rows=sum(fold.rows for fold in folds),
        positives=sum(fold.positives for fold in folds),
        users=sum(fold.users for fold in folds),
        rows_squared=sum(fold.rows_squared for fold in folds),
        positives_squared=sum(fold.positives_squared for fold in folds),
        rows_times_positives=sum(fold.rows_times_positives for fold in folds),
    )
