"""Retention of Dagster's history: which old runs nobody needs any more, and removing them.

Belongs here: runs, their events, checks and logs. Does not belong here: evaluations of sensors, which Dagster removes by
itself (``defs.instance_file``), or the tables' files, which the store collects.

A run is needed as long as it holds the last word on anything: the newest event of any kind of a partition of an asset, the
newest result of a check of it, or the failure after which the same inputs are not tried again. So the UI and ``status``
show the same before and after.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as CheckStatus
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from sqlalchemy import Select, func, select

from ml_data_platform.defs.attempts import DUE_TAG

RUNS_AT_ONCE = 100
"""Runs that are removed in one transaction: others who record something wait for it."""


def expired_runs(instance: dg.DagsterInstance, before: dt.datetime) -> list[str]:
    """Return the ids of runs that ended before an instant (aware) and that nothing needs, oldest first."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return []
    ended = dg.RunsFilter(statuses=list(FINISHED_STATUSES), updated_before=before.astimezone(dt.UTC))
    runs = [record.dagster_run for record in instance.get_run_records(filters=ended, ascending=True)]
    if not runs:
        return []
    with storage.index_connection() as connection:
        needed = {str(row[0]) for query in _last_words() for row in connection.execute(query)}
    # Of runs of the same inputs the newest that failed; later ones overwrite earlier ones.
    failed = {run.tags[DUE_TAG]: run.run_id for run in runs if DUE_TAG in run.tags and not run.is_success}
    needed |= set(failed.values())
    return [run.run_id for run in runs if run.run_id not in needed]


def remove_runs(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> None:
    """Remove runs with all that was recorded of them; who is stopped in between goes on with the next call."""
    events, runs = instance.event_log_storage, instance.run_storage
    assert isinstance(events, SqlEventLogStorage)
    assert isinstance(runs, SqlRunStorage)
    for start in range(0, len(run_ids), RUNS_AT_ONCE):
        some = run_ids[start : start + RUNS_AT_ONCE]
        _remove_events(events, some)
        for run_id in some:
            instance.compute_log_manager.delete_logs(prefix=[run_id])
        # Last: a run that is still listed is found again.
        with runs.connect() as connection:
            connection.execute(RunTagsTable.delete().where(RunTagsTable.c.run_id.in_(some)))
            connection.execute(RunsTable.delete().where(RunsTable.c.run_id.in_(some)))


def _last_words() -> Iterator[Select[tuple[str]]]:
    """The runs of the newest events of each kind of each partition of an asset, and of the newest results of checks."""
    event, check = SqlEventLogStorageTable.c, AssetCheckExecutionsTable.c
    of_asset = select(func.max(event.id)).where(event.asset_key.is_not(None))
    newest = of_asset.group_by(event.dagster_event_type, event.asset_key, event.partition)
    yield select(event.run_id).where(event.id.in_(newest)).distinct()
    of_check = select(func.max(check.id)).group_by(check.asset_key, check.check_name, check.partition)
    said = check.execution_status.in_([CheckStatus.SUCCEEDED.value, CheckStatus.FAILED.value])
    for newest in (of_check, of_check.where(said)):
        yield select(check.run_id).where(check.id.in_(newest)).distinct()


def _remove_events(storage: SqlEventLogStorage, run_ids: Sequence[str]) -> None:
    # First: a run's own file that the index does not know is taken for a damage of the index.
    if isinstance(storage, SqliteEventLogStorage):
        for run_id in run_ids:
            for suffix in ("-wal", "-shm", "-journal", ""):
                Path(f"{storage.path_for_shard(run_id)}{suffix}").unlink(missing_ok=True)
    event, check = SqlEventLogStorageTable.c, AssetCheckExecutionsTable.c
    ids = select(event.id).where(event.run_id.in_(run_ids))
    with storage.index_connection() as connection:
        connection.execute(AssetEventTagsTable.delete().where(AssetEventTagsTable.c.event_id.in_(ids)))
        connection.execute(AssetCheckExecutionsTable.delete().where(check.run_id.in_(run_ids)))
        connection.execute(SqlEventLogStorageTable.delete().where(event.run_id.in_(run_ids)))
