"""Where files wait to be landed: a folder, or a prefix in a bucket.

Belongs here: looking into it, and having one of its files at hand. Does not belong here: landing
(``stages.landed_files``), telling which files are new.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ml_data_platform.landing.bucket_inbox import BucketInbox
from ml_data_platform.landing.inbox import Inbox, ReadyFile, look_into
from ml_data_platform.locations import S3Location
from ml_data_platform.stages.platform import Platform
from ml_data_platform.storage.opening import open_bucket

FETCHED_FOLDER = "landing_fetched"


def landing_folder(platform: Platform) -> Path:
    """Return the local folder that the paths of waiting files are relative to."""
    landing = platform.settings.landing
    return platform.settings.local_folder / FETCHED_FOLDER if isinstance(landing, S3Location) else landing


def look(platform: Platform, source: str) -> Inbox:
    """Sort the waiting files of a source by whether they may be landed now."""
    bucket = _bucket(platform)
    if bucket is not None:
        return bucket.look_into(source)
    settle_seconds = platform.settings.settle_seconds
    return look_into(landing_folder(platform), source, now=platform.clock(), settle_seconds=settle_seconds)


def top_level(platform: Platform) -> tuple[list[str], list[str]]:
    """Return the names of folders, and of what is no folder, directly in the landing place; hidden ones are left out."""
    bucket = _bucket(platform)
    if bucket is not None:
        return bucket.top()
    landing = landing_folder(platform)
    top = sorted(path for path in landing.iterdir() if not path.name.startswith((".", "_"))) if landing.is_dir() else []
    return [path.name for path in top if path.is_dir()], [path.name for path in top if not path.is_dir()]


@contextmanager
def at_hand(platform: Platform, file: ReadyFile) -> Iterator[Path]:
    """Give a local file with the bytes of a waiting one; what was fetched is removed at the end.

    Raises:
        OSError: It could not be fetched.
    """
    bucket = _bucket(platform)
    if bucket is None:
        yield file.path
        return
    try:
        bucket.fetch(file)
        yield file.path
    finally:
        file.path.unlink(missing_ok=True)
        with suppress(OSError):
            for folder in file.path.parents:
                folder.rmdir()


def _bucket(platform: Platform) -> BucketInbox | None:
    landing = platform.settings.landing
    if not isinstance(landing, S3Location):
        return None
    return BucketInbox(landing, open_bucket(landing, platform.settings, platform.connection), landing_folder(platform))
