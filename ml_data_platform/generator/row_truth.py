"""The truth about each row, as JSON lines.

Belongs here: the lines of ``_planted/rows.jsonl``. Does not belong here: the counts (``truth``) or the
rows' own lines (``lines``).
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ml_data_platform.generator.kinds import (
    CODES,
    FIRST_UNDATED,
    KINDS,
    KINDS_WITHOUT_EVENT_ID,
    expected_reason,
    expected_rules,
)
from ml_data_platform.generator.lines import event_ids
from ml_data_platform.generator.rhythm import DAY_MS, HOUR_MS
from ml_data_platform.generator.sessions import Rows
from ml_data_platform.generator.text_columns import as_strings, day_texts


def render_truth(rows: Rows, seed: int, *, file_name: str, first_row: int) -> Any:
    """Return one JSON line of truth for each row of a file, line feed included.

    Keys: ``file`` (relative to the output folder), ``row`` (1-based line number), ``day`` (UTC day of the
    event, null without one), ``event_time_ms`` (since 1970 UTC, null without one), ``event_id`` (null
    where the line carries none), ``is_late``, ``kind``, ``rules`` (every row rule that it breaks),
    ``reason`` (why it has no day) and ``version`` of its row format.
    """
    is_dated = pa.array(rows["kind"] < FIRST_UNDATED)
    null = pa.scalar("null")
    days, day_place = np.unique(rows["time_ms"] // DAY_MS, return_inverse=True)
    quoted_days = pa.array([f'"{text}"' for text in day_texts(days)]).take(pa.array(day_place))
    ids = pc.binary_join_element_wise('"', as_strings(event_ids(rows, seed)), '"', "")
    has_no_id = np.isin(rows["kind"], [CODES[kind] for kind in KINDS_WITHOUT_EVENT_ID])
    is_late = is_late_row(rows)
    return pc.binary_join_element_wise(
        pa.scalar(f'{{"file":"{file_name}","row":'),
        pa.array(first_row + np.arange(len(rows))).cast(pa.string()),
        ',"day":',
        pc.if_else(is_dated, quoted_days, null),
        ',"event_time_ms":',
        pc.if_else(is_dated, pa.array(rows["time_ms"]).cast(pa.string()), null),
        ',"event_id":',
        pc.if_else(pa.array(has_no_id), null, ids),
        pa.array([',"is_late":false', ',"is_late":true']).take(pa.array(is_late.astype(np.int8))),
        _verdicts().take(pa.array(rows["kind"].astype(np.int32) * 2 + rows["version"] - 1)),
        "}\n",
        "",
    )


def is_late_row(rows: Rows) -> npt.NDArray[np.bool_]:
    """Return whether each row arrives in a later hour than the hour of its event."""
    late: npt.NDArray[np.bool_] = rows["arrival_ms"] // HOUR_MS > rows["time_ms"] // HOUR_MS
    return late


@cache
def _verdicts() -> Any:
    return pa.array([_verdict(kind, version) for kind in KINDS for version in (1, 2)])


def _verdict(kind: str, version: int) -> str:
    verdict = {
        "kind": kind,
        "rules": expected_rules(kind, version),
        "reason": expected_reason(kind),
        "version": version,
    }
    return "," + json.dumps(verdict, separators=(",", ":")).strip("{}")
