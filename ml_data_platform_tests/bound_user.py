"""A process that permissions bind, also where the tests run as root.

Belongs here: starting it. Does not belong here: what it is asked.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping

import pytest

UNBOUND = "-dac_override,-dac_read_search"


def run_bound(*arguments: object, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run this Python with arguments as a user whom permissions bind; root is without the right to pass over them."""
    command = [sys.executable, *(str(each) for each in arguments)]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root cannot be bound here: setpriv is missing")
        command = ["setpriv", f"--bounding-set={UNBOUND}", f"--inh-caps={UNBOUND}", *command]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})}
    )
