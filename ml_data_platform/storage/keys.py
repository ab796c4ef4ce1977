"""Secret keys that belong to a root.

Belongs here: where the key of the user-id hash comes from, and its public id. Does not belong here: what
is hashed with it.
"""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

from ml_data_platform.errors import SettingsError
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.local_objects import LocalObjectStore

KEY_BYTES = 32
MIN_KEY_BYTES = 16
_OWNER_ONLY = 0o600


def load_or_create_key(root: Path, name: str = "user_id", *, secret_hex: str | None = None) -> tuple[str, bytes]:
    """Return a secret and its public id; generate it on first use.

    The file holds hex, is readable by its owner only, and appears whole: of two processes that start at
    once, both read the same key.

    Args:
        root: Folder of the platform's data; the key lies in ``secrets/<name>.key``.
        name: Name of the key.
        secret_hex: A key to use instead, hex, at least 16 bytes; nothing is stored then.

    Returns:
        The key id (first 8 hex digits of the secret's SHA-256) and the secret.

    Raises:
        SettingsError: The key is not hex, or too short.
    """
    if secret_hex is not None:
        return _with_id(secret_hex, "the setting")
    objects, key = LocalObjectStore(root), Layout.secret_key(name)
    if not objects.exists(key):
        generated = secrets.token_bytes(KEY_BYTES).hex().encode("ascii") + b"\n"
        objects.put_if_absent(key, generated, mode=_OWNER_ONLY)
    return _with_id(objects.read_bytes(key).decode("ascii", "replace"), key)


def _with_id(text: str, where: str) -> tuple[str, bytes]:
    try:
        secret = bytes.fromhex(text.strip())
    except ValueError:
        # The text is a secret: the message and its cause must not show it.
        secret = b""
    if len(secret) < MIN_KEY_BYTES:
        raise SettingsError(
            "A secret key is unusable.",
            remedy="Restore it: ids hashed with another key do not match those already stored.",
            where=where,
            expected=f"at least {MIN_KEY_BYTES} bytes in hex",
        )
    return hashlib.sha256(secret).hexdigest()[:8], secret
