"""Owners: which process does something, and whether it still lives, also where the root was moved meanwhile.

Belongs here: naming a process and telling the living from the dead. Does not belong here: what it does.

On one machine a process id and its start time tell. A root that was moved to another machine, or whose container got
another name, still names processes of the old one: each process holds a lock in the instance's folder while it lives,
and the operating system lets go of it, so that a lock that is free belongs to the dead.
"""

import fcntl
import hashlib
import os
import socket
from functools import lru_cache
from pathlib import Path

OWNERS_FOLDER = "owners"
# The time of the boot is given in whole seconds.
_CLOCK_SLACK_SECONDS = 2.0


def this_process() -> str:
    """Return host, process id and start time of this process: unique also when ids are used again."""
    return f"{socket.gethostname()}/{os.getpid()}/{_start_time(os.getpid())}"


def is_alive(owner: str, home: Path | None = None) -> bool:
    """Tell whether the process of an owner tag still runs.

    Args:
        owner: From `this_process`, there and then.
        home: Folder of the instance. A process of another host holds its lock there as long as it lives; one that has
            none there is taken to be alive.
    """
    host, pid, started = owner.rsplit("/", 2)
    if host != socket.gethostname():
        return home is None or holds_lock(_lock_path(home, owner))
    return pid.isdecimal() and _start_time(int(pid)) == started != ""


def is_still_running(pid: int, at: float) -> bool:
    """Tell whether the process of this machine that had an id at an instant still runs.

    Args:
        pid: Its id.
        at: Seconds since 1970 when it ran. A process that began later has the id after it.
    """
    began = _start_time(pid)
    if not began:
        return False
    try:
        system = Path("/proc/stat").read_text(encoding="utf-8")
        booted = next(float(line.split()[1]) for line in system.splitlines() if line.startswith("btime"))
        return booted + int(began.rpartition("-")[2]) / os.sysconf("SC_CLK_TCK") <= at + _CLOCK_SLACK_SECONDS
    except (OSError, StopIteration, ValueError):
        return True


def hold_owner_lock(home: Path) -> None:
    """Hold this process's lock until it ends.

    Args:
        home: Folder of the instance.
    """
    _hold(_lock_path(home, this_process()))


@lru_cache(maxsize=64)
def _hold(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        # It was reaped between its creation and our lock, so that nobody would find it.
        os.close(descriptor)


def _lock_path(home: Path, owner: str) -> Path:
    return home / OWNERS_FOLDER / f"{hashlib.sha256(owner.encode()).hexdigest()[:32]}.lock"


def holds_lock(path: Path, *, is_reaping: bool = False) -> bool:
    """Tell whether a living process holds an owner's lock.

    Args:
        path: The lock; one that is not there is taken for held.
        is_reaping: Remove it where nobody holds it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_reaping:
            # While it is ours: who locks it next sees that it is gone.
            path.unlink(missing_ok=True)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def reap_locks(home: Path) -> int:
    """Remove locks that nobody holds and that no unfinished run needs any more; returns how many.

    Args:
        home: Folder of the instance, whose orphaned runs were reported as failed already.
    """
    return sum(not holds_lock(path, is_reaping=True) for path in (home / OWNERS_FOLDER).glob("*.lock"))


def _start_time(pid: int) -> str:
    """Return the start time of a process in clock ticks since boot, with the boot's id; empty if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return _exists_without_proc(pid)
    return "" if fields[0] == "Z" else f"{boot}-{fields[19]}"


def _exists_without_proc(pid: int) -> str:
    if Path("/proc/self").exists():
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        return "running"
    return "running"
