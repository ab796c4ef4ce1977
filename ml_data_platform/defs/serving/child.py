"""A module run as the child of a process that it does not outlive: ``python -m …child DESCRIPTOR MODULE ARGUMENTS…``.

Belongs here: what every child of `dev` heeds. Does not belong here: what the modules do.

Dagster lets SIGTERM do what SIGINT does, and a process that was started by ``nohup``, by a supervisor or in the background
of a shell ignores SIGINT: so the handlers are set first.
"""

import os
import runpy
import signal
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

GRACE_SECONDS = 8.0
"""A child has as long to end by itself, and so have the runs that it began."""


def main() -> None:
    """Run the module that the arguments name, until it ends, a signal ends it, or the parent is gone."""
    descriptor, module, *arguments = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    threading.Thread(target=_end_with_parent, args=(int(descriptor),), daemon=True).start()
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:
        sys.exit(0)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    # A second one would break off the ending that the first one began.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _end_with_parent(descriptor: int) -> None:
    """Wait until the other end of a pipe is closed, which the parent's end does, however it comes."""
    os.read(descriptor, 1)
    # The child leads a group of its own: with it end the processes that it began.
    os.killpg(os.getpgrp(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
