"""Dagster's history in SQLite, kept open: for a process that runs one day after the other.

Belongs here: how often the history's files are opened and flushed. Does not belong here: what is written into
them, which is Dagster's; and what other processes do: the UI uses Dagster's own classes over the same files.

Dagster opens a database for every single event, and closing its last connection writes its log back; it makes a
database per run, and looks through its migrations for each. A day has hundreds of events, most of them of checks,
and this was more than half of what a small day cost.
"""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, EVENT_TYPE_TO_PIPELINE_RUN_STATUS
from dagster._core.instance import InstanceRef
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.schedules import SqliteScheduleStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, NullPool, create_engine, text

from ml_data_platform.defs.history_faults import told_of

BUSY_TIMEOUT_SECONDS = 30
_MIRRORED = frozenset({*ASSET_EVENTS, *ASSET_CHECK_EVENTS, *EVENT_TYPE_TO_PIPELINE_RUN_STATUS})


class OpenEventLog(SqliteEventLogStorage):
    """Dagster's event log with two files kept open: the index, and the run that was written to last."""

    def __init__(self, base_dir: str) -> None:
        self._open: dict[str, Connection] = {}
        self._empty_shard: bytes | None = None
        self._tables: set[str] = set()
        super().__init__(base_dir)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock, told_of(Path(self.path_for_shard(shard))):
            connection = self._open.get(shard) or self._opened(shard)
            with connection.begin():
                yield connection

    def _opened(self, shard: str) -> Connection:
        # Closing a run's file writes it out, which is what a UI that shows the run waits for.
        self._close([name for name in self._open if name != INDEX_SHARD_NAME])
        engine = _engine(self.conn_string_for_shard(shard))
        if shard not in self._initialized_dbs:
            # Dagster tries eleven times.
            self._initdb(_engine(self.conn_string_for_shard(shard), BUSY_TIMEOUT_SECONDS / 11))
            self._initialized_dbs.add(shard)
        self._open[shard] = _connected(engine)
        return self._open[shard]

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:
        path = Path(str(engine.url.database))
        if for_index_shard or path == Path(self.path_for_shard(INDEX_SHARD_NAME)):
            super()._initdb(engine, for_index_shard=for_index_shard)
        elif self._empty_shard is None:
            is_new = not path.exists()
            super()._initdb(engine)
            # Only one that this process made is known to be empty.
            self._empty_shard = path.read_bytes() if is_new else None
        elif not _put_if_absent(path, self._empty_shard):
            super()._initdb(engine)

    def mirror(self, run_id: str) -> None:
        """Tell the index what a run said of assets, checks and its own state, as it was told when the run said it."""
        for record in self.get_records_for_run(run_id).records:
            event = record.event_log_entry
            if not event.is_dagster_event or event.dagster_event_type not in _MIRRORED:
                continue
            with self.index_transaction() as connection:
                inserted = connection.execute(self.prepare_insert_event(event)).inserted_primary_key
                assert inserted is not None
                event_id = inserted[0]
                if event.dagster_event_type in ASSET_EVENTS:
                    self._store_asset_event_tags(connection, [event], [event_id])
                    self._store_asset_event(connection, event, event_id)
            if event.dagster_event_type in ASSET_CHECK_EVENTS:
                self.store_asset_check_event(event, event_id)

    def has_table(self, table_name: str) -> bool:
        """Tell whether a table is there; asked for every check, and a table that was there is not dropped."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def _close(self, shards: list[str]) -> None:
        for shard in shards:
            self._open.pop(shard).close()

    def wipe(self) -> None:
        """Delete all events."""
        self._close(list(self._open))
        super().wipe()

    def dispose(self) -> None:
        """Close the files."""
        self._close(list(self._open))
        super().dispose()


class OpenRunStorage(SqliteRunStorage):
    """Dagster's run storage with its file kept open."""

    def __init__(self, conn_string: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._lock = threading.Lock()
        self._open: Connection | None = None
        super().__init__(conn_string, inst_data)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Begin a transaction; one within another, or on another thread, has a connection of its own."""
        engine = _engine(self._conn_string)
        with told_of(Path(str(engine.url.database))):
            if not self._lock.acquire(blocking=False):
                with super().connect() as connection:
                    yield connection
                return
            try:
                self._open = self._open or _connected(engine)
                with self._open.begin():
                    yield self._open
            finally:
                self._lock.release()

    def dispose(self) -> None:
        """Close the file."""
        if self._open is not None:
            self._open.close()
            self._open = None
        super().dispose()


class OpenSqliteStorage(DagsterSqliteStorage):
    """Dagster's storage in SQLite, with the files that every event touches kept open."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self.base_dir = base_dir
        history, schedules = Path(base_dir) / "history", Path(base_dir) / "schedules"
        with told_of(history / "runs.db"):
            self._run_storage = OpenRunStorage.from_local(str(history))
        with told_of(history / "runs" / f"{INDEX_SHARD_NAME}.db"):
            self._event_log_storage = OpenEventLog(str(history / "runs"))
            with self._event_log_storage.index_connection():
                pass
        with told_of(schedules / "schedules.db"):
            self._schedule_storage = SqliteScheduleStorage.from_local(str(schedules))
        self._inst_data = inst_data
        # Not Dagster's own of this class: it would open everything a second time.
        super(DagsterSqliteStorage, self).__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Any) -> "OpenSqliteStorage":
        """Make the storage from its configuration."""
        return cls(inst_data=inst_data, **config_value)


def keep_open(ref: InstanceRef) -> InstanceRef:
    """Return the reference of an instance whose SQLite files stay open while it is used; another storage is left as it is."""
    stored = ref.storage_data
    if stored is None or stored.class_name != DagsterSqliteStorage.__name__:
        return ref
    config = ConfigurableClassData(__name__, OpenSqliteStorage.__name__, stored.config_yaml)
    return ref._replace(storage_data=config)


def _engine(conn_string: str, timeout_seconds: float = BUSY_TIMEOUT_SECONDS) -> Engine:
    # Connections are used under a lock, by whichever thread holds it.
    arguments = {"timeout": timeout_seconds, "check_same_thread": False}
    return create_engine(conn_string, poolclass=NullPool, connect_args=arguments)


def _connected(engine: Engine) -> Connection:
    connection = engine.connect()
    # In WAL mode a power cut then costs the last events, never the file. What is published stands in the commit log.
    connection.execute(text("PRAGMA synchronous=NORMAL"))
    connection.commit()
    return connection


def _put_if_absent(path: Path, content: bytes) -> bool:
    handle, temp = tempfile.mkstemp(prefix=f".{path.stem}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        with suppress(OSError):
            os.link(temp, path)
            return True
    finally:
        Path(temp).unlink(missing_ok=True)
    return False
