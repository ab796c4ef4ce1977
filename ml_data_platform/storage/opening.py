"""From settings to the store that holds a root.

Belongs here: choosing the medium. Does not belong here: any medium. Clients of S3 are loaded only for a root there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ml_data_platform.locations import S3Location
from ml_data_platform.settings import OWN_SOURCES, Settings
from ml_data_platform.settings_file import SETTINGS_FILE
from ml_data_platform.storage.layout import LEDGER_FOLDER, RAW_FOLDER, STORE
from ml_data_platform.storage.local_objects import LocalObjectStore
from ml_data_platform.storage.object_store import ObjectStore

if TYPE_CHECKING:
    from ml_data_platform.storage.s3_client import S3Connection
    from ml_data_platform.storage.s3_requests import S3Requests

SIGNS_OF_ROOT = (STORE, LEDGER_FOLDER, RAW_FOLDER, SETTINGS_FILE, OWN_SOURCES, "landing", "data", "dagster", "secrets")
"""Names of which a folder that is a root has one at least."""


def open_objects(settings: Settings, connection: S3Connection | None = None) -> ObjectStore:
    """Open the store of a root; nothing is read or written yet.

    Args:
        settings: The settings of the root.
        connection: How its bucket is reached; by default as the settings say.
    """
    if not isinstance(settings.root, S3Location):
        return LocalObjectStore(settings.root)
    from ml_data_platform.storage.s3_objects import S3ObjectStore  # noqa: PLC0415

    return S3ObjectStore(
        settings.root, settings.local_folder, connection or connection_of(settings), cache_bytes=settings.s3_cache_bytes
    )


def open_bucket(location: S3Location, settings: Settings, connection: S3Connection | None = None) -> S3Requests:
    """Open the bucket of a location; reached as the settings say where no connection is given."""
    from ml_data_platform.storage.s3_requests import S3Requests  # noqa: PLC0415

    return S3Requests(location.bucket, connection or connection_of(settings))


def connection_of(settings: Settings) -> S3Connection:
    """Return how buckets are reached as the settings say: those of root, landing folder and pull sources alike."""
    from ml_data_platform.storage.s3_client import S3Connection  # noqa: PLC0415

    return S3Connection(
        endpoint_url=settings.s3_endpoint_url,
        attempts=settings.s3_max_attempts,
        region_name=settings.s3_region_name,
        profile_name=settings.s3_profile_name,
        addressing_style=settings.s3_addressing_style,
    )


def is_root(settings: Settings) -> bool:
    """Tell whether a root was begun in a place: by `init`, by landing, or by laying out a folder for it.

    Raises:
        RootMismatchError: The place in the bucket no longer holds the root that this machine used there.
    """
    if isinstance(settings.root, Path):
        return any((settings.root / name).exists() for name in SIGNS_OF_ROOT)
    objects = open_objects(settings)
    objects.confirm()
    return bool(objects.names(""))
