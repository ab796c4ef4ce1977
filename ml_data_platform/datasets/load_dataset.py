"""``load_dataset``: rows of a version in a notebook or a training script.

Belongs here: the one call that users make. Does not belong here: anything that it is made of.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from pathlib import Path

from ml_data_platform.datasets.dvc_files import Remote
from ml_data_platform.datasets.loading import Dataset, Selected, select_rows
from ml_data_platform.datasets.pinned_data import PinnedData, pin_checkout, pin_version
from ml_data_platform.datasets.repository import VersionsRepository
from ml_data_platform.errors import SplitError
from ml_data_platform.settings import Settings, load_settings
from ml_data_platform.storage.opening import open_objects
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform.training.folds import Strategy
from ml_data_platform.training.temporal import Part, SharedUsers, split_at

_BOTH = ("date_partitions", "stratified_partitions")


def load_dataset(
    version: str | Path = "latest",
    *,
    split: Part = "all",
    cutoff: dt.date | dt.datetime | str | None = None,
    columns: str | Sequence[str] = (),
    negatives_per_positive: float | None = None,
    folds: Sequence[int] | None = None,
    fold_strategy: Strategy | None = None,
    shared_users: SharedUsers = "keep",
    root: Path | str | None = None,
) -> Dataset:
    """Load rows of a version, and of nothing else.

    Every file is compared by its hash with the version, and the leakage firewall looks at the rows, before any comes out.

    Args:
        version: A tag, or a part of one; ``latest``; or the folder of a checkout (a ``Path``, or a path with a slash).
        split: ``train``, ``test`` or ``all``; the first two need a cutoff.
        cutoff: First instant of the test part: a UTC day, which stands for its beginning, or an instant with its offset, e.g.
            ``2026-06-10T12:00:00Z``.
        columns: Columns to load; by default the features and the label.
        negatives_per_positive: Keep so many negatives per positive; never for the test part.
        folds: Only users of these folds: of those stored with the version (``version cut --folds``), or else of those
            published with each day.
        fold_strategy: Which of the two: ``keyed_hash`` for the published ones, or the strategy of the stored ones.
        shared_users: What becomes of users with rows on both sides of the cutoff: ``keep`` leaves no row out; ``divide``
            and ``purge`` test unknown users, and leave out the rows that ``split_rows`` of what is returned counts. See
            ``TemporalSplit``.
        root: The root; by default as the command line finds it.

    Returns:
        The rows: ``.to_pandas()``, ``.to_arrow()``, ``.to_numpy()``, ``.batches()``, ``.to_torch()``.

    Raises:
        UnpinnedDataError: No version pins these data, or they differ from it.
        UnknownVersionError: There is no such version.
        LeakageError: The rows must not be learnt from.
        SplitError: The split leaves no room or has no usable cutoff, or there is no such part, fold, strategy or way with users.
    """
    settings = load_settings(os.environ, Path.cwd(), root=root)
    data = find_version(settings, version)
    if split != "all" and cutoff is None:
        raise SplitError(
            "a part was asked for without a cutoff",
            remedy="Give cutoff='YYYY-MM-DD', the first day of the test part, or an instant with its offset.",
        )
    selected = Selected(
        split=None if cutoff is None else split_at(cutoff, shared_users=shared_users),
        part=split,
        columns=(columns,) if isinstance(columns, str) else tuple(columns),
        negatives_per_positive=negatives_per_positive,
        folds=None if folds is None else tuple(folds),
        fold_strategy=fold_strategy,
    )
    return select_rows(data, selected, memory_limit=settings.memory_limit, threads=settings.threads)


def find_version(settings: Settings, version: str | Path) -> PinnedData:
    """Return a version of a root by its tag, or the one that a folder is a checkout of.

    Raises:
        UnpinnedDataError: A folder is no checkout, or differs from its version.
        UnknownVersionError: There is no such version.
    """
    folder = Path(version).expanduser()
    if isinstance(version, Path) or folder.is_dir() or str(version).startswith((".", "/", "~")):
        return pin_checkout(folder)
    repository = VersionsRepository(
        settings.versions_folder, Remote(settings.versions_remote_url, settings.versions_remote_facts)
    )
    store = TableStore(open_objects(settings), lambda: dt.datetime.now(dt.UTC))
    return pin_version(repository, store, str(version), _BOTH)
