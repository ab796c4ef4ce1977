"""Processes that write without rest: writers that race, their killer, and a writer that commits on and on.

Belongs here: writers that keep an order until it is acknowledged, those that recover, collect and watch meanwhile.
Does not belong here: comparing what was promised with the log (`racing`).
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import random
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from ml_data_platform.events.schemas import TableSchema
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.faults.lanes import numbered
from ml_data_platform_tests.storage_tables import DAY, PARTED, TABLES, present

WRITERS, THEIRS = 3, 3
KEEPER, WATCHER = WRITERS, WRITERS + 1
MEAN_LIFE_SECONDS = 0.02
# Where the system may switch to another writer anyway, it is made to do so often.
MEAN_PAUSE_SECONDS = 0.0004
_STOP, _GO = 1, 0
_REAL_FLOCK = fcntl.flock


def race(root: str, table: str, kills: int, seed: int) -> dict[str, Any]:
    """Fork writers and a keeper, kill random ones, each replaced by one that goes on where it was; then let all end."""
    top, chooser, stop = Path(root), random.Random(seed), mmap.mmap(-1, mmap.PAGESIZE)
    alive: dict[int, int] = {}
    failed: list[str] = []

    def start(who: int) -> None:
        child = os.fork()
        if child == 0:
            _child(top, table, who, stop, chooser.randrange(2**32) + os.getpid())
        alive[child] = who

    for who in (*range(WRITERS), KEEPER, WATCHER):
        start(who)
    killed = 0
    while killed < kills and not failed:
        time.sleep(chooser.expovariate(1 / MEAN_LIFE_SECONDS))
        victim = chooser.choice([child for child, who in sorted(alive.items()) if who != WATCHER])
        os.kill(victim, signal.SIGKILL)
        who = alive.pop(victim)
        _, status = os.waitpid(victim, 0)
        if os.WIFSIGNALED(status):
            killed += who < WRITERS
            start(who)
        else:
            failed.append(_why(top, who))
    stop[0] = _STOP
    for child, who in alive.items():
        _, status = os.waitpid(child, 0)
        if status:
            failed.append(_why(top, who))
    return {"kills": killed, "failed": failed}


def recommit(root: Path, table: str, first: int, seconds: float) -> dict[str, Any]:
    """Commit one number after the other, with the generation before as base, for so long or until a file says stop."""
    store, number, end = TableStore(root, present), first, time.monotonic() + seconds
    stop, parent = root.with_name(f"{root.name}.stop"), os.getppid()
    # Who gave the order may be gone.
    while not stop.exists() and time.monotonic() < end and os.getppid() == parent:
        numbered.commit_numbered(store, TABLES[table], number, expected=number - 1)
        number += 1
    return {"last": number - 1}


def commit_and_tell(root: Path, told: Path, commits: int) -> dict[str, Any]:
    """Commit numbers from 1 on; after each write its number to ``told``."""
    root.mkdir()
    store = TableStore(root, present)
    handle = os.open(told, os.O_WRONLY)
    for number in range(1, commits + 1):
        numbered.commit_numbered(store, PARTED, number, expected=number - 1)
        os.write(handle, str(number).encode())
    os.close(handle)
    return {"last": commits}


def meet(other: str, root: Path, table: str) -> dict[str, Any]:
    """Do one of ``OTHERS`` while somebody else is in the midst of a commit; return why it failed.

    Where it must wait for a lock that is held, it says so first, in a line of its own.
    """
    changed = fcntl.flock

    def flock(handle: int, how: int) -> None:
        if how & fcntl.LOCK_NB:
            changed(handle, how)
            return
        try:
            _REAL_FLOCK(handle, how | fcntl.LOCK_NB)
        except BlockingIOError:
            print(json.dumps({"waits": True}), flush=True)
            _REAL_FLOCK(handle, how)

    try:
        with mock.patch.object(fcntl, "flock", flock):
            OTHERS[other](root, TABLES[table])
    except Exception as error:
        return {"waits": False, "failed": f"{type(error).__name__}: {error}"[:300]}
    return {"waits": False, "failed": None}


def _commit_theirs(root: Path, table: TableSchema) -> None:
    store = TableStore(root, present)
    head = store.head(table.name, DAY)
    assert head is not None
    numbered.commit_numbered(store, table, THEIRS, expected=head.generation, is_current=True)


def _collect(root: Path, _: TableSchema) -> None:
    TableStore(root, present).collect(keep_last=1, older_than=timedelta(0), now=present() + timedelta(days=1))


def _recover(root: Path, _: TableSchema) -> None:
    numbered.recover(root)


OTHERS: dict[str, Callable[[Path, TableSchema], None]] = {
    "a commit": _commit_theirs,
    "a collection": _collect,
    "a recovery": _recover,
}


def _child(root: Path, table: str, who: int, stop: mmap.mmap, seed: int) -> None:
    try:
        if who != WATCHER:
            _pause_often(random.Random(seed))
        if who < WRITERS:
            _write(root, table, who, stop)
        elif who == KEEPER:
            _keep(root, stop)
        else:
            _watch(root, table, stop)
    except BaseException as error:
        root.with_name(f"{root.name}-error-{who}").write_text(f"{type(error).__name__}: {error}")
        os._exit(1)
    os._exit(0)


def _why(root: Path, who: int) -> str:
    path = root.with_name(f"{root.name}-error-{who}")
    return path.read_text()[:300] if path.exists() else f"writer {who} ended"


def _write(root: Path, table: str, who: int, stop: mmap.mmap) -> None:
    """Commit numbers of this writer's own; an order stands in a file until it is acknowledged, then the next is made."""
    store = TableStore(root, present)
    order, acks = root.with_name(f"{root.name}-order-{who}"), root.with_name(f"{root.name}-acks-{who}")
    handle = os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    done = [int(line) for line in acks.read_text().split()]
    number = (done[-1] if done else who) + WRITERS
    while stop[0] == _GO or order.exists():
        if order.exists():
            number, expected = json.loads(order.read_text())
        else:
            head = store.head(table, DAY)
            expected = head.generation if head else 0
            temp = order.with_suffix(".new")
            temp.write_text(json.dumps([number, expected]))
            temp.rename(order)
        if number not in done:
            numbered.commit_numbered(store, TABLES[table], number, expected=expected, is_current=True)
            os.write(handle, f"{number}\n".encode())
            os.fsync(handle)
            done.append(number)
        order.unlink()
        number += WRITERS


def _keep(root: Path, stop: mmap.mmap) -> None:
    """Recover and collect again and again while others commit."""
    store = TableStore(root, present)
    while stop[0] == _GO:
        broken = store.recover().broken
        if broken:
            raise ValueError(f"recovery says: {broken}")
        store.collect(keep_last=1, older_than=timedelta(0), now=present() + timedelta(days=1))


def _watch(root: Path, table: str, stop: mmap.mmap) -> None:
    """Read each file of the view again and again, and note its number whenever it has changed."""
    seen: dict[str, list[int]] = {name: [] for name in TABLES[table].files}
    while stop[0] == _GO:
        for name, shown in seen.items():
            path = root / "data" / table / f"dt={DAY}" / name
            if shown or path.exists():
                number = numbered.number_in(path)
                if number not in shown[-1:]:
                    shown.append(number)
    root.with_name(f"{root.name}-seen").write_text(json.dumps(seen))


def _pause_often(chooser: random.Random) -> None:
    """Pause for a random moment before some system calls: what must not come in between gets its chance to."""
    for name in ("link", "replace", "fsync", "unlink", "mkdir", "scandir"):
        setattr(os, name, _paused(getattr(os, name), chooser))


def _paused(real: Any, chooser: random.Random) -> Any:
    def call(*arguments: Any, **facts: Any) -> Any:
        if chooser.random() < 0.25:
            time.sleep(chooser.expovariate(1 / MEAN_PAUSE_SECONDS))
        return real(*arguments, **facts)

    return call
