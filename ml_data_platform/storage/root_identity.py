"""Which root a bucket holds: a mark in the bucket, and this machine's memory of it.

Belongs here: telling a bucket that was emptied, or holds another root, from one that was never used. Does not belong
here: what else is stored. A root that is a folder has its memory in itself, and no mark.

The mark is put before anything else is written, and a machine remembers it beside its cache. So whoever used a root
does not begin another in its place without noticing.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from ml_data_platform.errors import ConditionFailedError, RecordError, RootMismatchError
from ml_data_platform.storage.layout import PROBE_KEY, ROOT_KEY
from ml_data_platform.storage.records import read_fields, sealed

if TYPE_CHECKING:
    from ml_data_platform.storage.local_objects import LocalObjectStore
    from ml_data_platform.storage.s3_objects import S3ObjectStore

FORMAT = 1
CACHE_FOLDER = "cache"
_TYPES: dict[str, tuple[type, ...]] = {"root_id": (str,)}


class RootIdentity:
    """The mark of a root in a bucket, and what this machine remembers of it.

    Args:
        bucket: The root.
        local: The folder of this machine.
    """

    def __init__(self, bucket: S3ObjectStore, local: LocalObjectStore) -> None:
        self.bucket, self.local = bucket, local

    def confirm(self) -> None:
        """Refuse a place that does not hold the root that this machine used there; writes nothing to the bucket.

        Raises:
            RootMismatchError: It is empty, or holds another root.
        """
        try:
            found = self.stored()
        except RecordError:
            return  # `verify` says so, and whoever writes is refused
        remembered = self.remembered()
        was_used = remembered is not None or (self.local.root / CACHE_FOLDER).is_dir()
        if found is None:
            if was_used and self._is_empty():
                raise self._mismatch("this place in the bucket is empty, and it held a root that this machine used")
        elif remembered is None:
            self._remember(found)
        elif remembered != found:
            raise self._mismatch("this place in the bucket holds another root than the one that this machine used")

    def begin(self) -> None:
        """Confirm, and put the mark where there is none: on first use, or in a root of before there were marks.

        Raises:
            RootMismatchError: The place does not hold the root that this machine used there.
            RecordError: The mark is damaged.
        """
        self.confirm()
        found = self.stored()
        if found is None:
            mark = sealed({"root_id": self.remembered() or uuid.uuid4().hex}, form=FORMAT)
            with suppress(ConditionFailedError):
                self.bucket.requests.put(f"{self._beginning}{ROOT_KEY}", mark, if_none_match="*")
            found = self.stored()
        if found is not None:
            self._remember(found)

    def stored(self) -> str | None:
        """Return the id of the root that the bucket holds; None where it has no mark.

        Raises:
            RecordError: The mark is damaged.
        """
        try:
            data = self.bucket.read_bytes(ROOT_KEY)
        except FileNotFoundError:
            return None
        try:
            return str(read_fields(data, where=ROOT_KEY, types=_TYPES, form=FORMAT)["root_id"])
        except RecordError as error:
            raise RecordError(
                "The mark that says which root the bucket holds is damaged.",
                remedy="Run `ml-data-platform verify --repair`, which puts it again.",
                file=self.bucket.uri(ROOT_KEY),
                got=error.what,
            ) from error

    def remembered(self) -> str | None:
        """Return the id of the root that this machine used here; None where it remembers none."""
        try:
            data = self.local.read_bytes(ROOT_KEY)
            return str(read_fields(data, where=ROOT_KEY, types=_TYPES, form=FORMAT)["root_id"])
        except (FileNotFoundError, RecordError):
            return None

    def _remember(self, root_id: str) -> None:
        # A machine that may not write its folder only reads, and begins nothing.
        with suppress(OSError):
            if self.remembered() != root_id:
                self.local.delete(ROOT_KEY)
                self.local.put_if_absent(ROOT_KEY, sealed({"root_id": root_id}, form=FORMAT))

    def _is_empty(self) -> bool:
        found = self.bucket.requests.listing(self._beginning)
        return all(key == f"{self._beginning}{PROBE_KEY}" for key, _ in islice(found, 2))

    @property
    def _beginning(self) -> str:
        prefix = self.bucket.location.prefix
        return f"{prefix}/" if prefix else ""

    def _mismatch(self, what: str) -> RootMismatchError:
        home = self.local.root
        return RootMismatchError(
            what,
            remedy=(
                "Name the right place (--root, `s3_endpoint_url`), or bring its objects back (versions of the bucket, a "
                "backup), and run it again: nothing was begun anew. To begin a new root here on purpose, move"
                f" {home} away, or name another folder in ML_DATA_PLATFORM_HOME, and run `ml-data-platform init`."
            ),
            root=str(self.bucket.location),
            home=str(home),
        )
