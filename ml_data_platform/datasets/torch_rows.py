"""Rows of a version for PyTorch, where it is installed.

Belongs here: the ``IterableDataset``. Does not belong here: choosing rows (``loading``). PyTorch is no dependency: this
module is imported only where it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import IterableDataset, get_worker_info

from ml_data_platform.datasets.loading import LABEL, Dataset, as_floats
from ml_data_platform.errors import SplitError
from ml_data_platform.features.catalog import feature_columns


class TorchRows(IterableDataset):  # type: ignore[misc, unused-ignore]
    """Batches of (features, labels); the workers of a ``DataLoader`` share the rows, each row comes once.

    Features are of PyTorch's default type, missing values NaN; labels are integers. Whole batches are made here, so
    give the loader ``batch_size=None``.

    Args:
        dataset: What is loaded.
        rows: Rows of a batch.
        shuffle_seed: See ``Dataset.batches``.

    Raises:
        SplitError: Neither features nor a label are loaded, or there is no such batch.
    """

    def __init__(self, dataset: Dataset, rows: int, shuffle_seed: int | None) -> None:
        super().__init__()
        self.features = [name for name in dataset.columns if name in feature_columns("date_partitions")]
        if not self.features or LABEL not in dataset.columns:
            raise SplitError(
                "a network needs features and the label",
                remedy="Leave columns out, or name some features and label.",
                got=list(dataset.columns),
            )
        dataset.batches(rows, shuffle_seed=shuffle_seed)
        self.dataset, self.rows, self.shuffle_seed = dataset, rows, shuffle_seed
        self.type = torch.get_default_dtype()
        # In shared memory, so that workers which outlive a pass see the number of the next one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Say which pass over the rows comes next; with a seed, each has an order of its own."""
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the batches of this worker; of all rows where there are no workers."""
        worker = get_worker_info()
        place, count = (worker.id, worker.num_workers) if worker else (0, 1)
        batches = self.dataset.batches(
            self.rows, worker=place, workers=count, shuffle_seed=self.shuffle_seed, epoch=int(self._epoch)
        )
        for batch in batches:
            table = pa.Table.from_batches([batch])
            matrix = np.column_stack([as_floats(table[name]) for name in self.features])
            labels = table[LABEL].to_numpy().astype(np.int64)
            yield torch.from_numpy(matrix).to(self.type), torch.from_numpy(labels)
