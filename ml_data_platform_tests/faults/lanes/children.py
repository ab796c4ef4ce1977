"""Processes that a fault may strike: one that has imported everything forks a child for each trial.

Belongs here: starting, tracing and killing children, and what is told of their end. Does not belong here: what a child
does (`scenarios`, `writers`), or which fault it meets.
"""

from __future__ import annotations

import atexit
import importlib
import json
import mmap
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.faults.lanes import mutants, writers
from ml_data_platform_tests.faults.lanes.scenarios import SCENARIOS
from ml_data_platform_tests.faults.lanes.steps import at_step, watched

BEFORE, DURING, AFTER = 0, 1, 2
WRITE_FAILED = 7
FIRST_GUESS_SECONDS = 0.004
_TOP = Path(__file__).parents[3]


class Server:
    """The driving side: start the process that forks, give orders, read answers.

    Attributes:
        mutant: The change to the protocol that its children work with; None for none.
    """

    def __init__(self) -> None:
        code = "from ml_data_platform_tests.faults.lanes import children; children.serve()"
        self.mutant: str | None = None
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_TOP
        )

    def order(self, **what: Any) -> None:
        """Give an order and go on."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"mutant": self.mutant, **what}, default=str) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for the answer to an order."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise ValueError(f"the process that forks ended with {self.process.wait(timeout=300)}")
        return json.loads(line)

    def ask(self, **what: Any) -> dict[str, Any]:
        """Give an order and wait for its answer."""
        self.order(**what)
        return self.answer()

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait(timeout=300)
        self.process.stdout.close()


_idle: list[Server] = []


@contextmanager
def server(mutant: str | None) -> Iterator[Server]:
    """Give a process that forks, one after the other the same; the block itself works with the same mutant."""
    chosen = _idle.pop() if _idle else Server()
    chosen.mutant = mutant
    try:
        with mutants.applied(mutant):
            yield chosen
    except BaseException:
        # Its answers may be out of step.
        chosen.close()
        raise
    _idle.append(chosen)


@atexit.register
def close_idle_servers() -> None:
    """End the processes that fork; another may be started afterwards."""
    while _idle:
        _idle.pop().close()


def serve() -> None:
    """Answer orders until stdin ends."""
    # Arrow imports pandas when it first makes a table: once here rather than in every child.
    importlib.import_module("pandas")
    while line := sys.stdin.readline():
        order = json.loads(line)
        with mutants.applied(order.pop("mutant")):
            answer = globals()[f"do_{order.pop('do')}"](**order)
        print(json.dumps(answer), flush=True)


def do_act(
    scenario: str,
    root: str,
    told: str,
    *,
    strace: list[str] | None = None,
    largest: int | None = None,
    dies_at: int | None = None,
) -> dict:
    """Do a scenario's work in a child, under strace with these options where there are some.

    Args:
        scenario: Its name.
        root: Where.
        told: File into which the child writes what it promises, when it does.
        strace: Options of strace; None to leave it out.
        largest: Bound of a file's size in bytes (RLIMIT_FSIZE); None for none.
        dies_at: Number of the step before which the child is killed, without strace; None for none.

    Returns:
        ``killed``, and ``exit``: the exit status.
    """
    hold, go = os.pipe()
    child = os.fork()
    if child == 0:
        # What a library says of an injected error is nobody's business; the tracer may strike this too, and the waiting.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        with suppress(OSError):
            os.read(hold, 1)
        if largest is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
        if dies_at is not None:
            with watched(at_step(dies_at, lambda: os.kill(os.getpid(), signal.SIGKILL))):
                _act_and_tell(scenario, Path(root), Path(told), None)
        _act_and_tell(scenario, Path(root), Path(told), None)
    tracer = _attach(child, strace) if strace else None
    os.write(go, b"x")
    _, status = os.waitpid(child, 0)
    os.close(hold)
    os.close(go)
    if tracer:
        tracer.communicate()
    return {"pid": child, **_end(status)}


def do_act_and_kill(scenario: str, root: str, told: str, share: float) -> dict:
    """Do a scenario's work in a child and kill it in the midst.

    Args:
        scenario: Its name.
        root: Where.
        told: File into which the child writes what it promises, when it does.
        share: When to kill, counted from the commit's begin, as a share of the time that such a commit takes.

    Returns:
        ``killed``; ``phase``: whether the commit had begun, and ended.
    """
    phase = mmap.mmap(-1, mmap.PAGESIZE)
    child = os.fork()
    if child == 0:
        _act_and_tell(scenario, Path(root), Path(told), phase)
    while phase[0] == BEFORE and not _is_over(child):
        time.sleep(0.00005)
    usual = _USUAL.setdefault(scenario, FIRST_GUESS_SECONDS)
    time.sleep(share * usual)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    # About one in five comes too late, so that the end of the work is struck as well.
    _USUAL[scenario] = usual * (0.9 if phase[0] == AFTER else 1.03)
    return {"phase": phase[0], **_end(status)}


def do_race(**order: Any) -> dict:
    """Let writers race while some are killed; see `writers.race`."""
    return writers.race(**order)


def do_recommit(root: str, table: str, first: int, seconds: float) -> dict:
    """Commit one number after the other, in the background, until told to stop or for so long."""
    return writers.recommit(Path(root), table, first, seconds)


def do_meet(other: str, root: str, table: str) -> dict:
    """Do something while somebody else is in the midst of a commit; see `writers.meet`."""
    return writers.meet(other, Path(root), table)


def do_commit_and_tell(root: str, told: str, commits: int) -> dict:
    """Commit one number after the other, and tell each when it is acknowledged."""
    return writers.commit_and_tell(Path(root), Path(told), commits)


_USUAL: dict[str, float] = {}


def _act_and_tell(scenario: str, root: Path, told: Path, phase: mmap.mmap | None) -> None:
    # Nothing that was set up before the fork may run at the end: no atexit, no flushing of the server's streams.
    try:
        if phase is not None:
            _mark_commits(phase)
        outcome = SCENARIOS[scenario].act(root)
        handle = os.open(told, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(handle, outcome.encode())
        os.close(handle)
    except BaseException as error:
        with suppress(OSError):
            told.with_suffix(".error").write_text(f"{type(error).__name__}: {error}")
        os._exit(WRITE_FAILED)
    os._exit(0)


def _mark_commits(phase: mmap.mmap) -> None:
    """Let commits of this process say in shared memory whether they are under way."""
    real = TableStore.commit

    def commit(*arguments: Any, **facts: Any) -> Any:
        phase[0] = DURING
        try:
            return real(*arguments, **facts)
        finally:
            phase[0] = AFTER

    TableStore.commit = commit


def _attach(child: int, options: list[str]) -> subprocess.Popen[str]:
    tracer = subprocess.Popen(["strace", "-f", "-p", str(child), *options], stderr=subprocess.PIPE, text=True)
    line = tracer.stderr.readline()
    if "attached" not in line:
        os.kill(child, signal.SIGKILL)
        raise SystemExit(f"strace cannot trace a child: {line}{tracer.stderr.read()}")
    return tracer


def _is_over(child: int) -> bool:
    # Looks, and leaves the status for waitpid.
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(status: int) -> dict[str, Any]:
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return {"killed": killed, "exit": os.waitstatus_to_exitcode(status)}
