"""Secret keys that belong to a root.

Belongs here: where keys come from, and their public ids. Does not belong here: what is hashed with them.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import uuid
from contextlib import suppress
from pathlib import Path

from ml_data_platform.errors import SettingsError
from ml_data_platform.storage.durability import make_folder, sync_folder
from ml_data_platform.storage.layout import check_name
from ml_data_platform.storage.scratch import file_lock

USER_ID, PII, FILE_ID = "user_id", "pii", "file_id"
"""The keys: of user ids, of masks, and of the ids of files whose rows are masked."""
KEY_BYTES = 32
MIN_KEY_BYTES = 16
_OWNER_ONLY = 0o600


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
        SettingsError: The key is not hex, or too short, or can neither be read nor made.
    """
    path = key_path(folder, name)
    try:
        if not path.exists():
            _generate(path)
        _flush_names(path.parent)
        text = path.read_bytes().decode("ascii", "replace")
    except OSError as error:
        raise SettingsError(
            f"A secret key can neither be read nor made: {error.strerror}.",
            remedy="Make the folder writable once, or put the key there: 64 hex digits.",
            file=str(path),
        ) from error
    return _with_id(text, path)


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
    handle = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _OWNER_ONLY)
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


def _with_id(text: str, path: Path) -> tuple[str, bytes]:
    try:
        secret = bytes.fromhex(text.strip())
    except ValueError:
        # The text is a secret: the message and its cause must not show it.
        secret = b""
    if len(secret) < MIN_KEY_BYTES:
        raise SettingsError(
            "A secret key is unusable.",
            remedy="Restore it: what is hashed with another key does not match what is already stored.",
            file=str(path),
            expected=f"at least {MIN_KEY_BYTES} bytes in hex",
        )
    return hashlib.sha256(secret).hexdigest()[:8], secret
