"""The rows of one kept file, sent to their event days.

Belongs here: running the routing query over a file's chunks, writing its fragments, and counting every
row once. Does not belong here: how an event time is read (``events.parsing``), publishing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Self

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml_data_platform.errors import SettingsError, StageFailedError
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.lateness import Admission
from ml_data_platform.events.parsing import routing_query
from ml_data_platform.events.path_columns import PathValues
from ml_data_platform.events.schemas import LANDED_ROWS, UNDATED_ROWS, TableSchema
from ml_data_platform.landing.arrivals import Timing, measure
from ml_data_platform.landing.limits import LIMITS, Limits
from ml_data_platform.landing.masked_files import read_masked
from ml_data_platform.landing.readers import read_chunks
from ml_data_platform.storage import duck
from ml_data_platform.storage.duck import connect
from ml_data_platform.storage.parquet import StagedFile, copy_options, verify_file
from ml_data_platform.storage.system_faults import says_full

_LAST_MICROSECOND = (datetime.max.replace(tzinfo=UTC) - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)


@dataclass
class Account:
    """Where the rows of one file went; every row read is counted in exactly one place.

    Attributes:
        rows: Rows read.
        rows_per_day: Dated rows by UTC day, ``YYYY-MM-DD``.
        undated: Rows of no usable day, by reason.
        first: Earliest event time.
        last: Latest event time.
        future_from: Earliest event time of rows that lie in the future.
    """

    rows: int = 0
    rows_per_day: Counter[str] = field(default_factory=Counter)
    undated: Counter[str] = field(default_factory=Counter)
    first: datetime | None = None
    last: datetime | None = None
    future_from: datetime | None = None

    def add_dated(self, event_times: pa.ChunkedArray) -> None:
        """Count dated rows."""
        for entry in pc.value_counts(event_times.cast(pa.date32())).to_pylist():
            self.rows_per_day[entry["values"].isoformat()] += entry["counts"]
        span = pc.min_max(event_times).as_py()
        self.first = min(self.first or span["min"], span["min"])
        self.last = max(self.last or span["max"], span["max"])

    def add_undated(self, reasons: pa.ChunkedArray) -> None:
        """Count undated rows."""
        for entry in pc.value_counts(reasons).to_pylist():
            self.undated[entry["values"]] += entry["counts"]

    def add_future(self, microseconds: pa.ChunkedArray) -> None:
        """Take down from when on rows lie in the future; they may lie beyond what Python can say."""
        earliest = pc.min(microseconds).as_py()
        if earliest is not None:
            moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=min(earliest, _LAST_MICROSECOND))
            self.future_from = min(self.future_from or moment, moment)

    def check(self, written: Iterable[StagedFile | None], *, source: str, sha256: str) -> None:
        """Check that nothing was lost or doubled.

        Raises:
            StageFailedError: Rows read, rows counted and rows written differ.
        """
        counted = self.rows_per_day.total() + self.undated.total()
        stored = sum(file.rows for file in written if file is not None)
        if not self.rows == counted == stored:
            raise StageFailedError(
                "A landed file's rows are not accounted for.",
                source=source,
                file=sha256,
                expected=self.rows,
                got=f"{counted} counted, {stored} written",
                remedy="Nothing was recorded. Report this with the file: it is a fault of the platform.",
            )


@dataclass(frozen=True)
class RoutedFile:
    """The verified fragments of one file, still in scratch; None where there are no such rows.

    Attributes:
        account: Where its rows went.
        fragment: Its dated rows.
        undated_fragment: Its undated rows.
        timing: How late the dated rows are.
    """

    account: Account
    fragment: StagedFile | None
    undated_fragment: StagedFile | None
    timing: Timing = field(default_factory=Timing)

    def without_days(self) -> RoutedFile:
        """Return what is kept of a file of which nothing is published: its counts, and its rows of no usable day."""
        return RoutedFile(replace(self.account, rows_per_day=Counter()), None, self.undated_fragment)


def route_file(
    kept: Path,
    contract: SourceContract,
    *,
    sha256: str,
    start_date: date,
    latest: datetime,
    folder: Path,
    memory_limit: str,
    threads: int,
    engine: duckdb.DuckDBPyConnection | None = None,
    admission: Admission | None = None,
    is_masked: bool = False,
    limits: Limits = LIMITS,
    path_values: PathValues | None = None,
) -> RoutedFile:
    """Send the rows of a kept file to their event days.

    The fragments' bytes depend on the file's bytes, the contract, ``start_date`` and ``latest`` only.

    Args:
        kept: The kept bytes.
        contract: The contract of the file's source.
        sha256: Hash of the bytes, hex; the rows' ``source_file``.
        start_date: First UTC day that has partitions.
        latest: Latest instant that an event of this file may have.
        folder: Scratch folder for the fragments and what the engine spills.
        memory_limit: Bound of the engine's memory, e.g. ``1GB``.
        threads: Threads of the engine.
        engine: An engine to work with, of these bounds; by default one is opened.
        admission: What was decided at the file's landing; by default its rows are not measured against any.
        is_masked: The kept bytes are masked rows, not what was landed.
        limits: What the file may cost.
        path_values: Values of columns that stand only in the path; masked rows have them already.

    Returns:
        One fragment of schema LANDED_ROWS and one of UNDATED_ROWS, each in its declared order.

    Raises:
        LandingError: The file as a whole is not what the contract says.
        SettingsError: Its rows are too large for ``memory_limit``.
        StageFailedError: The rows do not add up.
    """
    routing = routing_query(contract, "landed_chunk", start_date=start_date, latest=latest)
    account, timing = Account(), Timing()
    with ExitStack() as stack:
        if engine is None:
            engine = stack.enter_context(connect(folder, memory_limit=memory_limit, threads=threads))
        try:
            with _Spill(folder, LANDED_ROWS) as dated, _Spill(folder, UNDATED_ROWS) as undated:
                rows = (
                    read_masked(kept, contract)
                    if is_masked
                    else read_chunks(
                        kept, contract, connection=engine, scratch=folder, limits=limits, path_values=path_values
                    )
                )
                for chunk in rows:
                    account.rows += chunk.num_rows
                    routed = _query(engine, routing, chunk)
                    _write(routed, account, dated, undated, keys=(contract.source, sha256))
            fragments = dated.sort(engine), undated.sort(engine)
            if admission is not None and fragments[0] is not None:
                timing = measure(fragments[0].path, contract, admission, engine)
        except duckdb.OutOfMemoryException as error:
            if says_full(str(error)):
                raise
            raise SettingsError(
                "The rows of a landed file are too large for the engine's memory: they need more than the "
                f"{memory_limit} of the setting `memory_limit`.",
                remedy="Raise `memory_limit` and land the file again; nothing was recorded.",
                source=contract.source,
                file=sha256,
                memory_limit=memory_limit,
            ) from error
    account.check(fragments, source=contract.source, sha256=sha256)
    return RoutedFile(account, *fragments, timing)


class _Spill:
    """Rows on their way to a fragment: written chunk by chunk, so that none but the present one is in memory."""

    def __init__(self, folder: Path, table: TableSchema) -> None:
        self._table = table
        self._unsorted = folder / f"{table.name}.unsorted.parquet"
        self._sorted = folder / f"{table.name}.parquet"
        self._rows = 0

    def __enter__(self) -> Self:
        self._writer = pq.ParquetWriter(self._unsorted, self._table.columns)
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, rows: pa.Table) -> None:
        self._writer.write_table(rows.cast(self._table.columns))
        self._rows += rows.num_rows

    def sort(self, engine: duckdb.DuckDBPyConnection) -> StagedFile | None:
        """Write the rows in their declared order, so that reading one day skips the row groups of others."""
        if not self._rows:
            return None
        rows = f"SELECT * FROM {duck.parquet(engine, [self._unsorted])} ORDER BY {self._table.order_by}"
        duck.write_parquet(engine, rows, self._sorted, copy_options(self._table))
        self._unsorted.unlink()
        return verify_file(self._sorted, self._table, self._sorted.name)


def _query(engine: duckdb.DuckDBPyConnection, routing: str, chunk: pa.Table) -> pa.Table:
    engine.register("landed_chunk", chunk)
    try:
        return engine.sql(routing).to_arrow_table()
    finally:
        engine.unregister("landed_chunk")


def _write(routed: pa.Table, account: Account, dated: _Spill, undated: _Spill, *, keys: tuple[str, str]) -> None:
    has_day = pc.is_null(routed["undated_reason"])
    good = routed.filter(has_day)
    if good.num_rows:
        account.add_dated(good["event_time"])
        dated.write(good.select(LANDED_ROWS.columns.names))
    if good.num_rows < routed.num_rows:
        bad = routed.filter(pc.invert(has_day))
        account.add_undated(bad["undated_reason"])
        account.add_future(bad["future_us"])
        source, source_file = (pa.repeat(key, bad.num_rows) for key in keys)
        columns = [
            source,
            source_file,
            bad["source_row"],
            bad["undated_reason"],
            bad["event_time_landed"],
            bad["landed"],
        ]
        undated.write(pa.table(columns, names=UNDATED_ROWS.columns.names))
