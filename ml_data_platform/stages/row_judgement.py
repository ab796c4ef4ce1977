"""Judging mapped rows by the row rules, and noting which rows are rejected and why.

Belongs here: running the validator over a file of mapped rows. Does not belong here: what a rule says
(``validation.suites``), and what becomes of rejected rows (``validated_events``, ``source_check``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml_data_platform.validation.outcomes import CheckOutcome
from ml_data_platform.validation.rules import Rule
from ml_data_platform.validation.runner import RowValidator

CHUNK_ROWS = 131_072
NOT_JUDGED = frozenset(
    {
        *("landed", "attributes", "source_file", "source_row", "source", "client_version", "event_time"),
        *("placeholder_id", "has_own_event_id", "broken_rules"),
    }
)
REJECTIONS = pa.schema([("position", pa.int64()), ("rules", pa.list_(pa.string()))])


def judge_rows(mapped: Path, rules: Sequence[Rule], target: Path) -> tuple[CheckOutcome, ...]:
    """Run row rules over all rows of a file.

    Args:
        mapped: Parquet with the columns of ``events.parsing.mapping_query``.
        rules: Row rules of ``validated_events``.
        target: File to write: one row per rejected row with ``position`` (of the row in ``mapped``, from 0) and
            ``rules`` (names of the rules that it breaks, in their order); key and order ``position``.

    Returns:
        One outcome per rule, in their order.
    """
    validator = RowValidator(rules)
    source = pq.ParquetFile(mapped, memory_map=True)
    columns = [name for name in source.schema_arrow.names if name not in NOT_JUDGED]
    offset = 0
    with pq.ParquetWriter(target, REJECTIONS, compression="lz4") as writer:
        for batch in source.iter_batches(batch_size=CHUNK_ROWS, columns=columns):
            positions = validator.validate(batch.to_pandas())
            writer.write_table(_rejections(positions, [rule.name for rule in rules], offset))
            offset += batch.num_rows
    source.close()
    return tuple(validator.outcomes())


def _rejections(positions: Mapping[str, np.ndarray], order: Sequence[str], offset: int) -> pa.Table:
    reasons: dict[int, list[str]] = {}
    for name in order:
        for position in positions.get(name, np.empty(0, np.int64)).tolist():
            reasons.setdefault(offset + position, []).append(name)
    rows = sorted(reasons)
    return pa.table({"position": rows, "rules": [reasons[row] for row in rows]}, schema=REJECTIONS)
