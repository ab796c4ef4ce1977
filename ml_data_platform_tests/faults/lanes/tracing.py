"""System calls of a child, as strace counts them.

Belongs here: whether strace works here, and the points at which a child can be struck. Does not belong here: what is
injected.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

# The end of a child is not part of its work.
_NOT_WORK = frozenset({"exit_group", "exit"})
_STRACE = ("strace", "-f", "-e", "inject=getppid:signal=SIGKILL:when=1", "-o", os.devnull)
_CALL = re.compile(r"^(?P<pid>\d+)\s+(?P<name>[a-z_0-9]+)\(")


@cache
def missing_strace() -> str | None:
    """Say why children cannot be traced here; None where they can."""
    if shutil.which("strace") is None:
        return "strace is not installed (make fault-tools)"
    tried = subprocess.run(
        [*_STRACE, sys.executable, "-c", "import os; os.getppid()"],
        capture_output=True,
        text=True,
        check=False,
    )
    # strace ends by the signal that ended what it traced
    return None if tried.returncode == -9 else f"strace cannot inject here: {tried.stderr.strip()[-200:]}"


def counted_calls(trace: Path, pid: int) -> Counter[str]:
    """Return how often a process made each system call, of a trace written by ``strace -f -o``."""
    found: Counter[str] = Counter()
    for line in trace.read_text(errors="replace").splitlines():
        call = _CALL.match(line)
        if call and int(call["pid"]) == pid and call["name"] not in _NOT_WORK:
            found[call["name"]] += 1
    return found
