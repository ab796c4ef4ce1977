"""From a pattern to the place where its files lie.

Belongs here: which class reaches which kind of place, and how long it may take. Does not belong here: reaching it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ml_data_platform.events.pull_pattern import PullPattern
from ml_data_platform.storage.remote_bucket import Bucket
from ml_data_platform.storage.remote_files import RemotePlace
from ml_data_platform.storage.remote_folder import LocalFolder
from ml_data_platform.storage.remote_web import Web
from ml_data_platform.storage.s3_client import S3Connection, s3_client


@dataclass(frozen=True)
class Reach:
    """How places are reached.

    Attributes:
        root: Folder that relative local paths are taken from.
        s3_endpoint_url: Where S3 answers, other than by AWS's own configuration.
        s3_region_name: Region of the bucket, likewise.
        s3_profile_name: Profile of the AWS configuration that holds credentials, likewise.
        connect_timeout_seconds: Longest wait for a connection.
        read_timeout_seconds: Longest wait for the next bytes.
    """

    root: Path
    s3_endpoint_url: str | None = None
    s3_region_name: str | None = None
    s3_profile_name: str | None = None
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
        return Web(pattern, timeouts_seconds=(reach.connect_timeout_seconds, reach.read_timeout_seconds))
    # One attempt: whoever calls decides what is tried again, for all kinds of places alike.
    connection = S3Connection(
        endpoint_url=reach.s3_endpoint_url,
        region_name=reach.s3_region_name,
        profile_name=reach.s3_profile_name,
        connect_timeout_seconds=reach.connect_timeout_seconds,
        read_timeout_seconds=reach.read_timeout_seconds,
        attempts=1,
    )
    return Bucket(pattern, s3_client(connection))
