"""Rows of a version for PyTorch, where it is installed.

Belongs here: the ``IterableDataset``. Does not belong here: choosing rows (``loading``). PyTorch is no dependency.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ml_data_platform.datasets.loading import Dataset


def torch_rows(dataset: Dataset, rows: int) -> Any:
    """Return a PyTorch ``IterableDataset`` of (features, labels) batches of at most ``rows`` rows.

    Each worker of a ``DataLoader`` reads its own share: together they read every row once. Use ``batch_size=None``.

    Raises:
        ImportError: PyTorch is not installed.
    """
    import torch
    from torch.utils.data import IterableDataset, get_worker_info

    from ml_data_platform.datasets.loading import LABEL, as_floats
    from ml_data_platform.features.catalog import feature_columns

    names = [name for name in dataset.columns if name in feature_columns("date_partitions")]

    class Rows(IterableDataset):  # type: ignore[misc, unused-ignore]
        """Batches of one worker."""

        def __iter__(self) -> Iterator[Any]:
            worker = get_worker_info()
            place, count = (worker.id, worker.num_workers) if worker else (0, 1)
            import pyarrow as pa

            for batch in dataset.batches(rows, worker=place, workers=count):
                table = pa.Table.from_batches([batch])
                matrix = np.column_stack([as_floats(table[name]) for name in names])
                labels = table[LABEL].to_numpy().astype(np.int64)
                yield torch.from_numpy(matrix), torch.from_numpy(labels)

    return Rows()
