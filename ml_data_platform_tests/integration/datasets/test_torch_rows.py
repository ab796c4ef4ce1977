"""PyTorch reads the rows of a version through real loaders; `make torch` installs it apart and runs these tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from ml_data_platform.datasets.load_dataset import load_dataset
from ml_data_platform.datasets.loading import Dataset
from ml_data_platform.errors import SplitError
from ml_data_platform.features.catalog import feature_columns
from ml_data_platform_tests.faults.datasets.killed_cuts import cut_now
from ml_data_platform_tests.training_days import feature_rows, nth, publish_days, store_at

torch = pytest.importorskip("torch", reason="PyTorch is not installed; make torch runs these tests")
# More workers than processors is what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
DAYS = 5


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Five days of 400 rows and their version."""
    root = tmp_path_factory.mktemp("torch") / "root"
    publish_days(store_at(root), DAYS, rows=400)
    cut_now(root)
    return load_dataset(root=root)


def published() -> Counter[tuple[float, ...]]:
    """Return the rows as they were made, as 32-bit numbers, a missing value as -1."""
    rows = [row for number in range(1, DAYS + 1) for row in feature_rows(nth(number), rows=400).to_pylist()]
    values = [[-1 if row[name] is None else row[name] for name in (*feature_columns(), "label")] for row in rows]
    return Counter(tuple(row) for row in np.array(values, dtype=np.float32).tolist())


def read(batches: Iterable[Any]) -> list[tuple[float, ...]]:
    """Return the rows of batches in the order in which they come."""
    rows = []
    for features, labels in batches:
        assert features.dtype == torch.get_default_dtype()
        assert labels.dtype == torch.int64
        assert len(features) == len(labels) <= 64
        both = torch.column_stack([torch.nan_to_num(features, nan=-1.0), labels.to(features.dtype)])
        rows += [tuple(row) for row in both.tolist()]
    return rows


@pytest.mark.parametrize("workers", [0, 1, 4, 8])
@pytest.mark.parametrize("seed", [None, 3])
def test_workers_of_a_loader_read_each_row_once(loaded: Dataset, workers: int, seed: int | None) -> None:
    """With 0, 1, 4 and 8 worker processes, in order and shuffled: exactly the published rows, each once."""
    loader = torch.utils.data.DataLoader(loaded.to_torch(64, shuffle_seed=seed), batch_size=None, num_workers=workers)
    assert Counter(read(loader)) == published()


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_each_epoch_has_its_order(loaded: Dataset, start: str) -> None:
    """Workers that outlive a pass are told the next epoch; whoever reads an epoch again, reads it in the same order."""
    rows = loaded.to_torch(64, shuffle_seed=7)
    loader = torch.utils.data.DataLoader(
        rows, batch_size=None, num_workers=2, persistent_workers=True, multiprocessing_context=start
    )
    orders = []
    for epoch in (0, 1, 0):
        rows.set_epoch(epoch)
        orders.append(read(loader))
    assert orders[0] == orders[2] != orders[1]
    assert Counter(orders[0]) == Counter(orders[1]) == published()


def test_a_network_learns_from_the_batches(loaded: Dataset) -> None:
    """The planted signal, carts, is found by a logistic regression: the loss falls, and more carts mean more conversions."""
    torch.manual_seed(0)
    model, losses = torch.nn.Linear(len(feature_columns()), 1), []
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    rows = loaded.to_torch(128, shuffle_seed=0)
    scale = torch.tensor([24, 7, 1, 10, 300, 20, 3, 2, 1, 1050], dtype=torch.float32)
    for epoch in range(8):
        rows.set_epoch(epoch)
        total = 0.0
        for features, labels in rows:
            predicted = model(torch.nan_to_num(features) / scale).squeeze(1)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(predicted, labels.float())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += float(loss.detach()) * len(labels)
        losses.append(total / loaded.rows)
    carts = feature_columns().index("session_cart_count")
    assert losses[-1] < 0.9 * losses[0]
    assert float(model.weight[0, carts].detach()) > 1


def test_what_no_network_can_use_is_refused(loaded: Dataset) -> None:
    """Keys alone are no features, and a batch has rows."""
    with pytest.raises(SplitError, match="no such worker or batch"):
        loaded.to_torch(0)
    keys = Dataset(loaded.data, type(loaded.selected)(columns=("event_id", "label")), loaded.sampling, (), loaded.kept)
    with pytest.raises(SplitError, match="needs features and the label"):
        keys.to_torch()
