"""Which Dagster history a root belongs to: one small record.

Belongs here: that record, its form and the form of before. Does not belong here: whether a history is the root's
(``stages.platform``), or opening one (``defs.instance``).
"""

from __future__ import annotations

import json

from ml_data_platform.errors import RecordError
from ml_data_platform.storage.layout import INSTANCE_KEY
from ml_data_platform.storage.local_objects import LocalObjectStore
from ml_data_platform.storage.mending import set_aside
from ml_data_platform.storage.object_store import ObjectStore
from ml_data_platform.storage.records import form_of, read_fields, sealed

FORMAT = 1
_TYPES: dict[str, tuple[type, ...]] = {"instance_id": (str,)}


class HistoryBinding:
    """The binding of one root."""

    def __init__(self, objects: ObjectStore) -> None:
        # Of a root in a bucket each machine has a history of its own, and notes it in its folder.
        self.objects = LocalObjectStore(objects.local_folder) if objects.is_remote else objects

    def bound(self) -> str | None:
        """Return the id of the history that the root is bound to; None where it is bound to none.

        Raises:
            RecordError: The record was damaged or edited.
        """
        data = self._stored()
        if data is None:
            return None
        before = _of_before(data)
        try:
            return before or str(read_fields(data, where=INSTANCE_KEY, types=_TYPES, form=FORMAT)["instance_id"])
        except RecordError as error:
            raise RecordError(
                "The record of the history that this root is bound to is damaged.",
                remedy="Run `ml-data-platform verify --repair`: it binds the root again to the history that has its runs.",
                file=self.objects.uri(INSTANCE_KEY),
                got=error.what,
            ) from error

    def bind(self, instance_id: str) -> str:
        """Bind a root that is bound to no history; returns the one that it is bound to then."""
        self.objects.put_if_absent(INSTANCE_KEY, sealed({"instance_id": instance_id}, form=FORMAT))
        return self.bound() or instance_id

    def bind_again(self, instance_id: str) -> None:
        """Bind the root to a history, whatever it was bound to: that record is set aside."""
        if self.objects.exists(INSTANCE_KEY):
            set_aside(self.objects, INSTANCE_KEY)
        self.bind(instance_id)

    def is_of_before(self) -> bool:
        """Tell whether the record has the form of before there were digests."""
        data = self._stored()
        return data is not None and _of_before(data) is not None

    def adopt(self) -> bool:
        """Give the record of before a digest; False where there is none."""
        bound = self.bound() if self.is_of_before() else None
        if bound is not None:
            self.bind_again(bound)
        return bound is not None

    def _stored(self) -> bytes | None:
        try:
            return self.objects.read_bytes(INSTANCE_KEY)
        except FileNotFoundError:
            return None


def _of_before(data: bytes) -> str | None:
    if form_of(data) is not None:
        return None
    try:
        value = json.loads(data)
    except ValueError:
        return None
    is_whole = isinstance(value, dict) and set(value) == _TYPES.keys() and isinstance(value["instance_id"], str)
    return str(value["instance_id"]) if is_whole else None
