"""Commands of the platform, run as a user runs them, with what they cost.

Belongs here: starting one command, and its wall time, processor time and peak memory. Does not belong here:
which commands are run, or what must be true after them.

The system counts the memory of the process that starts a command as the command's own, so a small process stands
in between: this module, run as a program, which imports nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

KIBIBYTES_PER_MEBIBYTE = 1024
MAX_OUTPUT_SHOWN = 2_000


@dataclass(frozen=True)
class Cost:
    """What one command cost.

    Attributes:
        name: What it did.
        wall_seconds: From start to end.
        cpu_seconds: User and system time of the process and its children.
        peak_mib: Largest resident set of the process, MiB.
        output: What it printed.
    """

    name: str
    wall_seconds: float
    cpu_seconds: float
    peak_mib: float
    output: str


def run_platform(name: str, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> Cost:
    """Run one ``ml-data-platform`` command and measure it, deaf to settings but those of ``environment``.

    Raises:
        SystemExit: The command failed.
    """
    command = [str(Path(sys.executable).with_name("ml-data-platform")), *map(str, arguments)]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ML_DATA_PLATFORM_")}
    given = {**kept, **(environment or {})}
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "cost.json"
        between = [sys.executable, str(Path(__file__).resolve()), str(told), *command]
        done = subprocess.run(between, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=given, check=False)
        output = done.stdout.decode("utf-8", "replace")
        if done.returncode:
            raise SystemExit(f"{' '.join(command[:3])} … ended with {done.returncode}:\n{output[-MAX_OUTPUT_SHOWN:]}")
        cost = json.loads(told.read_text(encoding="utf-8"))
    return Cost(name, cost["wall_seconds"], cost["cpu_seconds"], cost["peak_mib"], output)


def _measure(told: Path, command: list[str]) -> int:
    """Run a command, write what it cost and return its exit status."""
    started = time.monotonic()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    # macOS counts bytes, Linux kibibytes
    per_mebibyte = KIBIBYTES_PER_MEBIBYTE ** (2 if sys.platform == "darwin" else 1)
    cost = {
        "wall_seconds": time.monotonic() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / per_mebibyte,
    }
    told.write_text(json.dumps(cost), encoding="utf-8")
    return process.returncode


if __name__ == "__main__":
    sys.exit(_measure(Path(sys.argv[1]), sys.argv[2:]))
