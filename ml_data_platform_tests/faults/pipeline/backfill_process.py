"""Commands, a backfill above all, in processes that can be killed: one server imports everything, and forks."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml_data_platform.storage.local_objects import LocalObjectStore
from ml_data_platform.storage.table_store import TableStore

HEAVY = ("great_expectations.expectations", "ml_data_platform.defs.location", "ml_data_platform.cli")


class Backfills:
    """The driving side: start backfills, kill them, wait for them."""

    def __init__(self) -> None:
        code = "from ml_data_platform_tests.faults.pipeline import backfill_process as p; p.serve()"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ML_DATA_PLATFORM_")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
            env=environment,
        )

    def ask(self, **order: Any) -> Any:
        """Give an order and wait for its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order, default=str) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(
        self,
        *arguments: object,
        output: Path,
        command: str = "backfill",
        environment: Sequence[str] = (),
        dies_after: int = 0,
        dies_at_write: int = 0,
    ) -> int:
        """Run `ml-data-platform` and return its process id.

        Args:
            arguments: Of the command.
            output: Where it says what it does.
            command: Which one.
            environment: More variables, each as ``NAME=VALUE``.
            dies_after: It kills itself once it has committed so many generations, in the midst of a run; 0 for never.
            dies_at_write: It kills itself once it has stored, shown or removed so many things; 0 for never.
        """
        command_line = [command, *map(str, arguments)]
        choices = {"output": output, "environment": list(environment)}
        choices |= {"dies_after": dies_after, "dies_at_write": dies_at_write}
        return int(self.ask(do="start", arguments=command_line, **choices))

    def is_running(self, child: int) -> bool:
        """Tell whether a backfill still runs."""
        return bool(self.ask(do="is_running", child=child))

    def kill(self, child: int) -> int:
        """Kill a backfill at once; return how it ended, as `wait` does."""
        return int(self.ask(do="end", child=child, by=signal.SIGKILL))

    def wait(self, child: int) -> int:
        """Wait for a backfill; return its exit status, or minus the signal that ended it."""
        return int(self.ask(do="end", child=child, by=0))


@contextmanager
def backfills() -> Iterator[Backfills]:
    """Start the server and end it."""
    server = Backfills()
    try:
        yield server
    finally:
        server.process.stdin.close()
        server.process.wait(timeout=300)
        server.process.stdout.close()


def serve() -> None:
    """Answer orders until stdin ends."""
    for name in HEAVY:
        importlib.import_module(name)
    # A fork copies one thread: the others, and what they hold, would be gone in the child.
    assert threading.active_count() == 1
    ended: dict[int, int] = {}
    while line := sys.stdin.readline():
        order = json.loads(line)
        what = order.pop("do")
        answer = _start(**order) if what == "start" else _child(ended, what=what, **order)
        print(json.dumps(answer), flush=True)


def _start(arguments: list[str], output: str, environment: list[str], dies_after: int, dies_at_write: int) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    os.environ.update(each.split("=", 1) for each in environment)
    try:
        with Path(output).open("a", encoding="utf-8") as stream:
            for handle in (1, 2):
                os.dup2(stream.fileno(), handle)
            sys.argv = ["ml-data-platform", *arguments]
            if dies_after:
                _die_after(TableStore, ("commit",), dies_after)
            if dies_at_write:
                _die_after(LocalObjectStore, ("put_if_absent", "project", "withdraw", "delete"), dies_at_write)
            importlib.import_module("ml_data_platform.cli").main()
        status = 0
    except SystemExit as error:
        status = int(error.code or 0)
    except Exception:  # noqa: BLE001 - whatever ends a child is what its output must say
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _die_after(of: type, names: Sequence[str], calls: int) -> None:
    """Kill this process once these methods were called so often, each call having done its work."""
    done: list[str] = []

    def dying(name: str) -> Callable[..., Any]:
        real = getattr(of, name)

        def call(*arguments: Any, **facts: Any) -> Any:
            result = real(*arguments, **facts)
            done.append(name)
            if len(done) == calls:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for name in names:
        setattr(of, name, dying(name))


def _child(ended: dict[int, int], what: str, child: int, by: int = 0) -> int | bool:
    if what == "is_running":
        if child not in ended:
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                ended[child] = os.waitstatus_to_exitcode(status)
        return child not in ended
    if child not in ended:
        if by:
            os.kill(child, by)
        ended[child] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return ended[child]
