"""Records that were read before and have not changed since.

Belongs here: deciding that a record need not be read again. Does not belong here: what a record says.

Planning asks for the whole ledger and every head once per partition that it builds. The records are immutable, so
a listing with the files' states is enough to tell that none is new.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Record = TypeVar("Record")


class RecordCache(Generic[Record]):
    """Parsed records of one process by key, each with the version of the bytes that it was read from."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[Hashable, Record]] = {}

    def get(self, key: str, version: Hashable, read: Callable[[str, Hashable], Record]) -> Record:
        """Return the record under ``key``, reading it only where its version is not the one read before.

        Args:
            key: Where it is stored.
            version: Taken before reading, so that bytes that change in between are read again the next time.
            read: Returns the record under a key, of that version or a newer one; its errors are passed on, and nothing is remembered then.
        """
        known = self._read.get(key)
        if known is None or known[0] != version:
            known = self._read[key] = version, read(key, version)
        return known[1]
