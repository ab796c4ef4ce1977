"""Ctrl-C during a backfill, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ml_data_platform.settings_file import ENVIRONMENT_PREFIX
from ml_data_platform_tests.command_line import CommandLine

# A shell may start what runs in its background deaf to SIGINT, and children inherit that.
LISTEN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
CALL = [sys.executable, "-c", f"{LISTEN}; from ml_data_platform.cli import main; main()"]
GENERATE = ["generate", "--out", ".platform/landing", "--start", "2026-06-01", "--days", "1", "--events-per-day", "50"]


def _wait_for(folder: Path, pattern: str, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 600
    while not list(folder.glob(pattern)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, f"no {pattern}"
        time.sleep(0.02)


@pytest.mark.slow
def test_ctrl_c_stops_and_the_next_call_goes_on(cli: CommandLine) -> None:
    """It stops at once with 130 and one message; no other day is begun; called again, all is built, nothing twice."""
    cli.ok(*GENERATE)
    (cli.folder / ".platform" / "platform.yaml").write_text("settle_seconds: 0\n")
    cli.ok("land")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)}
    process = subprocess.Popen(
        [*CALL, "backfill"],
        cwd=cli.folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait_for(cli.folder, ".platform/data/raw_events/dt=*/data.parquet", process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130, out + err
    assert [line for line in err.splitlines() if line.startswith("error: stopped")]
    assert "Traceback" not in out + err
    assert not list(cli.folder.glob(".platform/data/date_partitions/*"))
    published = {path: path.stat().st_ino for path in cli.folder.glob(".platform/data/raw_events/*/*.parquet")}
    assert "built on" in cli.ok("backfill").out
    assert published.items() <= {path: path.stat().st_ino for path in published}.items()
    assert "nothing to do" in cli.ok("plan").out
