"""Rows that came too late for their days: kept apart, and shown.

Belongs here: the plain Parquet file in which a landed file's too-late rows can be read. Does not belong here: which
rows those are (``events.lateness``), or admitting them later (``stages.decisions``).
"""

from __future__ import annotations

from ml_data_platform.events.schemas import TOO_LATE_ROWS
from ml_data_platform.events.sql_text import sql_list, sql_literal
from ml_data_platform.storage import duck
from ml_data_platform.storage.decisions import UNDECIDED, Standing
from ml_data_platform.storage.layout import LANDED_FILES, Layout
from ml_data_platform.storage.ledger import LedgerRecord
from ml_data_platform.storage.parquet import copy_options, verify_file
from ml_data_platform.storage.table_store import TableStore

_FILE_NAME = "too_late_rows.parquet"


def too_late_rows(record: LedgerRecord, standing: Standing) -> int:
    """Return how many rows of a file are too late now, and so are shown apart."""
    return sum(record.too_late[day] for day in _days(record, standing))


def _days(record: LedgerRecord, standing: Standing) -> list[str]:
    if standing.is_retracted or record.fragment is None:
        return []
    return [day for day in sorted(record.too_late) if day not in standing.admitted]


def show_too_late(
    record: LedgerRecord, store: TableStore, *, standing: Standing = UNDECIDED, memory_limit: str, threads: int
) -> None:
    """Show the rows of a file that are too late now, or remove what is shown where none are; repeatable.

    Args:
        record: As it stands in the ledger.
        store: Where everything is kept.
        standing: What was decided about the content since; admitted rows are shown no longer.
        memory_limit: Bound of the engine's memory, e.g. ``1GB``.
        threads: Threads of the engine.
    """
    objects, view = store.objects, Layout.too_late_view_key(record.source, record.sha256)
    days = _days(record, standing)
    if not days or record.fragment is None:
        objects.withdraw(view)
        return
    fragment = objects.local_path(Layout.object_key(LANDED_FILES, record.fragment))
    with store.scratch() as folder:
        path = folder / _FILE_NAME
        with duck.connect(folder, folders=[objects.local_folder], memory_limit=memory_limit, threads=threads) as engine:
            rows = f"""
                SELECT {duck.columns_sql(TOO_LATE_ROWS)}
                FROM (
                    SELECT {sql_literal(record.source)} AS source, {sql_literal(record.sha256)} AS source_file, *
                    FROM {duck.parquet(engine, [fragment])}
                    WHERE list_contains({sql_list(sql_literal(day) for day in days)}, strftime(event_time, '%Y-%m-%d'))
                ) ORDER BY {TOO_LATE_ROWS.order_by}"""
            duck.write_parquet(engine, rows, path, copy_options(TOO_LATE_ROWS))
        found = verify_file(path, TOO_LATE_ROWS, _FILE_NAME)
        key = Layout.object_key(TOO_LATE_ROWS.name, found.sha256)
        objects.put_object(key, found.path, sha256=found.sha256, size_bytes=found.size_bytes)
        objects.project(key, view)
