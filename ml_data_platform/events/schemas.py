"""The tables: columns, types, key and total sort order of every asset, as data.

Belongs here: the Arrow schema of each table, its version, its key and its sort order, and the closed
sets and bounds that define a canonical event. Does not belong here: how rows get there.

All timestamps are ``timestamp[us, tz=UTC]``; a day is a UTC day.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

INSTANT = pa.timestamp("us", tz="UTC")
EVENT_TYPES = ("page_view", "add_to_cart", "purchase", "search", "other")
MAX_SESSION_DURATION_SECONDS = 86_400
MAX_PURCHASE_AMOUNT_USD = 50_000
SCHEMA_VERSION_KEY = "ml_data_platform.schema_version"
TABLE_KEY = "ml_data_platform.table"


@dataclass(frozen=True)
class TableSchema:
    """One table: its columns, what identifies a row, and the total order rows are stored in.

    Attributes:
        name: Asset name, file prefix and storage prefix.
        version: Version of the column set; written into each file's metadata.
        columns: Arrow schema without metadata.
        key: Columns that identify one row within a partition.
        sort: Columns of the total order; nulls last.
        files: Names of the files of one partition, relative to its folder.
    """

    name: str
    version: int
    columns: pa.Schema
    key: tuple[str, ...]
    sort: tuple[str, ...]
    files: tuple[str, ...] = ("data.parquet",)

    @property
    def order_by(self) -> str:
        """The sort order as the body of an SQL ``ORDER BY``."""
        return ", ".join(f'"{column}" ASC NULLS LAST' for column in self.sort)

    @property
    def metadata(self) -> dict[str, str]:
        """Key-value metadata that every file of the table carries."""
        return {TABLE_KEY: self.name, SCHEMA_VERSION_KEY: str(self.version)}


LANDED_ROWS = TableSchema(
    name="landed_rows",
    version=1,
    columns=pa.schema(
        [
            ("source_row", pa.int64()),
            ("event_time", INSTANT),
            ("schema_version", pa.int16()),
            ("landed", pa.string()),
        ]
    ),
    key=("source_row",),
    sort=("event_time", "source_row"),
)

UNDATED_ROWS = TableSchema(
    name="undated_rows",
    version=1,
    columns=pa.schema(
        [
            ("source", pa.string()),
            ("source_file", pa.string()),
            ("source_row", pa.int64()),
            ("reason", pa.string()),
            ("event_time_landed", pa.string()),
            ("landed", pa.string()),
        ]
    ),
    key=("source", "source_file", "source_row"),
    sort=("source", "source_file", "source_row"),
)

RAW_EVENTS = TableSchema(
    name="raw_events",
    version=1,
    columns=pa.schema(
        [
            ("source", pa.string()),
            ("source_file", pa.string()),
            ("source_row", pa.int64()),
            ("event_time", INSTANT),
            ("schema_version", pa.int16()),
            ("landed", pa.string()),
        ]
    ),
    key=("source", "source_file", "source_row"),
    sort=("source", "source_file", "source_row"),
)

TOO_LATE_ROWS = TableSchema(
    name="too_late_rows",
    version=1,
    columns=RAW_EVENTS.columns,
    key=RAW_EVENTS.key,
    sort=RAW_EVENTS.sort,
)

VALIDATED_EVENTS = TableSchema(
    name="validated_events",
    version=1,
    columns=pa.schema(
        [
            ("event_id", pa.string()),
            ("user_id", pa.string()),
            ("session_uuid", pa.string()),
            ("event_type", pa.string()),
            ("event_timestamp", INSTANT),
            ("sequence", pa.int64()),
            ("session_duration_seconds", pa.float64()),
            ("purchase_amount_usd", pa.float64()),
            ("client_version", pa.string()),
            ("label", pa.int8()),
            ("attributes", pa.string()),
            ("source", pa.string()),
            ("schema_version", pa.int16()),
            ("source_file", pa.string()),
            ("source_row", pa.int64()),
        ]
    ),
    key=("event_id",),
    sort=("event_timestamp", "sequence", "event_id"),
)

QUARANTINED_EVENTS = TableSchema(
    name="quarantined_events",
    version=1,
    columns=pa.schema(
        [
            ("source", pa.string()),
            ("source_file", pa.string()),
            ("source_row", pa.int64()),
            ("event_time", INSTANT),
            ("schema_version", pa.int16()),
            ("event_id", pa.string()),
            ("rules", pa.list_(pa.string())),
            ("kept_source_file", pa.string()),
            ("kept_source_row", pa.int64()),
            ("landed", pa.string()),
        ]
    ),
    key=("source", "source_file", "source_row"),
    sort=("source", "source_file", "source_row"),
    files=("disposition=rejected/data.parquet", "disposition=duplicate/data.parquet"),
)
