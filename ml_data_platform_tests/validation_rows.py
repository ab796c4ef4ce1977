"""Rows that break no rule, to be spoilt one column at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

UTC_INSTANT = pa.timestamp("us", tz="UTC")
GOOD_USER = "usr_0123456789abcdef"
GOOD_SESSION = "886313e1-3b8a-5372-9b90-0c9aee199e5d"

EVENT_COLUMNS: dict[str, tuple[pa.DataType, Any]] = {
    "event_id": (pa.string(), "demo_shop:e1"),
    "user_id": (pa.string(), GOOD_USER),
    "session_uuid": (pa.string(), GOOD_SESSION),
    "event_type": (pa.string(), "page_view"),
    "event_timestamp": (UTC_INSTANT, 1_700_000_000_000_000),
    "sequence": (pa.int64(), 1),
    "session_duration_seconds": (pa.float64(), 60.0),
    "purchase_amount_usd": (pa.float64(), None),
    "label": (pa.int8(), 0),
    "source_file": (pa.string(), "ab" * 32),
    "source_row": (pa.int64(), 7),
    "unreadable_session_duration_seconds": (pa.string(), None),
    "unreadable_purchase_amount_usd": (pa.string(), None),
    "unreadable_sequence": (pa.string(), None),
    "unreadable_label": (pa.string(), None),
    "unknown_event_type": (pa.string(), None),
    "nested_fields": (pa.string(), None),
    "label_is_missing": (pa.bool_(), False),
}
FEATURE_COLUMNS: dict[str, tuple[pa.DataType, Any]] = {
    "event_id": (pa.string(), "demo_shop:e1"),
    "user_id": (pa.string(), GOOD_USER),
    "session_uuid": (pa.string(), GOOD_SESSION),
    "event_timestamp": (UTC_INSTANT, 1_700_000_000_000_000),
    "hour_of_day": (pa.int8(), 12),
    "day_of_week": (pa.int8(), 3),
    "session_event_count": (pa.int64(), 4),
    "session_elapsed_seconds": (pa.float64(), 10.5),
    "seconds_since_previous_event": (pa.float64(), None),
    "session_cart_count": (pa.int64(), 1),
    "session_search_count": (pa.int64(), 0),
    "session_purchase_count_before": (pa.int64(), 0),
    "session_spend_cents_before": (pa.int64(), 0),
}


def arrow_rows(
    columns: Mapping[str, tuple[pa.DataType, Any]], rows: int, spoilt: Mapping[str, Sequence[Any]] | None = None
) -> pa.Table:
    """Return good rows, with whole columns replaced by the values given."""
    values = {name: [good] * rows for name, (_, good) in columns.items()} | dict(spoilt or {})
    return pa.table({name: pa.array(values[name], type=columns[name][0]) for name in columns})


def event_rows(rows: int, **spoilt: Sequence[Any]) -> pd.DataFrame:
    """Return mapped events as the engine hands them to validation."""
    return arrow_rows(EVENT_COLUMNS, rows, spoilt).to_pandas()
