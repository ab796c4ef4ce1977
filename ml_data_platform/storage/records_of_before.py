"""Records that were written before every record had a digest, and the digests that were noted of them since.

Belongs here: the one file of noted digests, and whether a record without a digest may be read. Does not belong here:
which records there are and what they say (``stages.adoption``).

Records are written once and never again, so that what is noted of them lies beside them. As long as nothing is noted the
root is one of before, and its records are read as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from ml_data_platform.errors import RecordError
from ml_data_platform.storage.layout import ADOPTED_KEY, FAILURES_FOLDER, LEDGER_FOLDER, PULLED_FOLDER, STORE
from ml_data_platform.storage.object_store import ObjectStore
from ml_data_platform.storage.records import parsed_object, read_fields, sealed

FORMAT = 1


class RecordsOfBefore:
    """The noted digests of one root, read when a record without a digest is met.

    Args:
        objects: The bytes under the root.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self.objects = objects
        self._noted: Mapping[str, str] | None = None

    def __call__(self, key: str, data: bytes) -> None:
        """Let a record without a digest be read.

        Raises:
            RecordError: The root was taken over, and these are not the bytes that the record had then.
        """
        if self._noted is None:
            self._noted = noted_digests(self.objects)
        if self._noted is None:
            return
        if key not in self._noted:
            raise RecordError("A record without a digest appeared after the root was taken over.", file=key)
        if self._noted[key] != hashlib.sha256(data).hexdigest():
            raise RecordError("A record was changed after the root was taken over.", file=key)


def noted_digests(objects: ObjectStore) -> dict[str, str] | None:
    """Return the key of each record without a digest and the hash of its bytes, hex; None where none were ever noted.

    Raises:
        RecordError: What was noted was changed since.
    """
    try:
        data = objects.read_bytes(ADOPTED_KEY)
    except FileNotFoundError:
        return None
    fields = read_fields(data, where=ADOPTED_KEY, types={"records": (dict,)}, form=FORMAT)
    return {str(key): str(digest) for key, digest in fields["records"].items()}


def note_digests(objects: ObjectStore, digests: Mapping[str, str]) -> bool:
    """Note the digests of all records without one; returns False where that was done before."""
    return objects.put_if_absent(ADOPTED_KEY, sealed({"records": dict(digests)}, form=FORMAT))


def note_birth(objects: ObjectStore) -> None:
    """Note of a root that is only beginning that each of its records has a digest."""
    if objects.exists(ADOPTED_KEY) or any(not name.startswith("_") for name in objects.names(LEDGER_FOLDER)):
        return
    begun = [*objects.list(FAILURES_FOLDER), *objects.list(PULLED_FOLDER)]
    has_log = any("log" in objects.names(f"{STORE}/{name}") for name in objects.names(STORE))
    if not has_log and all(has_digest(objects.read_bytes(key), key) for key in begun):
        note_digests(objects, {})


def has_digest(data: bytes, where: str) -> bool:
    """Tell whether a record has a digest, right or wrong; False for bytes that are no record."""
    try:
        return "digest" in parsed_object(data, where=where)
    except RecordError:
        return False
