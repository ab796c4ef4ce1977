"""Rows lie in the order of time, and within an instant in that of their ids: no other order can tell the label.

Belongs here: this one check, which needs rows as they lie in files. Does not belong here: checks of relations, which have
no order (``firewall``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml_data_platform.datasets.kept_rows import READ_ROWS, StoredFile
from ml_data_platform.training.leakage import EXAMPLES, Finding, finding

CHECK = "rows_are_in_the_order_of_time"
_COLUMNS = ["event_timestamp", "event_id"]


def inspect_order(files: Iterable[StoredFile]) -> Finding:
    """Check the rows of each file; reads two columns, a few thousand rows at a time."""
    offences = 0
    examples: list[str] = []
    for file in files:
        for event in _misplaced(file):
            offences += 1
            if len(examples) < EXAMPLES:
                examples.append(event)
    return finding(CHECK, offences, examples)


def _misplaced(file: StoredFile) -> Iterator[str]:
    """Yield the ids of rows that should lie before the row that they come after."""
    last: pa.RecordBatch | None = None
    with pq.ParquetFile(file.path) as parquet:
        for batch in parquet.iter_batches(READ_ROWS, columns=_COLUMNS):
            rows = batch.select(_COLUMNS)
            joined = rows if last is None else pa.concat_batches([last, rows])
            instants = joined.column(0).cast(pa.int64()).to_numpy()
            ids = joined.column(1)
            steps = np.diff(instants)
            # Few rows share an instant, so few ids are looked at.
            wrong = [
                int(place)
                for place in np.flatnonzero(steps <= 0)
                if steps[place] < 0 or _utf8(ids[place + 1]) < _utf8(ids[place])
            ]
            yield from (ids[place + 1].as_py() for place in wrong)
            last = rows.slice(rows.num_rows - 1)


def _utf8(text: pa.Scalar) -> bytes:
    """Return what is compared: engines order text by its bytes."""
    return str(text.as_py()).encode()
