"""The shape in which every reader hands on landed rows.

Belongs here: the schema and the bounds of a chunk, and the names of what can be wrong with a row's form.
Does not belong here: reading.
"""

from __future__ import annotations

import pyarrow as pa

from ml_data_platform.events.usable_rows import CUT_OFF

MAX_CHUNK_ROWS = 131_072
MAX_CHUNK_CHARACTERS = 8 * 1024 * 1024

MALFORMED_ROW = "malformed_row"
WRONG_FIELD_COUNT = "wrong_field_count"

__all__ = ["CHUNK", "CUT_OFF", "MALFORMED_ROW", "MAX_CHUNK_CHARACTERS", "MAX_CHUNK_ROWS", "WRONG_FIELD_COUNT"]

CHUNK = pa.schema([("source_row", pa.int64()), ("landed", pa.string()), ("defect", pa.string())])
