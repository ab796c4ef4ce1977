"""What verification says of the Dagster history that a root is bound to.

Belongs here: comparing the root's binding with the history in its own folder. Does not belong here: whether that
history's databases are whole, other looks (``stages.verification``).
"""

import sqlite3
from collections.abc import Iterator

import dagster as dg
from dagster._core.storage.runs import SqlRunStorage
from sqlalchemy.exc import SQLAlchemyError

from ml_data_platform.defs.instance import open_instance
from ml_data_platform.errors import PlatformError, RecordError
from ml_data_platform.stages.platform import Platform, newest_runs
from ml_data_platform.storage.defects import Defect, Kind
from ml_data_platform.storage.history_binding import HistoryBinding
from ml_data_platform.storage.layout import INSTANCE_KEY


def look_at_history(platform: Platform, is_repair: bool) -> Iterator[Defect]:
    """Compare the record of the root's history with the history in its folder."""
    binding = HistoryBinding(platform.store.objects)
    try:
        bound, detail = binding.bound(), "no history is noted, and the one in its folder has runs"
    except RecordError as error:
        bound, detail = None, str(error.facts.get("got") or error.what)
    is_stored = binding.objects.exists(INSTANCE_KEY)
    found = _history(platform)
    if found is None:
        if is_stored and bound is None:
            yield Defect(Kind.HISTORY_UNBOUND, INSTANCE_KEY, detail=detail)
        return
    instance_id, is_used, is_ours = found
    if bound == instance_id or (not is_stored and not is_used):
        return
    if bound is not None:
        detail = f"expected {instance_id}, which lies in its folder, got {bound}"
    is_repaired = is_repair and is_ours
    if is_repaired:
        binding.bind_again(instance_id)
    yield Defect(Kind.HISTORY_UNBOUND, INSTANCE_KEY, detail=detail, is_repaired=is_repaired)


def bind_to_own_history(platform: Platform) -> str:
    """Bind a root to the history in its folder, whatever it was bound to; returns its id.

    Raises:
        RecordError: The history cannot be read, or is not kept in a database.
    """
    found = _history(platform, is_made=True)
    if found is None:
        raise RecordError(
            "the history in the folder of the root cannot be read",
            remedy="Restore it, or move it away: a new one is made then.",
            file=str(platform.settings.dagster_home),
        )
    HistoryBinding(platform.store.objects).bind_again(found[0])
    return found[0]


def _history(platform: Platform, *, is_made: bool = False) -> tuple[str, bool, bool] | None:
    """Return the id of the history in the root's folder, whether it has runs, and whether those of the root are there."""
    if not (is_made or (platform.settings.dagster_home / "storage").is_dir()):
        return None
    try:
        with open_instance(platform.settings) as instance:
            storage = instance.run_storage
            if not isinstance(storage, SqlRunStorage):
                return None
            runs = newest_runs(platform.store)
            is_ours = not runs or any(instance.has_run(run) for run in runs)
            return storage.get_run_storage_id(), instance.get_runs_count() > 0, is_ours
    except (OSError, PlatformError, SQLAlchemyError, sqlite3.Error, dg.DagsterError):
        return None
