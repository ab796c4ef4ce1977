"""Threads that are waited for until they wait themselves: for a lock that another holds.

Belongs here: telling that a thread goes no further for now, without a clock. Does not belong here: what it must not do.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

PATIENCE_SECONDS = 300.0
"""Longer than any machine needs; only a test that would hang comes to its end."""


class Waiting:
    """The threads that wait for a lock."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: set[int | None] = set()

    def note(self, *, waits: bool) -> None:
        """Take notice that the calling thread waits for a lock, or no longer."""
        with self._changed:
            (self._waiting.add if waits else self._waiting.discard)(threading.get_ident())
            self._changed.notify_all()

    def until_it_waits_or_ends(self, thread: threading.Thread) -> None:
        """Return when a thread waits for a lock, or has ended: what it could do meanwhile it has done."""
        # Its end notifies nobody, hence the short waits.
        for _ in range(int(PATIENCE_SECONDS / 0.01)):
            with self._changed:
                if self._changed.wait_for(lambda: thread.ident in self._waiting or not thread.is_alive(), 0.01):
                    return
        raise AssertionError("it neither waits nor ends")


@contextmanager
def watched_locks() -> Iterator[Waiting]:
    """Take notice of threads of this process that wait for file locks."""
    waiting, real = Waiting(), fcntl.flock

    def flock(handle: int, how: int) -> None:
        if how & fcntl.LOCK_NB:
            real(handle, how)
            return
        try:
            real(handle, how | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting.note(waits=True)
            real(handle, how)
            waiting.note(waits=False)

    with patch.object(fcntl, "flock", flock):
        yield waiting
