"""Dagster's databases of a root: finding damage, and making usable what can be.

Belongs here: what `verify` looks at below ``dagster/storage``, and its repair. Does not belong here: the binding of a
root to its history (``stages.platform``), messages of errors (``defs.history_faults``).

The index holds what each run said of assets and checks, and can be made again from the runs' own files. The list of
runs, a run's own file and the state of sensors cannot: they are set aside, and what is lost is said.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.runs import SqlRunStorage

from ml_data_platform.defs.history_faults import has_no_room
from ml_data_platform.defs.instance import open_instance, opening
from ml_data_platform.defs.open_history import OpenEventLog
from ml_data_platform.defs.owners import OWNERS_FOLDER, holds_lock, is_alive
from ml_data_platform.defs.standby import FOLDER as LOOKING_FOLDER
from ml_data_platform.errors import HistoryError
from ml_data_platform.settings import Settings
from ml_data_platform.stages.platform import Platform
from ml_data_platform.storage.defects import Defect, Kind
from ml_data_platform.storage.history_binding import HistoryBinding
from ml_data_platform.storage.layout import DAMAGED_FOLDER

SETTLED_SECONDS = 60.0
"""A run's file is younger than its entry in the index by an instant: the older ones must have one."""
_MAX_SAID = 3
_GONE, _UNMADE = "it has no table: it is gone", "it has no table"
_TABLES = {"runs": "runs", "schedules": "job_ticks"}
_LOST = {
    "runs": "lost: the list of runs; what they said of assets and checks stays",
    "schedules": "lost: ticks of sensors, and which sensors were stopped: stop them again",
    INDEX_SHARD_NAME: "made again from the files of the runs",
}
_LOST_RUN = "lost: the events of this run; its entry in the list of runs stays"


def look_at_databases(platform: Platform, is_repair: bool) -> Iterable[Defect]:
    """Find databases of Dagster's history that are damaged or gone; safe while others use it.

    Args:
        platform: The opened root.
        is_repair: Set damaged ones aside and make new ones, unless a process works on the history.
    """
    settings = platform.settings
    found = list(_damage(settings))
    if not found or not is_repair:
        return [_defect(settings, path, said) for path, said in found]
    user = _user_of(settings.dagster_home)
    if user:
        busy = f"not repaired: process {user} uses it; end `dev` and runs, then verify with --repair again"
        return [_defect(settings, path, f"{said}; {busy}") for path, said in found]
    return _repair(platform, found)


def _damage(settings: Settings) -> Iterator[tuple[Path, str]]:
    """Yield each database with what is wrong with it."""
    history = settings.dagster_home / "storage" / "history"
    index = history / "runs" / f"{INDEX_SHARD_NAME}.db"
    shards = sorted(path for path in history.glob("runs/*.db") if path != index)
    files = [history / "runs.db", index, *shards, settings.dagster_home / "storage" / "schedules" / "schedules.db"]
    known, damaged = _known_to(index), set()
    for path in files:
        said = _what_is_wrong(path) if path.exists() else _GONE if path in files[:2] else ""
        # A crash, or a full disk, may come between the making of a file and its tables: that was never used.
        was_used = path.stem in known if path in shards else bool(shards)
        if said and (was_used or not said.startswith(_UNMADE)):
            damaged.add(path)
            yield path, said
    lacking = [] if index in damaged else list(_unlisted(known, [path for path in shards if path not in damaged]))
    if lacking:
        named = ", ".join(lacking[:_MAX_SAID]) + (" …" if len(lacking) > _MAX_SAID else "")
        yield index, f"it lacks what {len(lacking)} runs said: {named}"


def _what_is_wrong(path: Path) -> str:
    """Return what is wrong with a database; empty where nothing is."""
    table = _TABLES.get(path.stem, "event_logs")
    try:
        with closing(_opened(path)) as database:
            (said,) = database.execute("PRAGMA integrity_check(1)").fetchone()
            found = database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [table]).fetchone()
    except sqlite3.Error as error:
        # One that is only held by another process, or lies on a full disk, was not looked at: it is not said to be damaged.
        code = str(getattr(error, "sqlite_errorname", ""))
        is_unseen = code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL"))
        return "" if is_unseen or (code.startswith("SQLITE_IOERR") and has_no_room(path)) else str(error)
    return said if said != "ok" else "" if found else f"{_UNMADE} {table}"


def _known_to(index: Path) -> frozenset[str]:
    """Return the runs of which the index says something; none where it cannot be read."""
    try:
        with closing(_opened(index)) as database:
            return frozenset(name for (name,) in database.execute("SELECT DISTINCT run_id FROM event_logs"))
    except sqlite3.Error:
        return frozenset()


def _unlisted(known: frozenset[str], shards: list[Path]) -> Iterator[str]:
    """Yield the runs that began or ended, of which the index was told and says nothing."""
    for path in shards:
        if path.stem in known or time.time() - path.stat().st_mtime < SETTLED_SECONDS:
            continue
        with suppress(sqlite3.Error), closing(_opened(path)) as database:
            asked = "SELECT 1 FROM event_logs WHERE dagster_event_type LIKE 'PIPELINE_%' LIMIT 1"
            if database.execute(asked).fetchone() is not None:
                yield path.stem


def _opened(path: Path) -> sqlite3.Connection:
    """Open a database to read; one beside which there is no log of changes as it lies, so that nothing is written."""
    is_at_rest = not path.with_name(f"{path.name}-wal").exists()
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro{'&immutable=1' if is_at_rest else ''}", uri=True)


def _defect(settings: Settings, path: Path, said: str, *, is_repaired: bool = False) -> Defect:
    key = path.relative_to(settings.local_folder).as_posix()
    return Defect(Kind.HISTORY_DAMAGED, key, detail=said, is_repaired=is_repaired)


def _user_of(home: Path) -> str | None:
    """Return a living process that works on the history; None where there is none."""
    for lock in (home / OWNERS_FOLDER).glob("*.lock"):
        if holds_lock(lock):
            return lock.stem
    for note in (home / LOOKING_FOLDER).glob("*.json"):
        try:
            owner = str(json.loads(note.read_bytes())["owner"])
        except (ValueError, KeyError, TypeError):
            continue
        if is_alive(owner, home):
            return owner
    return None


def _repair(platform: Platform, found: list[tuple[Path, str]]) -> list[Defect]:
    settings = platform.settings
    with opening(settings.dagster_home):
        for path, said in found:
            if not said.startswith("it lacks"):
                _set_aside(settings, path)
    try:
        with open_instance(settings) as instance:
            log, runs = instance.event_log_storage, instance.run_storage
            # Of another storage that the user configured, the files are what is left of before.
            if isinstance(log, OpenEventLog) and isinstance(runs, SqlRunStorage):
                for shard in _unlisted_at_all(log, settings):
                    log.mirror(shard.stem)
                if any(path.name == "runs.db" for path, _ in found):
                    HistoryBinding(platform.store.objects).bind_again(runs.get_run_storage_id())
    except HistoryError as error:
        return [_defect(settings, path, f"{said}; not repaired: {error.what}") for path, said in found]
    return [
        _defect(settings, path, f"{said}; {_LOST.get(path.stem, _LOST_RUN)}", is_repaired=True) for path, said in found
    ]


def _unlisted_at_all(log: OpenEventLog, settings: Settings) -> list[Path]:
    """Return the files of runs of which the index says nothing, the oldest first, so that the newest speaks last."""
    history = settings.dagster_home / "storage" / "history" / "runs"
    with log.index_connection() as connection:
        known = {name for (name,) in connection.exec_driver_sql("SELECT DISTINCT run_id FROM event_logs")}
    shards = [path for path in history.glob("*.db") if path.stem not in {*known, INDEX_SHARD_NAME}]
    return sorted(shards, key=lambda path: path.stat().st_mtime)


def _set_aside(settings: Settings, path: Path) -> None:
    place = settings.local_folder / DAMAGED_FOLDER / path.relative_to(settings.local_folder)
    place.parent.mkdir(parents=True, exist_ok=True)
    number = sum(1 for _ in place.parent.glob(f"{place.name}*"))
    for suffix in ("", "-wal", "-shm"):
        beside = path.with_name(f"{path.name}{suffix}")
        if beside.exists():
            beside.rename(place.with_name(f"{place.name}{f'.{number}' if number else ''}{suffix}"))
