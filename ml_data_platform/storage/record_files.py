"""Local copies of small records that lie far away: each run is a new process, and would read every one of them again.

Belongs here: keeping bytes under the tag that a listing told of them. Does not belong here: what a record says
(``records``), and what one process remembers of it (``record_cache``).

Only a tag that is the MD5 of the bytes is a name here, so that a copy proves itself whenever it is read: a damaged one
counts as none. The folder may be removed at any time.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Hashable
from contextlib import suppress
from pathlib import Path

_MD5 = re.compile(r'"([0-9a-f]{32})"')


class RecordFiles:
    """Bytes by their entity tag.

    Args:
        folder: Where they lie; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, tag: Hashable) -> bytes | None:
        """Return the bytes of a tag; None where they are not here, or are damaged."""
        path = self._path(tag)
        if path is None:
            return None
        try:
            data = path.read_bytes()
        except OSError:
            return None
        return data if _md5(data) == path.name else None

    def keep(self, tag: Hashable, data: bytes) -> None:
        """Keep bytes, unless they are not those of the tag; a folder that cannot be written to keeps nothing."""
        path = self._path(tag)
        if path is None or _md5(data) != path.name:
            return
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix="new-")
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(data)
                Path(name).replace(path)
            finally:
                Path(name).unlink(missing_ok=True)

    def _path(self, tag: Hashable) -> Path | None:
        found = _MD5.fullmatch(str(tag))
        return self.folder / found[1][:2] / found[1] if found else None


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
