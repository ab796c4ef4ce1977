"""Fold strategies: users stay whole, unless somebody says in words that they need not."""

from __future__ import annotations

import random

import numpy as np
import pytest

from ml_data_platform.errors import SplitError
from ml_data_platform.training.folds import ACCEPTANCE, FoldChoice, compute_folds


def people(seed: int, count: int = 900) -> tuple[list[str], list[int]]:
    """Return users and labels of rows; some users have many rows and many positives."""
    rng = random.Random(seed)
    users = [f"usr_{rng.randrange(80)}" for _ in range(count)]
    rates = {user: rng.random() ** 2 for user in set(users)}
    return users, [int(rng.random() < rates[user]) for user in users]


@pytest.mark.parametrize("seed", range(3))
def test_users_stay_whole_and_label_rates_close(seed: int) -> None:
    """Each user is in one fold, all folds are used, and no fold's label rate is far from the others'."""
    users, labels = people(seed)
    folds = compute_folds(FoldChoice("stratified_group", 4, seed), users, labels)
    assert {len({fold for name, fold in zip(users, folds, strict=True) if name == user}) for user in users} == {1}
    rates = [np.mean([label for label, fold in zip(labels, folds, strict=True) if fold == n]) for n in range(4)]
    assert max(rates) - min(rates) < 0.15


def test_the_order_of_rows_changes_nothing() -> None:
    """A user's fold depends on the rows that there are, not on how they are read."""
    users, labels = people(7)
    choice = FoldChoice("stratified_group", 3)
    straight = dict(zip(users, compute_folds(choice, users, labels), strict=True))
    mixed = list(zip(users, labels, strict=True))
    random.Random(1).shuffle(mixed)
    again = compute_folds(choice, [user for user, _ in mixed], [label for _, label in mixed])
    assert dict(zip([user for user, _ in mixed], again, strict=True)) == straight


def test_folds_of_rows_need_to_be_accepted_in_words() -> None:
    """Where users have several rows, StratifiedKFold is refused, unless the configuration says the sentence."""
    users, labels = people(3)
    for accepts in ("", "yes", "true"):
        with pytest.raises(SplitError, match="would let a model know its test users"):
            compute_folds(FoldChoice("stratified", 3, accepts=accepts), users, labels)
    folds = compute_folds(FoldChoice("stratified", 3, accepts=ACCEPTANCE), users, labels)
    assert set(folds) == {0, 1, 2}
    alone = compute_folds(FoldChoice("stratified", 2), ["a", "b", "c", "d"], [0, 1, 0, 1])
    assert sorted(alone) == [0, 0, 1, 1]


def test_what_cannot_be_dealt_out_is_refused() -> None:
    """Fewer rows of a class than folds, unknown strategies, and folds that need no computation."""
    with pytest.raises(SplitError, match="fewer rows of a class"):
        compute_folds(FoldChoice("stratified_group", 3), ["a", "b", "c", "d"], [0, 0, 0, 1])
    with pytest.raises(SplitError, match="no such fold strategy"):
        FoldChoice("random")  # type: ignore[arg-type]
    with pytest.raises(SplitError, match="published with each day"):
        compute_folds(FoldChoice(), ["a"], [0])
