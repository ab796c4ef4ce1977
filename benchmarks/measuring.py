"""Commands of the platform, run as a user runs them, with what they cost.

Belongs here: starting one command, and its wall time, processor time and peak memory. Does not belong here:
which commands are run, or what must be true after them.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
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


def run_platform(name: str, *arguments: str | Path) -> Cost:
    """Run one ``ml-data-platform`` command and measure it.

    Raises:
        SystemExit: The command failed.
    """
    command = [str(Path(sys.executable).with_name("ml-data-platform")), *map(str, arguments)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ML_DATA_PLATFORM_")}
    started = time.monotonic()
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT, env=environment)
        # wait4 tells what this child used alone; RUSAGE_CHILDREN would give the largest of all so far.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - started
        printed.seek(0)
        output = printed.read().decode("utf-8", "replace")
    if process.returncode:
        raise SystemExit(f"{' '.join(command[:3])} … ended with {process.returncode}:\n{output[-MAX_OUTPUT_SHOWN:]}")
    return Cost(name, wall, usage.ru_utime + usage.ru_stime, _peak_mib(usage), output)


def _peak_mib(usage: resource.struct_rusage) -> float:
    # macOS counts bytes, Linux kibibytes
    return usage.ru_maxrss / (KIBIBYTES_PER_MEBIBYTE**2 if sys.platform == "darwin" else KIBIBYTES_PER_MEBIBYTE)
