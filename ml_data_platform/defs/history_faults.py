"""Faults of Dagster's history in SQLite, as one message with a remedy.

Belongs here: what an error of a database means, and which file it is about. Does not belong here: repairing one
(``defs.history_repair``).
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import exc

from ml_data_platform.errors import HistoryError, bounded
from ml_data_platform.storage.system_faults import room_at

NOT_AFFECTED = "Tables, versions and what is due are not affected: they do not depend on it."
REPAIR = (
    "End `ml-data-platform dev` if it runs, then run `ml-data-platform verify --repair`: it sets the damaged file aside, "
    f"makes a new one and says what is lost. {NOT_AFFECTED}"
)
_HELD = (
    "Wait until the process that holds it ends, or end it (`fuser FILE` names it), then run this again. " + NOT_AFFECTED
)
_UNWRITABLE = (
    "Let this user write the folder of the history, or run it as the user that owns the root; commands that only read "
    f"work as they are. {NOT_AFFECTED}"
)
_FULL = f"Make room there, then run it again: what is published stays, and is not done twice. {NOT_AFFECTED}"
_LEAST_ROOM_BYTES = 1 << 18
"""SQLite says no more than "disk I/O error" where it finds no room for what it shares between processes."""


@contextmanager
def told_of(path: Path) -> Iterator[None]:
    """Turn an error of the database at ``path`` into one that says what happened and what to do.

    Raises:
        HistoryError: The database is damaged, held by another process, or cannot be opened or written.
    """
    try:
        yield
    except (sqlite3.DatabaseError, exc.DBAPIError) as error:
        raised = error.orig if isinstance(error, exc.DBAPIError) else error
        if not isinstance(raised, sqlite3.DatabaseError) or isinstance(raised, sqlite3.IntegrityError):
            raise
        raise history_error(path, raised) from error


def history_error(path: Path, error: sqlite3.Error) -> HistoryError:
    """Return what an error of SQLite means for the history."""
    code = str(getattr(error, "sqlite_errorname", "") or "").removeprefix("SQLITE_")
    facts = {"file": str(path), "got": bounded(str(error))}
    if code.startswith(("BUSY", "LOCKED")):
        return HistoryError("Dagster's history of runs is held by another process.", remedy=_HELD, **facts)
    if code.startswith("FULL") or (code.startswith("IOERR") and has_no_room(path)):
        what = "The disk is full: Dagster's history of runs cannot be written."
        return HistoryError(what, remedy=_FULL, **facts, free=room_at(path))
    if code.startswith(("READONLY", "CANTOPEN", "PERM", "AUTH")):
        return HistoryError("Dagster's history of runs cannot be opened or written.", remedy=_UNWRITABLE, **facts)
    what = "Dagster's history of runs cannot be read" if code.startswith("IOERR") else "Dagster's history is damaged"
    return HistoryError(f"{what}.", remedy=REPAIR, **facts)


def has_no_room(path: Path) -> bool:
    """Tell whether SQLite finds no room beside a database for what its processes share."""
    found = os.statvfs(path.parent)
    return found.f_bavail * found.f_frsize < _LEAST_ROOM_BYTES or (found.f_files > 0 and not found.f_favail)
