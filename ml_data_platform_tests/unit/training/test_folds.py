"""Fold strategies: users stay whole, unless somebody says in words that they need not."""

from __future__ import annotations

import random

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from ml_data_platform.errors import SplitError
from ml_data_platform.training.folds import ACCEPTANCE, FoldChoice, compute_folds, fold_users, parse_choice


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


@pytest.mark.parametrize("seed", range(4))
def test_users_are_dealt_as_scikit_learn_deals_rows(seed: int) -> None:
    """Counted by user or given row by row, in any order: the folds are those of StratifiedGroupKFold on the rows."""
    users, labels = people(seed)
    order = np.lexsort((labels, users))
    splitter = StratifiedGroupKFold(n_splits=5, shuffle=True, random_state=seed)
    rows = [(users[number], labels[number]) for number in order]
    expected = {
        rows[number][0]: fold
        for fold, (_, held) in enumerate(splitter.split(rows, [y for _, y in rows], [user for user, _ in rows]))
        for number in held
    }
    names = sorted(set(users))
    counted = [sum(name == user for user in users) for name in names]
    positive = [sum(label for user, label in zip(users, labels, strict=True) if name == user) for name in names]
    choice = FoldChoice("stratified_group", 5, seed)
    assert dict(zip(names, fold_users(choice, np.array(counted), np.array(positive)), strict=True)) == expected
    assert dict(zip(users, compute_folds(choice, users, labels), strict=True)) == expected


@pytest.mark.parametrize("seed", range(3))
def test_users_of_one_row_are_stratified_exactly(seed: int) -> None:
    """Where nothing forbids it, each fold has its share of each class, give or take one row."""
    positive = np.array([0] * 83 + [1] * 17)
    random.Random(seed).shuffle(positive)
    folds = fold_users(FoldChoice("stratified_group", 5, seed), np.ones(100, np.int64), positive)
    for label in (0, 1):
        counts = np.bincount(folds[positive == label], minlength=5)
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("seed", range(8))
def test_no_fold_is_off_by_more_than_one_user(seed: int) -> None:
    """Of each class, two folds differ by no more rows than the largest user of the class has, however uneven users are."""
    rng = np.random.default_rng(seed)
    rows = rng.zipf(1.6, 300).clip(max=200)
    positives = rng.binomial(rows, rng.beta(0.3, 2.0, 300))
    folds = fold_users(FoldChoice("stratified_group", 5, seed), rows, positives)
    for counts in (positives, rows - positives):
        totals = np.bincount(folds, counts, minlength=5)
        assert totals.max() - totals.min() <= max(counts.max(), 1)


def test_folds_are_asked_for_in_one_word() -> None:
    """A strategy, a number and maybe a seed; anything else is refused with the form, and the daily hash is no choice."""
    assert parse_choice("stratified_group:5") == FoldChoice("stratified_group", 5, 0)
    assert parse_choice("stratified:3:7", ACCEPTANCE) == FoldChoice("stratified", 3, 7, ACCEPTANCE)
    assert parse_choice(None) is None
    assert parse_choice("keyed_hash") is None
    for wrong in (
        "stratified_group",
        "stratified_group:",
        "stratified_group:five",
        "stratified:5:1:2",
        "stratified:-3",
    ):
        with pytest.raises(SplitError, match="STRATEGY:FOLDS"):
            parse_choice(wrong)
    for wrong, why in (
        ("hash:5", "no such fold strategy"),
        ("stratified:1", "out of bounds"),
        ("keyed_hash:9", "root"),
    ):
        with pytest.raises(SplitError, match=why):
            parse_choice(wrong)
