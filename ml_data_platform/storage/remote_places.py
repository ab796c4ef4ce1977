"""From a pattern to the place where its files lie.

Belongs here: which class reaches which kind of place, and how long it may take. Does not belong here: reaching it; clients of the web
and of S3 are loaded only for a place there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ml_data_platform.events.pull_pattern import PullPattern
from ml_data_platform.storage.remote_files import RemotePlace
from ml_data_platform.storage.remote_folder import LocalFolder

if TYPE_CHECKING:
    from ml_data_platform.storage.s3_client import S3Connection


@dataclass(frozen=True)
class Reach:
    """How places are reached.

    Attributes:
        root: Folder that relative local paths are taken from.
        connection: How buckets are reached; its attempts and timeouts are those of a pull, see below.
        connect_timeout_seconds: Longest wait for a connection.
        read_timeout_seconds: Longest wait for the next bytes.
    """

    root: Path
    connection: S3Connection | None = None
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 60.0


def open_place(pattern: PullPattern, reach: Reach) -> RemotePlace:
    """Return the place of a pattern; nothing is asked yet, and threads may share it.

    Raises:
        SettingsError: The S3 endpoint cannot be used.
    """
    if pattern.scheme == "local":
        return LocalFolder(pattern, reach.root)
    if pattern.scheme == "http":
        from ml_data_platform.storage.remote_web import Web  # noqa: PLC0415

        return Web(pattern, timeouts_seconds=(reach.connect_timeout_seconds, reach.read_timeout_seconds))
    from ml_data_platform.storage.remote_bucket import Bucket  # noqa: PLC0415
    from ml_data_platform.storage.s3_client import S3Connection, s3_client  # noqa: PLC0415

    connection = replace(
        reach.connection or S3Connection(),
        connect_timeout_seconds=reach.connect_timeout_seconds,
        read_timeout_seconds=reach.read_timeout_seconds,
        # One attempt: whoever calls decides what is tried again, for all kinds of places alike.
        attempts=1,
    )
    return Bucket(pattern, s3_client(connection))
