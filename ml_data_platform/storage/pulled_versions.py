"""Which versions of remote files were fetched, and what they held.

Belongs here: immutable records, by source, day and address, in the order of fetching. Does not belong here: fetching,
and what follows from a change.

A file that goes back to an older version is fetched again: only the version that was fetched last counts as fetched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

from ml_data_platform.errors import RecordError
from ml_data_platform.storage.layout import Layout, text_hash
from ml_data_platform.storage.object_store import ObjectStore
from ml_data_platform.storage.records import Noted, Types, check_instant, form_of, read_fields, sealed
from ml_data_platform.storage.records_of_before import RecordsOfBefore
from ml_data_platform.storage.remote_files import RemoteFile

FORMAT = 2
_FORMAT_WITHOUT_DIGEST = 1
_NAME = re.compile(r"([0-9a-f]{32})\.([0-9]{6})\.([0-9a-f]{32})\.(begun|done)\.json")
_TYPES: Types = {
    "location": (str,),
    "name": (str,),
    "version": (str,),
    "sha256": (str, type(None)),
    "at": (str,),
}


def read_mark(data: bytes, *, where: str, noted: Noted) -> dict[str, Any]:
    """Return what a stored mark says: location, name, version, sha256 and at.

    Raises:
        RecordError: It is none, was changed, or belongs elsewhere.
    """
    if form_of(data) == _FORMAT_WITHOUT_DIGEST:
        fields = read_fields(data, where=where, types=_TYPES, form=_FORMAT_WITHOUT_DIGEST, noted=noted)
        key = where
    else:
        fields = read_fields(data, where=where, types={**_TYPES, "key": (str,)}, form=FORMAT)
        key = fields.pop("key")
    match = _NAME.fullmatch(where.rpartition("/")[2])
    hashes = (text_hash(fields["location"]), text_hash(fields["version"]))
    if match is None or hashes != (match[1], match[3]) or key != where:
        raise RecordError("The mark of a fetched file belongs elsewhere.", file=where, got=key)
    check_instant(fields["at"])
    return fields


@dataclass(frozen=True, order=True)
class _Entry:
    number: int
    version: str
    state: str
    name: str


class DayOfVersions:
    """The fetched versions of the files at one day's address, as they were when this was made.

    Args:
        objects: The bytes under the root.
        source: Source name.
        day: UTC day of the address.
    """

    def __init__(self, objects: ObjectStore, source: str, day: date) -> None:
        self.objects, self.source, self.day = objects, source, day
        self.noted = RecordsOfBefore(objects)
        self._entries: dict[str, list[_Entry]] = {}
        for name in objects.names(Layout.pulled_folder(source, day)):
            if found := _NAME.fullmatch(name):
                entry = _Entry(int(found[2]), found[3], found[4], name)
                self._entries.setdefault(found[1], []).append(entry)

    def is_known(self, file: RemoteFile) -> bool:
        """Tell whether any version of the file was fetched."""
        return bool(self._done(file))

    def is_current(self, file: RemoteFile) -> bool:
        """Tell whether the version that was fetched last is that of the file."""
        done = self._done(file)
        return bool(done) and done[-1].version == text_hash(file.version)

    def note(self, file: RemoteFile, sha256: str | None, at: str, *, is_done: bool = True) -> None:
        """Record a fetched version.

        Args:
            file: As it was fetched.
            sha256: Hash of its bytes, hex.
            at: The present, ISO-8601 with an offset.
            is_done: It is landed; else it is about to be.
        """
        check_instant(at)
        number = max((entry.number for entry in self._entries.get(text_hash(file.location), ())), default=0) + 1
        key = Layout.pulled_key(self.source, self.day, file.location, file.version, number, is_done=is_done)
        facts = {"location": file.location, "name": file.name, "version": file.version, "sha256": sha256, "at": at}
        self.objects.put_if_absent(key, sealed({**facts, "key": key}, form=FORMAT))

    def other_contents(self, file: RemoteFile, sha256: str) -> tuple[str, ...]:
        """Return the other contents that the file ever had, hex, oldest first.

        Raises:
            RecordError: A record cannot be read.
        """
        folder = Layout.pulled_folder(self.source, self.day)
        found: dict[str, None] = {}
        for entry in sorted(self._entries.get(text_hash(file.location), ())):
            key = f"{folder}/{entry.name}"
            fields = read_mark(self.objects.read_bytes(key), where=key, noted=self.noted)
            if fields["sha256"] not in {None, sha256}:
                found[str(fields["sha256"])] = None
        return tuple(found)

    def content(self, file: RemoteFile) -> str | None:
        """Return the content that was fetched last, hex; None where none was, or it held no bytes that were kept.

        Raises:
            RecordError: A record cannot be read.
        """
        done = self._done(file)
        if not done:
            return None
        key = f"{Layout.pulled_folder(self.source, self.day)}/{done[-1].name}"
        fields = read_mark(self.objects.read_bytes(key), where=key, noted=self.noted)
        return None if fields["sha256"] is None else str(fields["sha256"])

    def has_several(self, file: RemoteFile) -> bool:
        """Tell, without reading anything, whether more than one version of the file was fetched or begun."""
        return len({entry.version for entry in self._entries.get(text_hash(file.location), ())}) > 1

    def _done(self, file: RemoteFile) -> list[_Entry]:
        return sorted(entry for entry in self._entries.get(text_hash(file.location), ()) if entry.state == "done")
