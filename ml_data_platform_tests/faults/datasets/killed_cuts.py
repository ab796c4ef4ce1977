"""Cuts that die: each in a process of its own, forked from one that has imported everything once.

A cut can be told to die at one of its steps, or at the n-th thing that it does to the world: each file that it opens for
writing, renames, removes or makes, each folder, each git command, by whatever library. Python's audit events name them
all, so that none has to be listed by hand.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from ml_data_platform.datasets.dataset_versions import Cut, cut_version
from ml_data_platform.datasets.dvc_files import Remote
from ml_data_platform.datasets.repository import VersionsRepository
from ml_data_platform.datasets.selection import Request
from ml_data_platform.training.folds import FoldChoice
from ml_data_platform_tests.training_days import NOW, store_at

STEPS = ("choose", "pin", "copy", "deal", "track", "count", "push", "read back", "tag")
PRELOADED = ["dvc.repo", "dvc.cachemgr", "pyarrow.parquet", "sklearn.model_selection", __name__]
EVERYTHING = Request()
REQUEST = Request(folds=FoldChoice("stratified_group", 2))
_CHANGES = frozenset(
    [
        "os.rename",
        "os.remove",
        "os.mkdir",
        "os.rmdir",
        "os.link",
        "os.symlink",
        "os.chmod",
        "os.truncate",
        "os.utime",
        "fcntl.ioctl",
        "sqlite3.connect",
        "subprocess.Popen",
    ]
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True)
class Death:
    """Where a cut dies; by default nowhere.

    Attributes:
        step: At the beginning of this step; of ``copy`` and ``tag`` the last report counts, for the middle and the end.
        change: Right before the change of this number, from 1 on.
        git: Right before the n-th git command of a kind, e.g. ``config 3``.
        delay_seconds: Not at once but so much later, together with the git that runs then.
        count_in: File that gets the number of changes, and a line for each git command.
    """

    step: str | None = None
    change: int | None = None
    git: str | None = None
    delay_seconds: float = 0.0
    count_in: str | None = None

    def __str__(self) -> str:
        where = self.step or self.git or (f"change {self.change}" if self.change else "a random moment")
        return where + (f" and {1000 * self.delay_seconds:.0f} ms" if self.delay_seconds else "")


def repository_at(root: Path, remote: Remote | None = None) -> VersionsRepository:
    """Return the repository of versions of a root."""
    return VersionsRepository(root / "versions", remote or Remote(str(root / "remote")))


def cut_now(root: Path, request: Request = EVERYTHING, remote: Remote | None = None) -> Cut:
    """Cut a version of all that is published."""
    return cut_version(repository_at(root, remote), store_at(root), request, now=NOW, threads=1)


def start_cut(
    root: Path,
    death: Death | None = None,
    *,
    remote: Remote | None = None,
    environment: Mapping[str, str] | None = None,
) -> BaseProcess:
    """Start a cut in a process of its own.

    Args:
        root: The root.
        death: Where it kills itself.
        remote: Where it pushes to; by default beside the versions.
        environment: Further variables.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_cut, args=(str(root), death or Death(), remote, dict(environment or {})))
    process.start()
    return process


def count_changes(root: Path, note: Path) -> tuple[int, list[str]]:
    """Let a cut through; returns how many changes it made, and the git commands among them, numbered by kind."""
    process = start_cut(root, Death(count_in=str(note)))
    process.join()
    assert process.exitcode == 0, process.exitcode
    total, *commands = note.read_text(encoding="ascii").splitlines()
    return int(total), commands


def _cut(root: str, death: Death, remote: Remote | None, environment: dict[str, str]) -> None:
    os.setsid()
    os.environ.update(environment)
    repository, store = repository_at(Path(root), remote), store_at(Path(root))
    changes, kinds, commands = 0, Counter[str](), list[str]()

    def on_event(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal changes
        if event not in _CHANGES and not (event == "open" and _is_below(root, arguments)):
            return
        changes += 1
        is_due = changes == death.change
        if event == "subprocess.Popen":
            kind = arguments[1][3]
            kinds[kind] += 1
            commands.append(f"{kind} {kinds[kind]}")
            is_due = is_due or commands[-1] == death.git
        if is_due:
            _die(death.delay_seconds)

    def on_step(step: str, _what: str, done: int, total: int) -> None:
        # Files are copied one by one: die in the middle of them.
        if step == death.step and (step != "copy" or done == total // 2):
            _die(0.0)

    if death.change or death.git or death.count_in:
        sys.addaudithook(on_event)
    cut_version(repository, store, REQUEST, now=NOW, threads=1, progress=on_step)
    if death.count_in is not None:
        Path(death.count_in).write_text("\n".join([str(changes), *commands]), encoding="ascii")


def _is_below(root: str, arguments: tuple[Any, ...]) -> bool:
    path, _, flags = arguments
    return bool(isinstance(flags, int) and flags & _WRITING and isinstance(path, str) and path.startswith(root))


def _die(delay_seconds: float) -> None:
    if delay_seconds:
        # Its group: git dies in the middle of what it does.
        threading.Timer(delay_seconds, os.killpg, (os.getpgrp(), signal.SIGKILL)).start()
    else:
        os.kill(os.getpid(), signal.SIGKILL)


def kill_after(process: BaseProcess, seconds: float) -> bool:
    """Kill a cut after so long; returns whether it still ran."""
    time.sleep(seconds)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL
