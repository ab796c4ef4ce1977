"""Standby: of two daemons that look after one root, one works and the other says so.

Belongs here: noticing that another process evaluates the same sensor. Does not belong here: what sensors do.

Two daemons by mistake do no harm to data: they ask for runs by the same key, and commits are put if absent. But they
would ask twice as often, and whoever started the second one should know. The one that looked last goes on looking; when
its process is gone, or it has not looked for three intervals, the other takes over.
"""

import datetime as dt
import fcntl
import json
import os
from pathlib import Path

from ml_data_platform.defs.owners import is_alive, this_process

FOLDER = "looking"
INTERVALS = 3
LEAST_SECONDS = 15


def other_daemon(home: Path, sensor: str, interval_seconds: float, now: dt.datetime) -> str | None:
    """Return the process that looks after the root instead of this one; none where this one does from now on.

    Args:
        home: Folder of the Dagster instance.
        sensor: Name of the sensor.
        interval_seconds: Least time between two looks.
        now: The present, aware.
    """
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / f"{sensor}.json", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        found = _read(os.pread(descriptor, 4096, 0))
        mine = this_process()
        owner, until = found.get("owner", mine), found.get("until", "")
        if owner != mine and until > now.astimezone(dt.UTC).isoformat() and is_alive(owner, home):
            return str(owner)
        end = now.astimezone(dt.UTC) + dt.timedelta(seconds=max(INTERVALS * interval_seconds, LEAST_SECONDS))
        content = json.dumps({"owner": mine, "until": end.isoformat()}).encode()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, content, 0)
        return None
    finally:
        os.close(descriptor)


def _read(content: bytes) -> dict[str, str]:
    """Return what was written; nothing where a crash left half of it."""
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    is_whole = isinstance(found, dict) and all(isinstance(found.get(name), str) for name in ("owner", "until"))
    return found if is_whole else {}
