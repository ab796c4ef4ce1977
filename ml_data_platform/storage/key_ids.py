"""Which keys a root's ids and masks are made with: the public ids of its keys, as immutable records.

Belongs here: noting the id of a key, and reading which one holds. Does not belong here: the keys themselves (``keys``),
or which of them a machine has (``stages.root_keys``).

The ids of one key are numbered, each put if absent: the last one holds. So of two machines that begin one root at once,
one is told that its key is not the root's.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass

from ml_data_platform.errors import PlatformError, RecordError
from ml_data_platform.storage.keys import USER_ID
from ml_data_platform.storage.layout import KEY_ID_KEY, Layout
from ml_data_platform.storage.object_store import ObjectStore
from ml_data_platform.storage.records import check_instant, read_fields, sealed

FORMAT = 1
_KEY_ID = re.compile(r"[0-9a-f]{8}")
_TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "key_id": (str,),
    "number": (int,),
    "reason": (str,),
    "noted_at": (str,),
}


@dataclass(frozen=True)
class NotedId:
    """The id that one of the root's keys has.

    Attributes:
        name: Name of the key.
        key_id: Its public id.
        number: 1 for the first id of this key.
        reason: Why it was noted.
        noted_at: When, ISO-8601 with an offset.
    """

    name: str
    key_id: str
    number: int
    reason: str
    noted_at: str

    @property
    def key(self) -> str:
        """Where the record is stored."""
        return Layout.key_id_key(self.name, self.number)

    @classmethod
    def from_json(cls, data: bytes, *, where: str) -> NotedId:
        """Read a stored record.

        Raises:
            RecordError: It is none, was edited, or belongs under another key.
        """
        noted = cls(**read_fields(data, where=where, types=_TYPES, form=FORMAT))
        try:
            check_instant(noted.noted_at)
            is_whole = noted.key == where and _KEY_ID.fullmatch(noted.key_id) is not None
        except PlatformError:
            is_whole = False
        if not is_whole:
            raise RecordError("The record of a key's id belongs elsewhere, or holds none.", file=where)
        return noted


class KeyIds:
    """The ids of the keys of one root."""

    def __init__(self, objects: ObjectStore) -> None:
        self.objects = objects

    def numbers(self, name: str) -> list[int]:
        """Return the numbers of the ids that were noted of a key, in order."""
        folder = Layout.key_ids_folder(name)
        names = self.objects.names(folder)
        # Who relies on an id must find it after a power cut: who noted it may have died before it was flushed.
        self.objects.settle(folder)
        return sorted(number for each in names if isinstance(number := Layout.key_id_place(each), int))

    def noted(self, name: str) -> NotedId | None:
        """Return the id that holds; None where none was noted in this form.

        Raises:
            RecordError: Its record cannot be read.
        """
        numbers = self.numbers(name)
        return self.read(name, numbers[-1]) if numbers else None

    def read(self, name: str, number: int) -> NotedId:
        """Return one record.

        Raises:
            RecordError: It cannot be read.
        """
        key = Layout.key_id_key(name, number)
        return NotedId.from_json(self.objects.read_bytes(key), where=key)

    def noted_before(self, name: str) -> frozenset[str]:
        """Return the ids that earlier code noted of a key, in roots in a bucket only."""
        found = {str(each) for each in self.objects.names(Layout.key_ids_folder(name)) if _KEY_ID.fullmatch(str(each))}
        if name == USER_ID:
            try:
                found.add(str(json.loads(self.objects.read_bytes(KEY_ID_KEY))["key_id"]))
            except FileNotFoundError:
                pass
            except (ValueError, KeyError, TypeError) as error:
                raise RecordError("The id of the key of the user ids cannot be read.", file=KEY_ID_KEY) from error
        return frozenset(found)

    def note(self, name: str, key_id: str, *, after: int, reason: str, at: str) -> NotedId:
        """Note the id of a key; returns the one that holds then, which another process may have noted.

        Args:
            name: Name of the key.
            key_id: Its public id.
            after: The number of the id that held; 0 where there was none.
            reason: Why.
            at: When, ISO-8601 with an offset.

        Raises:
            RecordError: The record that another process wrote cannot be read.
        """
        noted = NotedId(name, key_id, after + 1, reason, at)
        self.objects.put_if_absent(noted.key, sealed(asdict(noted), form=FORMAT))
        return self.noted(name) or noted
