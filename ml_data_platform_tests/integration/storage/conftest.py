"""One suite for every medium: what storage promises is the same on a disk and in a bucket."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ml_data_platform.locations import S3Location
from ml_data_platform.storage.local_objects import LocalObjectStore
from ml_data_platform.storage.object_store import ObjectStore

if TYPE_CHECKING:
    from ml_data_platform_tests.s3_server import S3Server


@pytest.fixture(params=["local", "s3"])
def medium(request: pytest.FixtureRequest) -> str:
    """The medium of a test."""
    return str(request.param)


@pytest.fixture
def objects(medium: str, tmp_path: Path, request: pytest.FixtureRequest) -> ObjectStore:
    """An empty store on the medium."""
    if medium == "local":
        return LocalObjectStore(tmp_path / "root")
    return s3_objects(request.getfixturevalue("s3"), tmp_path / "home")


def s3_objects(server: S3Server, home: Path, bucket: str | None = None, **facts: object) -> ObjectStore:
    """Return a store below a prefix of a bucket, by default a new one."""
    from ml_data_platform.storage.s3_client import S3Connection
    from ml_data_platform.storage.s3_objects import S3ObjectStore

    place = S3Location(bucket or server.new_bucket(), "some/prefix")
    return S3ObjectStore(place, home, S3Connection(server.endpoint_url), **facts)
