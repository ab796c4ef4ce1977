"""The services of `dev` end together, whatever ends them; tried with small modules in place of Dagster's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ml_data_platform.defs.serving.child import GRACE_SECONDS

PATIENCE_SECONDS = 300
# As Dagster's services do, it begins a process of its own, and lets SIGTERM do what SIGINT does.
SERVICE = """
import os, pathlib, signal, subprocess, sys, time
folder, name, what = sys.argv[1:]
signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
note = pathlib.Path(folder, f"{name}.pids")
note.with_suffix(".writing").write_text(f"{os.getpid()} {sleeper.pid}")
note.with_suffix(".writing").rename(note)
if what == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
try:
    while not pathlib.Path(folder, f"{name}.end").exists():
        time.sleep(0.05)
    sys.exit(3)
except KeyboardInterrupt:
    pathlib.Path(folder, f"{name}.ended").touch()
    sleeper.wait()
    raise
"""
MINDER = """
import pathlib, sys
from ml_data_platform.defs.serving.services import run
folder, others = sys.argv[1], sys.argv[2:]
ready = pathlib.Path(folder, "first.pids")
sys.exit(run({"first": ["service", folder, "first", ""]}, ready.exists,
    {name: ["service", folder, name, what] for name, what in (each.split("=") for each in others)}))
"""


class Minded:
    """A minding process and its services, each with a process of its own."""

    def __init__(self, folder: Path, process: subprocess.Popen[str], names: list[str]) -> None:
        self.folder, self.process, self.names = folder, process, names
        self.pids: dict[str, list[int]] = {}

    def ready(self) -> None:
        """Wait until all services run."""
        wait_until(lambda: all((self.folder / f"{name}.pids").exists() for name in self.names), self.process)
        self.pids = {name: [int(p) for p in (self.folder / f"{name}.pids").read_text().split()] for name in self.names}

    def left(self) -> list[int]:
        """Processes that still run."""
        return [pid for pids in self.pids.values() for pid in pids if is_running(pid)]

    def end(self) -> tuple[int, str]:
        """Wait for its end; returns the status and what it said."""
        _, said = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, said

    def was_asked(self, name: str) -> bool:
        """Tell whether a service could end by itself."""
        return (self.folder / f"{name}.ended").exists()


@contextmanager
def minding(folder: Path, *others: str, ignored: tuple[int, ...] = ()) -> Iterator[Minded]:
    """Start services, each named with what it is, if anything, and leave nothing behind."""
    (folder / "service.py").write_text(SERVICE, encoding="utf-8")

    def ignore() -> None:
        # Whatever the tests themselves were told to ignore, as under nohup.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

    process = subprocess.Popen(
        [sys.executable, "-c", MINDER, str(folder), *(each if "=" in each else f"{each}=" for each in others)],
        env={**os.environ, "PYTHONPATH": str(folder)},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=ignore,  # noqa: PLW1509 - no thread runs
    )
    assert process.stderr is not None
    minded = Minded(folder, process, ["first", *(each.split("=")[0] for each in others)])
    try:
        minded.ready()
        assert len(minded.left()) == 2 * len(minded.names)
        yield minded
    finally:
        for pid in [process.pid, *minded.left()]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()


def is_running(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and is not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(is_so, process: subprocess.Popen[str] | None = None) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert process is None or process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked at in /proc")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("ignored", [(), (signal.SIGINT,)], ids=["", "interrupts_ignored"])
def test_a_signal_ends_all(tmp_path: Path, number: int, ignored: tuple[int, ...]) -> None:
    """Also where interrupts were ignored, as in the background of a shell: each service is asked, and nothing is left."""
    with minding(tmp_path, "web", "daemon", ignored=ignored) as minded:
        minded.process.send_signal(number)
        assert minded.end() == (0, "")
        assert minded.left() == []
        assert all(map(minded.was_asked, minded.names))


def test_a_hangup_is_nothing_to_a_process_that_was_told_to_ignore_it(tmp_path: Path) -> None:
    """As `nohup` does; SIGTERM still ends it, though interrupts were ignored too."""
    with minding(tmp_path, "web", ignored=(signal.SIGHUP, signal.SIGINT)) as minded:
        assert ignored_by(minded.process.pid) & {signal.SIGHUP, signal.SIGINT, signal.SIGTERM} == {signal.SIGHUP}
        minded.process.send_signal(signal.SIGTERM)
        assert minded.end() == (0, "")


def ignored_by(pid: int) -> set[int]:
    """Numbers of the signals that a process ignores."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    mask = int(status.partition("SigIgn:")[2].split()[0], 16)
    return {number for number in range(1, 32) if mask >> (number - 1) & 1}


def test_all_end_when_one_does(tmp_path: Path) -> None:
    """It is said which, and the status is not that of a success."""
    with minding(tmp_path, "web", "daemon") as minded:
        (tmp_path / "daemon.end").touch()
        status, said = minded.end()
        assert status == 1
        assert said.splitlines() == ["dev: the daemon ended by itself with status 3: ending the others"]
        assert minded.left() == []
        assert minded.was_asked("web")
        assert minded.was_asked("first")


def test_all_end_when_one_is_killed(tmp_path: Path) -> None:
    """What the killed one had begun ends too."""
    with minding(tmp_path, "web", "daemon") as minded:
        os.kill(minded.pids["first"][0], signal.SIGKILL)
        status, said = minded.end()
        assert status == 1
        assert "the first ended by itself with status -9" in said
        assert minded.left() == []


def test_what_does_not_heed_is_killed(tmp_path: Path) -> None:
    """A second signal does not wait for it; the others were asked first."""
    with minding(tmp_path, "web=stubborn", "daemon") as minded:
        began = time.monotonic()
        minded.process.send_signal(signal.SIGTERM)
        wait_until(lambda: minded.was_asked("daemon"))
        minded.process.send_signal(signal.SIGINT)
        status, said = minded.end()
        assert time.monotonic() - began < GRACE_SECONDS
        assert status == 0
        assert "the web has not ended: killing it" in said
        assert minded.left() == []


def test_nothing_outlives_a_killed_parent(tmp_path: Path) -> None:
    """No service goes on without the process that minds it, nor what the service began; one that does not heed is killed."""
    with minding(tmp_path, "web", "daemon=stubborn") as minded:
        minded.process.kill()
        minded.process.wait()
        wait_until(lambda: not minded.left())
        assert minded.was_asked("web")
        assert minded.was_asked("first")
