"""The flushes of the commit protocol: who makes them, and what it is without one.

Belongs here: what happens at fsync. Does not belong here: other steps of the protocol (`changes`).
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

_PASS_ON = frozenset({"_flush", "flush", "settle", "settle_below", "_settle_up", "each", "<listcomp>"})


def flushing_functions(work: Callable[[], Any]) -> set[str]:
    """Return the functions that flush something while ``work`` is done, each as ``helper.caller``."""
    found, real = set(), os.fsync

    def fsync(handle: int) -> None:
        found.add(_flushing())
        real(handle)

    with patch.object(os, "fsync", fsync):
        work()
    return found


def _flushing() -> str:
    """Return who flushes: the function that calls fsync, and the one that called it, past those that pass it on."""
    helper = sys._getframe(2)
    caller = helper.f_back
    while caller.f_code.co_name in _PASS_ON:
        caller = caller.f_back
    return f"{helper.f_code.co_name}.{caller.f_code.co_name}"


def no_flush_in(where: str) -> AbstractContextManager[Any]:
    """Leave out the flushes of one function, or of ``everything``."""
    real = os.fsync

    def fsync(handle: int) -> None:
        if where not in {"everything", _flushing()}:
            real(handle)

    return patch.object(os, "fsync", fsync)


def failed_flush_is_forgiven() -> AbstractContextManager[Any]:
    """Go on when a flush has failed."""
    real = os.fsync

    def fsync(handle: int) -> None:
        try:
            real(handle)
        except OSError as error:
            if error.errno not in {errno.EIO, errno.ENOSPC, errno.EDQUOT}:
                raise

    return patch.object(os, "fsync", fsync)
