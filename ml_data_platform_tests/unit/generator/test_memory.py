"""Memory does not grow with the amount of events."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import re, sys
from datetime import date
from pathlib import Path
from ml_data_platform.generator.generate import generate
from ml_data_platform.generator.options import GeneratorOptions
generate(
    Path(sys.argv[1]), start=date(2026, 1, 5), days=1, events_per_day=int(sys.argv[2]), seed=1,
    options=GeneratorOptions(users=1_000),
)
print(re.search(r"VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1])
"""


def peak_mib(out: Path, events: int) -> float:
    """Return the peak resident memory of a process that generates so many events.

    The process asks for its own: what ``getrusage`` says of it begins with the peak of the one that started it.
    """
    command = [sys.executable, "-c", PROGRAM, str(out), str(events)]
    run = subprocess.run(command, check=True, capture_output=True, text=True, timeout=1_500)
    return int(run.stdout) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc, which Linux has")
def test_memory_is_bounded(tmp_path: Path) -> None:
    """A day of a million events (some 380 MiB of text, truth included) needs little more than one of 100,000."""
    small, large = (peak_mib(tmp_path / str(events), events) for events in (100_000, 1_000_000))
    written = sum(path.stat().st_size for path in (tmp_path / "1000000").rglob("*") if path.is_file()) / 2**20
    assert written > 350
    assert large - small < 150
    assert large < 400
