"""The secret keys of one root.

Belongs here: which keys a root needs, and that all machines that use one root have the same. Does not belong here:
making and reading a key's file (``storage.keys``).

Keys lie in a folder of the machine, ``<root>/secrets`` unless a setting names another, and are never uploaded: of a
root in a bucket the bucket holds their ids only, so that a machine without the keys is noticed before it makes others.
"""

from __future__ import annotations

import json

from ml_data_platform.errors import SettingsError
from ml_data_platform.events.ids import IdKey
from ml_data_platform.landing.masking import MaskingKeys
from ml_data_platform.locations import S3Location
from ml_data_platform.settings import Settings
from ml_data_platform.storage.keys import FILE_ID, PII, USER_ID, key_path, load_or_create_key
from ml_data_platform.storage.layout import KEY_ID_KEY, KEY_IDS_FOLDER
from ml_data_platform.storage.object_store import ObjectStore
from ml_data_platform.storage.records import canonical_json


def load_id_key(settings: Settings, objects: ObjectStore) -> IdKey:
    """Return the key of the user ids, made on first use.

    Raises:
        SettingsError: This machine has none, or another than the root.
    """
    folder = settings.secrets_folder
    if not isinstance(settings.root, S3Location):
        return IdKey(*load_or_create_key(folder))
    bound = _bound_key(objects)
    has_key = key_path(folder, USER_ID).exists() or bound is None
    key_id, secret = load_or_create_key(folder) if has_key else ("none", b"")
    if bound is None:
        objects.put_if_absent(KEY_ID_KEY, canonical_json({"key_id": key_id}))
        bound = _bound_key(objects)
    if bound != key_id:
        raise _lacking(settings, USER_ID, "user ids of this root are hashed", bound, key_id)
    return IdKey(key_id, secret)


def load_masking_keys(settings: Settings, objects: ObjectStore) -> MaskingKeys:
    """Return the keys of the masks, made on first use.

    The key of the masks may be changed, see the README; the one that files are recognised by may not.

    Raises:
        SettingsError: This machine has none, and another has made one; or it has another to recognise files by.
    """
    found = {}
    for name, what in ((PII, "masks of this root are made"), (FILE_ID, "files of this root are recognised")):
        noted = sorted(objects.names(f"{KEY_IDS_FOLDER}/{name}")) if isinstance(settings.root, S3Location) else []
        has_key = key_path(settings.secrets_folder, name).exists()
        if noted and not has_key:
            raise _lacking(settings, name, what, ", ".join(noted), None)
        found[name] = load_or_create_key(settings.secrets_folder, name)
        key_id = found[name][0]
        if noted and name == FILE_ID and key_id not in noted:
            raise _lacking(settings, name, what, ", ".join(noted), key_id)
        if isinstance(settings.root, S3Location) and key_id not in noted:
            objects.put_if_absent(f"{KEY_IDS_FOLDER}/{name}/{key_id}", b"{}")
    return MaskingKeys(*found[PII], found[FILE_ID][1])


def _bound_key(objects: ObjectStore) -> str | None:
    try:
        return str(json.loads(objects.read_bytes(KEY_ID_KEY))["key_id"])
    except FileNotFoundError:
        return None


def _lacking(settings: Settings, name: str, what: str, expected: str | None, got: str | None) -> SettingsError:
    path = key_path(settings.secrets_folder, name)
    return SettingsError(
        f"{what} with a key that this machine does not have",
        remedy=f"Copy {path} from a machine that uses the root, readable by its owner only; it is never uploaded.",
        root=str(settings.root),
        expected=expected,
        got=got,
    )
