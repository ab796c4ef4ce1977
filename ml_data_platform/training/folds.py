"""Fold strategies: how users become folds, and which strategies may be used at all.

Belongs here: computing folds over the rows of a pinned version. Does not belong here: the daily keyed hash
(``splits``), which needs no data; it is the default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from ml_data_platform.errors import SplitError

Strategy = Literal["keyed_hash", "stratified_group", "stratified"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
ACCEPTANCE = "rows of one user may be in several folds"
"""What a configuration must say, word for word, before rows are put into folds without regard to their users."""

Folds = npt.NDArray[np.int64]
_FORM = "STRATEGY:FOLDS or STRATEGY:FOLDS:SEED, e.g. stratified_group:5"


@dataclass(frozen=True)
class FoldChoice:
    """How rows are put into folds.

    Attributes:
        strategy: ``keyed_hash``: as published every day. ``stratified_group``: users are dealt out so that label rates
            are as equal as users allow. ``stratified``: rows are dealt out; users are torn apart.
        count: Number of folds.
        seed: Of the dealing.
        accepts: For ``stratified``, the words of ``ACCEPTANCE``, where users are in several rows.
    """

    strategy: Strategy = "keyed_hash"
    count: int = 5
    seed: int = 0
    accepts: str = ""

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise SplitError("there is no such fold strategy", expected=STRATEGIES, got=self.strategy)
        if not 2 <= self.count <= 100:
            raise SplitError("the number of folds is out of bounds", expected="2 to 100", got=self.count)
        # The bound of scikit-learn's seeds.
        if not 0 <= self.seed < 2**32:
            raise SplitError("the seed of the folds is out of bounds", expected="0 to 4294967295", got=self.seed)


def parse_choice(text: str | None, accepts: str = "") -> FoldChoice | None:
    """Return the folds that a text asks for; none for those that are published with each day.

    Args:
        text: ``STRATEGY:FOLDS`` or ``STRATEGY:FOLDS:SEED``; none or ``keyed_hash`` for the published ones.
        accepts: See ``FoldChoice``.

    Raises:
        SplitError: The text has another form, or there is no such strategy.
    """
    if text is None or text == "keyed_hash":
        return None
    strategy, *numbers = text.strip().split(":")
    if strategy not in STRATEGIES:
        raise SplitError("there is no such fold strategy", expected=STRATEGIES, got=strategy)
    if strategy == "keyed_hash":
        raise SplitError(
            "the number of folds by keyed hash is a setting of the root",
            remedy="Set fold_count in platform.yaml and run backfill; versions hold these folds without --folds.",
            got=text,
        )
    if not 1 <= len(numbers) <= 2 or not all(number.isascii() and number.isdecimal() for number in numbers):
        raise SplitError("the folds have another form", expected=_FORM, got=text)
    count, seed = (*map(int, numbers), 0)[:2]
    return FoldChoice(strategy, count, seed, accepts)


def compute_folds(choice: FoldChoice, users: Sequence[str], labels: npt.ArrayLike) -> Folds:
    """Put rows into folds; the order in which they are given changes nothing for a user.

    Args:
        choice: ``stratified_group`` or ``stratified``.
        users: User of each row.
        labels: 0 or 1 of each row.

    Returns:
        The fold of each row, 0 to ``count - 1``, in the given order.

    Raises:
        SplitError: Users would be torn apart and nobody accepted that, a class is too small, or the strategy needs no
            computation.
    """
    label = np.asarray(labels, dtype=np.int64)
    names, index = np.unique(np.asarray(users, dtype=object).astype(str), return_inverse=True)
    if choice.strategy != "stratified":
        counts = np.bincount(index, minlength=len(names)), np.bincount(index, label, len(names)).astype(np.int64)
        return fold_users(choice, *counts)[index]
    require_acceptance(choice, rows=len(label), users=len(names))
    _require_enough(choice, int(np.count_nonzero(label)), len(label), len(names))
    # One order of rows, whatever order they came in.
    order = np.lexsort((label, index))
    folds = np.empty(len(label), dtype=np.int64)
    folds[order] = _dealt(choice, index[order], label[order])
    return folds


def fold_users(choice: FoldChoice, rows: npt.NDArray[np.int64], positives: npt.NDArray[np.int64]) -> Folds:
    """Put whole users into folds whose label rates are as equal as users allow.

    Args:
        choice: ``stratified_group``.
        rows: Number of rows of each user, users in the order of their ids.
        positives: How many of them are positive.

    Returns:
        The fold of each user, in the given order.

    Raises:
        SplitError: A class or the number of users is too small, or the strategy is another one.
    """
    if choice.strategy != "stratified_group":
        raise SplitError("folds by keyed hash are published with each day", remedy="Read stratified_partitions.")
    _require_enough(choice, int(positives.sum()), int(rows.sum()), len(rows))
    # Scikit-learn counts the rows of each group and class, and looks at nothing else of them.
    users = np.repeat(np.arange(len(rows)), rows)
    first = np.cumsum(rows) - rows
    labels = (np.arange(len(users)) - np.repeat(first, rows) >= np.repeat(rows - positives, rows)).astype(np.int8)
    folds = np.full(len(rows), -1, dtype=np.int64)
    folds[users] = _dealt(choice, users, labels)
    return folds


def require_acceptance(choice: FoldChoice, *, rows: int, users: int) -> None:
    """Refuse folds that tear users apart, unless the choice says in words that they may.

    Raises:
        SplitError: A user has several rows, and the words are not there.
    """
    if choice.strategy == "stratified" and users < rows and choice.accepts != ACCEPTANCE:
        raise SplitError(
            f"{rows:,} rows belong to {users:,} users: folds of rows would let a model know its test users",
            remedy=f"Use stratified_group; or, knowing that scores will be too good, accept it in words: {ACCEPTANCE!r}.",
            got=choice.accepts or None,
        )


def _require_enough(choice: FoldChoice, positives: int, rows: int, users: int) -> None:
    smallest = min(positives, rows - positives)
    if smallest < choice.count or (choice.strategy == "stratified_group" and users < choice.count):
        raise SplitError(
            "there are fewer rows of a class, or fewer users, than folds",
            remedy="Choose fewer folds, or more days.",
            expected=f"at least {choice.count}",
            got=min(smallest, users),
        )


def _dealt(choice: FoldChoice, groups: Folds, labels: npt.NDArray[np.integer]) -> Folds:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    is_grouped = choice.strategy == "stratified_group"
    kind = StratifiedGroupKFold if is_grouped else StratifiedKFold
    splitter = kind(n_splits=choice.count, shuffle=True, random_state=choice.seed)
    folds = np.empty(len(labels), dtype=np.int64)
    parts = splitter.split(np.zeros((len(labels), 1)), labels, groups=groups if is_grouped else None)
    for number, (_, held_out) in enumerate(parts):
        folds[held_out] = number
    return folds
