"""The steps of some work: its calls of the system that change a disk, and doing something before each.

Belongs here: what a step is, and choosing one of them. Does not belong here: what happens there (`power_model`,
`schedules`).
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

STEPS = ("fsync", "link", "replace", "rename", "mkdir", "unlink", "rmdir")
Before = Callable[[str], None]


@contextlib.contextmanager
def watched(before: Before, after: Callable[[str, Any], None] = lambda *_: None) -> Iterator[None]:
    """Call ``before`` with the name of each step of this thread before it is taken, and ``after`` with its argument."""
    busy, own = [], threading.get_ident()

    def watch(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **facts: Any) -> Any:
            if busy or threading.get_ident() != own:
                return real(*arguments, **facts)
            busy.append(name)
            try:
                before(f"before {name}")
            finally:
                busy.pop()
            done = real(*arguments, **facts)
            after(name, arguments[0])
            return done

        return call

    with contextlib.ExitStack() as stack:
        for name in STEPS:
            stack.enter_context(patch.object(os, name, watch(name, getattr(os, name))))
        yield


def at_step(number: int, strike: Callable[[], None]) -> Before:
    """Return what strikes before the step of this number, from 0 on, and before each that would follow."""
    taken = []

    def before(_: str) -> None:
        taken.append(1)
        if len(taken) > number:
            strike()

    return before
