"""Bytes under keys: what every medium offers, whatever it is.

Belongs here: the operations that storage is built from, and what each promises. Does not belong here: a medium
(``local_objects``, ``s3_objects``), or what the bytes mean.

What correctness rests on is `put_if_absent` alone: of any number of writers on any number of machines one stores its
bytes under a key. A `lock` only spares work: where the medium is reached from several machines it holds on one of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias, TypeVar

from ml_data_platform.errors import DamagedObjectError, StorageKeyError
from ml_data_platform.storage.layout import LOCKS_FOLDER

READ_ONLY = 0o444
GRACE = timedelta(hours=24)
"""Age below which nothing is collected. Who refers to an object that is there already makes it young first, and gives
up when that was more than half of this ago: so nobody refers to what a collector takes away."""
Item = TypeVar("Item")
Result = TypeVar("Result")
# Inside the classes, `list` is the method.
Names = list[str]
Many: TypeAlias = list[Result]
Paths = list[Path]
Version = Hashable


@dataclass(frozen=True)
class Stored:
    """What a listing tells of one object.

    Attributes:
        size_bytes: Its size.
        modified: When it was written, or made young again.
        version: Changes when the bytes do.
    """

    size_bytes: int
    modified: datetime
    version: Version

    def is_older_than(self, age: timedelta, now: datetime | None = None) -> bool:
        """Tell whether it was written longer ago than ``age``."""
        return (now or datetime.now(UTC)) - self.modified > age


class ObjectStore(ABC):
    """Objects of one root."""

    least_age_to_collect: timedelta = GRACE
    """What a collector must not take away, because a commit under way on another machine may refer to it."""

    def prepare(self) -> None:  # noqa: B027 - a medium may have nothing to prepare
        """Refuse a medium that cannot keep what is promised here, before anything is written.

        Raises:
            SettingsError: It cannot.
        """

    def confirm(self) -> None:  # noqa: B027 - a medium that is its own memory has nothing to compare
        """Refuse a place that no longer holds the root that this machine used there; writes nothing to it.

        Raises:
            RootMismatchError: It is empty, or holds another root.
        """

    is_remote: bool = False
    """Whether a request that seemed to fail may have done what it asked, or may do so later."""

    @property
    @abstractmethod
    def local_folder(self) -> Path:
        """The folder of this machine below which all local files of the store lie."""

    @abstractmethod
    def uri(self, key: str) -> str:
        """Return how a person or another tool names a key: a path, or a URL."""

    @abstractmethod
    def local_path(self, key: str) -> Path:
        """Return a local file with the bytes of an immutable object, compared with its name.

        Raises:
            StorageKeyError: The key is not a plain relative path, or no immutable object's.
            DamagedObjectError: There is no such object, or its bytes are not those that its name says.
        """

    def whole_path(self, key: str) -> Path | None:
        """Return what `local_path` does; None where the object is gone or damaged, for who has another place to look."""
        try:
            return self.local_path(key)
        except DamagedObjectError:
            return None

    def is_whole(self, key: str) -> bool:
        """Tell whether `local_path` would return; cheap when asked again and again."""
        return self.whole_path(key) is not None

    def cached(self, key: str) -> Path | None:  # noqa: ARG002 - for stores that are far away
        """Return a copy of an immutable object beside the medium, compared with its name; None where there is none."""
        return None

    def local_paths(self, keys: Sequence[str]) -> Paths:
        """Return local files of immutable objects, in the order of the keys; see `local_path`."""
        return self.each(self.local_path, keys)

    @abstractmethod
    def fetched(self, key: str) -> AbstractContextManager[Path]:
        """Give a local file with the bytes that the medium holds now, whatever they are; not to be changed.

        Raises:
            FileNotFoundError: There are none.
        """

    @abstractmethod
    def put_if_absent(self, key: str, source: Path | bytes, *, mode: int = READ_ONLY) -> bool:
        """Store ``source`` under ``key`` unless something is there; all or nothing.

        Args:
            key: Where to.
            source: The bytes, or a file of them. A file in a scratch folder becomes the store's and must not be
                written to again.
            mode: Permission bits, where the medium knows them.

        Returns:
            True when this call stored it, False when something was there.

        Raises:
            OSError: Nothing was stored; or it was, and that could not be made certain.
        """

    @abstractmethod
    def put_object(self, key: str, source: Path, *, sha256: str, size_bytes: int) -> bool:
        """Store a file under a key that its content names; an object that is there already is checked, and made young.

        Returns:
            True when this call stored it.

        Raises:
            VerificationError: The object that is there is another, or the file is gone or has changed.
        """

    @abstractmethod
    def read_bytes(self, key: str) -> bytes:
        """Return the bytes under ``key``; raises FileNotFoundError where there are none."""

    def read_version(self, key: str, version: Version) -> bytes:  # noqa: ARG002 - for stores that are far away
        """Return the bytes under ``key``, of which a listing told ``version``, or newer ones.

        A store that is far away may keep a copy of that very version here.
        """
        return self.read_bytes(key)

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Tell whether something is stored under ``key``."""

    @abstractmethod
    def size(self, key: str) -> int:
        """Return the size of an object in bytes; raises FileNotFoundError where there is none."""

    @abstractmethod
    def hash(self, key: str) -> str:
        """Return the SHA-256 of the bytes that the medium holds, in hex; raises FileNotFoundError where there are none."""

    @abstractmethod
    def stored(self, prefix: str) -> dict[str, Stored]:
        """Return the keys of all objects below the folder ``prefix``, in order, with what a listing tells of them."""

    def list(self, prefix: str) -> Names:
        """Return the keys of all objects below the folder ``prefix``, sorted; none where it does not exist."""
        return sorted(self.stored(prefix))

    @abstractmethod
    def names(self, folder: str) -> Names:
        """Return the names directly in a folder, unordered; none where it does not exist."""

    @abstractmethod
    def versions(self, folder: str) -> dict[str, Version]:
        """Return the names directly in a folder, each with a value that changes when the bytes under it do."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object; nothing happens where there is none."""

    def flush(self, folder: str) -> None:  # noqa: B027 - what can be read from a remote medium is durable
        """Let the names in a folder outlast a power cut, also where who made them died before they were flushed."""

    def settle(self, folder: str) -> None:  # noqa: B027
        """Do the same where the folder has changed lately; for what is looked at again and again."""

    def settle_below(self, folder: str, *, but: Collection[str] = ()) -> None:  # noqa: B027
        """Settle a folder and all below it, except for some."""

    @abstractmethod
    def is_projected(self, object_key: str, view_key: str, shown: Stored) -> bool:
        """Tell, without reading bytes, whether the view, of which a listing tells ``shown``, shows the object."""

    @abstractmethod
    def project(self, object_key: str, view_key: str, *, generation: int | None = None) -> bool:
        """Show an object under a name of the view; readers see the whole old file or the whole new one.

        Args:
            object_key: The object.
            view_key: Where it is shown.
            generation: What it is part of; a newer generation that is shown already stays. Without one, the last
                caller's object is shown.

        Returns:
            True when the view changed.

        Raises:
            VerificationError: The object is missing.
        """

    def withdraw(self, view_key: str) -> bool:
        """Show a file of the view no longer, also after a power cut; returns whether it was shown."""
        folder, is_shown = view_key.rpartition("/")[0], self.exists(view_key)
        if is_shown:
            self.delete(view_key)
            self.flush(folder)
        else:
            # Who removed it may have died before that was flushed.
            self.settle(folder)
        return is_shown

    @abstractmethod
    def scratch(self) -> AbstractContextManager[Path]:
        """Give a private local folder that is removed at the end, or by `reap_scratch` after its owner died."""

    @abstractmethod
    def reap_scratch(self) -> int:
        """Remove what writers of this machine left that are dead; safe while others work; returns how many."""

    @abstractmethod
    def reap_uploads(self, older_than: timedelta, now: datetime) -> int:
        """Remove uploads that were begun longer ago than ``older_than`` and never finished; returns how many."""

    @abstractmethod
    def lock(self, key: str, *, shared: bool = False) -> AbstractContextManager[None]:
        """Hold the lock ``key`` among the processes of this machine; it is released when its owner dies."""

    @abstractmethod
    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Many[Result]:
        """Do the same work for each item, in any order where that is faster; results in the order of the items."""


def check_key(key: str) -> str:
    """Return ``key`` if it is a plain relative path.

    Raises:
        StorageKeyError: It is not.
    """
    if not key or key.startswith("/") or "\0" in key or any(part in {"", ".", ".."} for part in key.split("/")):
        raise StorageKeyError("The key is not a plain relative path.", got=key)
    return key


def check_lock_key(key: str) -> str:
    """Return ``key`` if it is one of a lock.

    Raises:
        StorageKeyError: It is not.
    """
    if not key.startswith(f"{LOCKS_FOLDER}/"):
        raise StorageKeyError("The key is not one of a lock.", expected=f"{LOCKS_FOLDER}/…", got=key)
    return key
