"""Fold strategies: how users become folds, and which strategies may be used at all.

Belongs here: computing folds over the rows of a pinned version. Does not belong here: the daily keyed hash
(``splits``), which needs no data; it is the default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ml_data_platform.errors import SplitError

Strategy = Literal["keyed_hash", "stratified_group", "stratified"]
STRATEGIES: tuple[Strategy, ...] = ("keyed_hash", "stratified_group", "stratified")
ACCEPTANCE = "rows of one user may be in several folds"
"""What a configuration must say, word for word, before rows are put into folds without regard to their users."""

Folds = npt.NDArray[np.int64]


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
    if choice.strategy == "keyed_hash":
        raise SplitError("folds by keyed hash are published with each day", remedy="Read stratified_partitions.")
    group = np.asarray(users, dtype=object)
    label = np.asarray(labels, dtype=np.int8)
    names, index = np.unique(group.astype(str), return_inverse=True)
    if choice.strategy == "stratified" and len(names) < len(group) and choice.accepts != ACCEPTANCE:
        raise SplitError(
            f"{len(group):,} rows belong to {len(names):,} users: folds of rows would let a model know its test users",
            remedy=f"Use stratified_group; or, knowing that scores will be too good, set accepts: {ACCEPTANCE!r}.",
            got=choice.accepts or None,
        )
    smallest = int(min(np.count_nonzero(label == 0), np.count_nonzero(label == 1)))
    if smallest < choice.count or (choice.strategy == "stratified_group" and len(names) < choice.count):
        raise SplitError(
            "there are fewer rows of a class, or fewer users, than folds",
            remedy="Choose fewer folds, or more days.",
            expected=f"at least {choice.count}",
            got=min(smallest, len(names)),
        )
    # One order of rows, whatever order they came in.
    order = np.lexsort((label, index))
    folds = np.empty(len(group), dtype=np.int64)
    folds[order] = _dealt(choice, index[order], label[order])
    return folds


def _dealt(choice: FoldChoice, groups: Folds, labels: npt.NDArray[np.int8]) -> Folds:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    is_grouped = choice.strategy == "stratified_group"
    kind = StratifiedGroupKFold if is_grouped else StratifiedKFold
    splitter = kind(n_splits=choice.count, shuffle=True, random_state=choice.seed)
    folds = np.empty(len(labels), dtype=np.int64)
    parts = splitter.split(np.zeros((len(labels), 1)), labels, groups=groups if is_grouped else None)
    for number, (_, held_out) in enumerate(parts):
        folds[held_out] = number
    return folds
