"""Writers that die, race and never stop: run as a process of its own, driven by JSON lines on stdin.

The process imports everything once and forks a child for each death, so that a hundred deaths cost little.
Flushing to disk is left out where asked: a killed process loses no pages, and races are tighter without.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml_data_platform.errors import CommitConflictError
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.storage_tables import DAY, TABLES, present, publish, stage

STEPS = ("fsync", "link", "replace", "mkdir", "unlink", "rmdir")


class Writer:
    """The driving side: start the process, give orders, read answers."""

    def __init__(self, *, flush: bool) -> None:
        code = f"from ml_data_platform_tests.faults.storage import writer_process as w; w.serve(flush={flush})"
        top = Path(__file__).parents[3]
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=top
        )

    def order(self, **what: Any) -> None:
        """Give an order and go on."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what, default=str) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for the answer to an order."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, **what: Any) -> dict[str, Any]:
        """Give an order and wait for its answer."""
        self.order(**what)
        return self.answer()

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait(timeout=300)
        self.process.stdout.close()


@contextmanager
def writers(number: int, *, flush: bool = False) -> Iterator[list[Writer]]:
    """Start several writer processes, wait until all have imported what they need, and end them."""
    started = [Writer(flush=flush) for _ in range(number)]
    try:
        for writer in started:
            writer.ask(do="stop")
        yield started
    finally:
        for writer in started:
            writer.close()


def serve(*, flush: bool) -> None:
    """Answer orders until stdin ends."""
    if not flush:
        os.fsync = do_nothing
    # Arrow imports pandas when it first makes a table: once here rather than in every child.
    importlib.import_module("pandas")
    while line := sys.stdin.readline():
        order = json.loads(line)
        answer = globals()[f"do_{order.pop('do')}"](**order)
        print(json.dumps(answer), flush=True)


def do_nothing(_handle: int) -> None:
    """Stand in for fsync."""


def do_commit_and_die(*, root: str, table: str, generation: int, expected: int, at_step: int) -> dict[str, Any]:
    """Commit in a child that is killed before its ``at_step``-th file-system call."""
    child = os.fork()
    if child == 0:
        _die_before(at_step)
        publish(TableStore(Path(root), present), TABLES[table], generation, expected=expected, run_id="killed")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return {"killed": os.WIFSIGNALED(status), "exit": status}


def _die_before(step: int) -> None:
    calls = 0

    def counting(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return call

    for name in STEPS:
        setattr(os, name, counting(getattr(os, name)))


def do_race(root: str, table: str, numbers: list[int], current: bool) -> dict[str, Any]:
    """Commit each number onto the head as read; ``current`` says whether overtaken inputs still count."""
    store, outcomes = TableStore(Path(root), present), []
    for number in numbers:
        head = store.head(table, DAY)
        with store.scratch() as scratch:
            staged = stage(store, scratch, TABLES[table], number, expected=head.generation if head else 0)
            try:
                outcomes.append(store.commit(staged, run_id="race", inputs_are_current=lambda _: current).outcome)
            except CommitConflictError:
                outcomes.append("conflict")
    return {"outcomes": outcomes}


def do_stop() -> dict[str, Any]:
    """End the order before this one."""
    return {}


def do_reap(root: str, rounds: int, seed: int) -> dict[str, Any]:
    """Recover again and again while others commit."""
    store, chooser, broken = TableStore(Path(root), present), random.Random(seed), []
    for _ in range(rounds):
        broken.extend(store.recover().broken)
        time.sleep(chooser.uniform(0, 0.004))
    return {"broken": broken}
