"""A real `dev`: started on a free port, asked over GraphQL, ended by its process id.

Belongs here: processes and requests. Does not belong here: which requests the UI makes (``user_interface``).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

START_SECONDS = 900
STOP_SECONDS = 300
POLL_SECONDS = 1.0
LOG_TAIL_CHARACTERS = 6_000
DEV = (str(Path(sys.executable).with_name("ml-data-platform")), "dev")
DG_DEV = (str(Path(sys.executable).with_name("dg")), "dev", "--host", "127.0.0.1")
T = TypeVar("T")


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environment(**extra: str) -> dict[str, str]:
    """Return this process's environment without what would lead Dagster or the platform elsewhere."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("DAGSTER_", "ML_DATA_PLATFORM_", "DG_"))
    }
    return {**kept, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost", **extra}


class DagsterDev:
    """A `dev` process and its children.

    Args:
        folder: Folder that it is started in.
        log: File that takes its output.
        environment: The whole environment of the process.
        command: What starts it; the port is added.
    """

    def __init__(
        self,
        folder: Path,
        log: Path,
        environment: Mapping[str, str],
        command: Sequence[str] = DEV,
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder, self._log, self._environment, self._command = folder, log, dict(environment), list(command)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process and wait until its code location answers."""
        with self._log.open("ab") as log, _heeded_interrupts():
            self._process = subprocess.Popen(
                [*self._command, "--port", str(self.port)],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self.wait_until(self._is_loaded, START_SECONDS, "its code location answers")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the process as Ctrl-C does, and wait for each of its children by id; those that linger are killed.

        Raises:
            AssertionError: The process or a child had to be killed.
        """
        if self._process is None:
            return
        process, self._process = self._process, None
        children = _descendants(process.pid)
        process.send_signal(signal.SIGINT)
        lingering = []
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            lingering.append(process.pid)
            process.kill()
            process.wait(STOP_SECONDS)
        deadline = time.monotonic() + STOP_SECONDS
        for pid, started in children.items():
            while _start_time(pid) == started and time.monotonic() < deadline:
                time.sleep(0.05)
            if _start_time(pid) == started:
                lingering.append(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        assert not lingering, f"processes did not end by themselves: {lingering}\n{self.log_tail()}"

    def kill(self, only: str = "") -> int:
        """Kill the process and all its children as a power cut does; returns how many were killed.

        Args:
            only: Kill only those whose command line holds this text, e.g. ``dagster._daemon``.
        """
        assert self._process is not None
        everyone = [self._process.pid, *_descendants(self._process.pid)]
        chosen = [pid for pid in everyone if only in _command_line(pid)]
        for pid in chosen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not only:
            process, self._process = self._process, None
            process.wait(STOP_SECONDS)
        return len(chosen)

    def query(self, document: str, **variables: object) -> dict[str, Any]:
        """Return the data of a GraphQL answer.

        Raises:
            AssertionError: The answer has errors.
        """
        body = json.dumps({"query": document, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"GraphQL refused: {error.read().decode()[:2000]}") from error
        assert not found.get("errors"), json.dumps(found["errors"])[:4000]
        return dict(found["data"])

    def wait_until(self, found: Callable[[], T | None], seconds: float, what: str) -> T:
        """Ask until an answer is true, and return it.

        Raises:
            AssertionError: The time is over, or the process has ended; with the end of its log.
        """
        deadline = time.monotonic() + seconds
        while True:
            answer = found()
            if answer:
                return answer
            is_running = self._process is not None and self._process.poll() is None
            assert is_running, f"it ended before {what}\n{self.log_tail()}"
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}\n{self.log_tail()}"
            time.sleep(POLL_SECONDS)

    def log_tail(self) -> str:
        """Return the end of the process's output."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL_CHARACTERS:]

    def _is_loaded(self) -> bool:
        try:
            found = self.query(
                "{ workspaceOrError { __typename ... on Workspace { locationEntries { name loadStatus"
                " locationOrLoadError { __typename ... on PythonError { message } } } } } }"
            )
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        entries = found["workspaceOrError"]["locationEntries"]
        broken = [entry for entry in entries if entry["locationOrLoadError"]["__typename"] == "PythonError"]
        assert not broken, broken
        return bool(entries) and all(entry["loadStatus"] == "LOADED" for entry in entries)


@contextmanager
def _heeded_interrupts() -> Iterator[None]:
    """Let a child heed interrupts, also where a shell started the tests in the background and interrupts are ignored."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _descendants(pid: int) -> dict[int, str]:
    """Return the process ids below ``pid``, each with its start time, so that a used-again id is not mistaken.

    Those that have ended already are left out. Without ``/proc`` there are none: they end with their parent unseen.
    """
    if not Path("/proc").is_dir():
        return {}
    parents = {int(path.name): _status(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdecimal()}
    found: dict[int, str] = {}
    wave = [pid]
    while wave:
        wave = [child for child, status in parents.items() if status is not None and int(status[1]) in wave]
        found.update({child: _start_time(child) for child in wave})
    return {child: started for child, started in found.items() if started}


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def _start_time(pid: int) -> str:
    """Return the start time of a process in clock ticks; empty when it has ended."""
    status = _status(pid)
    return "" if status is None or status[0] == "Z" else status[19]


def _status(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
