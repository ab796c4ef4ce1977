"""Cuts that die: each in a process of its own, forked from one that has imported everything once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

from ml_data_platform.datasets.dataset_versions import Cut, cut_version
from ml_data_platform.datasets.dvc_files import Remote
from ml_data_platform.datasets.repository import VersionsRepository
from ml_data_platform.datasets.selection import Request
from ml_data_platform_tests.training_days import NOW, store_at

STEPS = ("choose", "pin", "copy", "track", "count", "push", "read back", "tag")
PRELOADED = ["dvc.repo", "dvc.cachemgr", "pyarrow.parquet", __name__]


def repository_at(root: Path) -> VersionsRepository:
    """Return the repository of versions of a root."""
    return VersionsRepository(root / "versions", Remote(str(root / "remote")))


def cut_now(root: Path) -> Cut:
    """Cut a version of all that is published."""
    return cut_version(repository_at(root), store_at(root), Request(), now=NOW, threads=1)


def start_cut(root: Path, die_at: str | None = None, after: str | None = None) -> BaseProcess:
    """Start a cut in a process of its own.

    Args:
        root: The root.
        die_at: The step at whose beginning it kills itself; none where it is not to.
        after: ``tag`` to die right after the commit point, before the branch follows.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_cut, args=(str(root), die_at, after))
    process.start()
    return process


def _cut(root: str, die_at: str | None, after: str | None) -> None:
    if after is not None:
        VersionsRepository.record = _record_and_die  # type: ignore[method-assign]
    repository, store = repository_at(Path(root)), store_at(Path(root))

    def on_step(step: str, _what: str, done: int, total: int) -> None:
        # Files are copied one by one: die in the middle of them.
        if step == die_at and (step != "copy" or done == total // 2):
            os.kill(os.getpid(), signal.SIGKILL)

    cut_version(repository, store, Request(), now=NOW, threads=1, progress=on_step)


def _record_and_die(self: VersionsRepository, manifest: object, message: str, parent: str) -> None:
    (self.folder / "version.json").write_text(manifest.to_text(), encoding="utf-8")  # type: ignore[attr-defined]
    commit = self.git.commit(message, at=NOW.isoformat(), parent=parent)
    self.git("tag", "--annotate", "--file=-", manifest.tag, commit, text=message)  # type: ignore[attr-defined]
    os.kill(os.getpid(), signal.SIGKILL)


def kill_after(process: BaseProcess, seconds: float) -> bool:
    """Kill a cut after so long; returns whether it still ran."""
    time.sleep(seconds)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL
