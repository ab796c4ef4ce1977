"""A landing folder in a bucket: which objects may be landed, and fetching one.

Belongs here: seeing a prefix as a landing folder is seen (``inbox``). Does not belong here: landing, requests.

An object appears whole, so that it is ready when it is listed, unless its name says that it is not final.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from ml_data_platform.errors import PlatformError
from ml_data_platform.landing.inbox import UNFINISHED_SUFFIXES, Inbox, ReadyFile
from ml_data_platform.locations import S3Location
from ml_data_platform.storage.object_store import Stored, check_key

if TYPE_CHECKING:
    # Only a landing folder in a bucket loads what speaks to one.
    from ml_data_platform.storage.s3_requests import S3Requests

_NANOSECONDS = 1_000_000_000


class BucketInbox:
    """The landing folder at a prefix of a bucket.

    Args:
        location: The prefix, with one folder per source below it.
        requests: Requests to the bucket.
        folder: Local folder below which objects are fetched, at their names; it need not exist.
    """

    def __init__(self, location: S3Location, requests: S3Requests, folder: Path) -> None:
        self.location, self.requests, self.folder = location, requests, folder
        self._beginning = f"{location.prefix}/" if location.prefix else ""

    def look_into(self, source: str) -> Inbox:
        """Sort the objects of a source by whether they may be landed now; see ``inbox.look_into``."""
        ready: list[ReadyFile] = []
        unfinished: list[Path] = []
        for key, stored in self.requests.listing(f"{self._beginning}{source}/"):
            name = key.removeprefix(self._beginning)
            if not _is_plain(name):
                continue
            if name.lower().endswith(UNFINISHED_SUFFIXES):
                unfinished.append(self.folder / name)
            else:
                ready.append(ReadyFile(self.folder / name, stored.size_bytes, _time_of(stored)))
        return Inbox(tuple(ready), (), tuple(unfinished))

    def top(self) -> tuple[list[str], list[str]]:
        """Return the names of the folders and of the objects directly below the prefix, in order."""
        entries = sorted(self.requests.level(self._beginning), key=lambda entry: entry[0])
        shown = [(name, stored) for name, stored in entries if name and not name.startswith((".", "_"))]
        return [name for name, stored in shown if stored is None], [name for name, stored in shown if stored]

    def fetch(self, file: ReadyFile) -> None:
        """Fetch an object to its local place; who asked removes it.

        Raises:
            FileNotFoundError: It is gone.
            OSError: It could not be fetched, or not be written.
        """
        file.path.parent.mkdir(parents=True, exist_ok=True)
        name = file.path.relative_to(self.folder).as_posix()
        self.requests.get_file(f"{self._beginning}{name}", file.path)


def _is_plain(name: str) -> bool:
    try:
        check_key(name)
    except PlatformError:
        return False
    return not any(part.startswith(".") for part in name.split("/"))


def _time_of(stored: Stored) -> int:
    """Return the time of an object's last change, its part below a second made of the bytes' tag.

    A listing tells whole seconds: what is replaced within one must still be another file.
    """
    tag = hashlib.sha256(str(stored.version).encode()).digest()
    return int(stored.modified.timestamp()) * _NANOSECONDS + int.from_bytes(tag[:8], "big") % _NANOSECONDS
