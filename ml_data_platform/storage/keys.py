"""Secret keys that belong to a root.

Belongs here: where keys come from, and their public ids. Does not belong here: what is hashed with them.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ml_data_platform.errors import SettingsError
from ml_data_platform.storage.durability import make_folder, sync_folder
from ml_data_platform.storage.layout import check_name
from ml_data_platform.storage.scratch import file_lock

USER_ID, PII, FILE_ID = "user_id", "pii", "file_id"
"""The keys: of user ids, of masks, and of the ids of files whose rows are masked."""
NAMES = (USER_ID, PII, FILE_ID)
KEY_BYTES = 32
OWNER_ONLY = 0o600
# Hex digits of one case: one letter in the other case is a changed bit. Keys of before may have another length.
_HEX = re.compile(r"((?:[0-9a-f]{2}){16,}|(?:[0-9A-F]{2}){16,})(?:\r?\n)?")


def load_or_create_key(folder: Path, name: str = USER_ID) -> tuple[str, bytes]:
    """Return a secret and its public id; generate it on first use.

    The file holds hex, is readable by its owner only, and appears whole: of two processes that start at
    once, both read the same key.

    Args:
        folder: Where keys lie, each in ``<name>.key``.
        name: Name of the key.

    Returns:
        The key id (first 8 hex digits of the secret's SHA-256) and the secret.

    Raises:
        SettingsError: The file is no key, or can neither be read nor made.
    """
    path = key_path(folder, name)
    with _reaching(path):
        if not path.exists():
            _generate(path)
        _flush_names(path.parent)
        return _with_id(path.read_bytes(), path)


def read_key(folder: Path, name: str) -> tuple[str, bytes] | None:
    """Return a secret and its public id, see `load_or_create_key`; None where there is no such file.

    Raises:
        SettingsError: The file is no key, or cannot be read.
    """
    path = key_path(folder, name)
    with _reaching(path):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        _flush_names(path.parent)
        return _with_id(content, path)


def replace_key(folder: Path, name: str) -> tuple[str, bytes]:
    """Generate a key in the place of what is there, which is set aside beside it; return its id and the secret.

    Raises:
        SettingsError: It cannot be made.
    """
    path = key_path(folder, name)
    with _reaching(path):
        if path.exists():
            path.rename(path.with_name(f"{path.name}.replaced-{uuid.uuid4().hex[:8]}"))
    return load_or_create_key(folder, name)


@contextmanager
def _reaching(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SettingsError(
            f"A secret key can neither be read nor made: {error.strerror}.",
            remedy="Let the platform's user read the file and write to its folder, or put the key there: 64 hex digits.",
            file=str(path),
        ) from error


def key_path(folder: Path, name: str) -> Path:
    """Return the file of a key.

    Raises:
        StorageKeyError: The name is none.
    """
    return folder / f"{check_name(name, 'secret')}.key"


def _flush_names(folder: Path) -> None:
    """Flush the names of a key and of its folder: who made them may have died before that, and ids depend on them."""
    for each in (folder.parent, folder):
        # Keys may lie where they can only be read.
        with suppress(PermissionError):
            sync_folder(each)


def _generate(path: Path) -> None:
    make_folder(path.parent)
    temp = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    handle = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWNER_ONLY)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES).hex().encode("ascii") + b"\n")
            file.flush()
            os.fsync(file.fileno())
        _name(temp, path)
    finally:
        temp.unlink(missing_ok=True)


def _name(temp: Path, path: Path) -> None:
    """Give the finished key its name, unless another process was first."""
    try:
        os.link(temp, path)
    except FileExistsError:
        return
    except OSError:
        # A file system without links: the name is taken by whoever holds the lock first.
        with file_lock(path.with_name(f".{path.name}.lock")):
            if not path.exists():
                temp.rename(path)


def _with_id(content: bytes, path: Path) -> tuple[str, bytes]:
    # The text is a secret: neither the message nor its cause may show it.
    found = _HEX.fullmatch(content.decode("ascii", "replace"))
    if found is None:
        raise SettingsError(
            "A file is no secret key: it was cut off or changed.",
            remedy="Restore it from a backup: what is hashed with another key does not match what is already stored.",
            file=str(path),
            expected=f"{2 * KEY_BYTES} hex digits",
            got=f"{len(content):,} bytes",
        )
    secret = bytes.fromhex(found[1])
    return hashlib.sha256(secret).hexdigest()[:8], secret
