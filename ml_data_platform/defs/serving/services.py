"""The services of `dev`, and the process that minds them: ``python -m …services PORT INSTANCE [ALLOWED_HOST…]``.

Belongs here: starting and ending code server, web server and daemon together. Does not belong here: what they do.

Each leads a session of its own: Ctrl-C in a terminal reaches this process alone, which ends the others in order, and with
each the processes that it began, such as runs. Where this process is killed, they end by themselves (``child``). It
imports nothing of Dagster, and so costs next to nothing.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from ml_data_platform.defs.serving.child import GRACE_SECONDS
from ml_data_platform.defs.serving.code_location import CODE_LOCATION, DEFINITIONS_MODULE

WEB_SERVER = "ml_data_platform.defs.serving.web_server"
CHILD = "ml_data_platform.defs.serving.child"
LONGEST_FOLDER = 80
"""Characters of the folder of a socket: the system allows little more."""
POLL_SECONDS = 0.1
ENDING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


class Signals:
    """The signals that came to this process, in place of what they would do to it."""

    def __init__(self) -> None:
        self._read, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        # Who ignores a hangup was asked to by `nohup`; an ignored interrupt is every background job's of a shell.
        is_kept = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        for number in {*ENDING, signal.SIGCHLD} - ({signal.SIGHUP} if is_kept else set()):
            signal.signal(number, _heed)

    def arrived(self, seconds: float | None = None) -> set[int]:
        """Wait for signals, at most so long, and return their numbers."""
        ready, _, _ = select.select([self._read], [], [], seconds)
        return set(os.read(self._read, 4096)) if ready else set()


def _heed(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the signal's number is in the pipe."""


class Service:
    """A child and the processes that it began.

    Args:
        name: As messages call it.
        parent: Descriptor of a pipe whose other end only this process holds.
        module: What it runs, with its arguments.
    """

    def __init__(self, name: str, parent: int, module: Sequence[str]) -> None:
        self.name = name
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            [sys.executable, "-m", CHILD, str(parent), *module],
            stdin=subprocess.DEVNULL,
            pass_fds=[parent],
            start_new_session=True,
        )

    def has_ended(self) -> bool:
        """Tell whether the child itself has ended."""
        return self.process.poll() is not None

    def is_gone(self) -> bool:
        """Tell whether nothing is left of it, nor of what it began."""
        return self.has_ended() and not self.send(0)

    def send(self, number: int) -> bool:
        """Send a signal to the child and what it began; returns whether there is anybody."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)
            return True
        return False


def main() -> int:
    """Serve the instance of the arguments, or that in ``DAGSTER_HOME``; returns the exit status."""
    port, ref, *allowed_hosts = sys.argv[1:]
    instance = ["--instance-ref", ref] if ref else []
    with _private_folder() as folder:
        socket, workspace = folder / "code.socket", folder / "workspace.yaml"
        workspace.write_text(json.dumps(workspace_of(socket)), encoding="utf-8")
        others = {
            "web server": [WEB_SERVER, str(workspace), port, ref, *allowed_hosts],
            "daemon": ["dagster._daemon", "run", "--workspace", str(workspace), *instance],
        }
        return run({"code server": [*code_server(socket), *instance]}, socket.exists, others)


def run(first: Mapping[str, Sequence[str]], is_ready: Callable[[], bool], others: Mapping[str, Sequence[str]]) -> int:
    """Run services until a signal ends them, or one of them ends by itself, which ends all.

    Args:
        first: Name to module with arguments, of what the others need.
        is_ready: Tells whether the others may start.
        others: Name to module with arguments.

    Returns:
        The exit status: 0 after a signal.
    """
    signals = Signals()
    parent, _held_open = os.pipe()
    waves: list[list[Service]] = [[], []]
    try:
        waves[0] = [Service(name, parent, module) for name, module in first.items()]
        if _mind(waves, signals, until=is_ready):
            waves[1] = [Service(name, parent, module) for name, module in others.items()]
            _mind(waves, signals)
    finally:
        failed = [service for wave in waves for service in wave if service.has_ended()]
        for service in failed:
            _say(f"the {service.name} ended by itself with status {service.process.returncode}: ending the others")
        for wave in reversed(waves):
            _end(wave, signals)
    return 1 if failed else 0


def code_server(socket: Path) -> list[str]:
    """Return the module, with its arguments, that loads the code once, for web server and daemon alike."""
    loaded = ["--module-name", DEFINITIONS_MODULE, "--location-name", CODE_LOCATION]
    return ["dagster", "code-server", "start", "--socket", str(socket), *loaded, "--log-level", "warning"]


def workspace_of(socket: Path) -> dict[str, Any]:
    """Return the workspace of a code server."""
    metadata = {"module_name": DEFINITIONS_MODULE}
    server = {"socket": str(socket), "location_name": CODE_LOCATION, "additional_metadata": metadata}
    return {"load_from": [{"grpc_server": server}]}


def _mind(waves: Sequence[Sequence[Service]], signals: Signals, until: Callable[[], bool] | None = None) -> bool:
    """Wait; returns whether it has come to what is waited for, before a service ended or a signal came."""
    while not any(service.has_ended() for wave in waves for service in wave):
        if until is not None and until():
            return True
        if signals.arrived(POLL_SECONDS if until else None) & ENDING:
            return False
    return False


def _end(wave: Sequence[Service], signals: Signals) -> None:
    """End services and what they began; after some seconds, or at a second signal, by force."""
    for service in wave:
        service.send(signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while not all(service.is_gone() for service in wave) and time.monotonic() < deadline:
        if signals.arrived(POLL_SECONDS) & ENDING:
            break
    for service in wave:
        if not service.is_gone():
            _say(f"the {service.name} has not ended: killing it")
            service.send(signal.SIGKILL)
            service.process.wait()


@contextmanager
def _private_folder() -> Iterator[Path]:
    """Make a folder that only this user may enter."""
    place = tempfile.gettempdir()
    if len(place) > LONGEST_FOLDER:
        place = "/tmp"  # noqa: S108 - the folder within is private
    with tempfile.TemporaryDirectory(prefix="ml-data-platform-", dir=place) as folder:
        yield Path(folder)


def _say(what: str) -> None:
    print(f"dev: {what}", file=sys.stderr, flush=True)  # noqa: T201 - nothing else is loaded in this process


if __name__ == "__main__":
    sys.exit(main())
