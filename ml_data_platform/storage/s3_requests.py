"""Requests to one bucket: sent again where that may help, and answered in the platform's words.

Belongs here: retries, the translation of errors, whole answers only. Does not belong here: what is stored under which
key, and the rules of a commit (``s3_objects``).

The client sends a request once and this module decides on the next attempt, because it must know whether there was
one: a condition that fails on a repeated request may have been made to fail by the first, whose answer was lost.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
from urllib3.exceptions import HTTPError

from ml_data_platform.errors import ConditionFailedError, SettingsError, StorageUnavailableError
from ml_data_platform.storage.object_store import Stored
from ml_data_platform.storage.s3_client import S3Connection, s3_client
from ml_data_platform.storage.s3_faults import LASTING_ERRORS, code_of, status_of, unavailable

Answer = TypeVar("Answer")
CHUNK_BYTES = 1 << 20
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 10.0
_PASSING_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_PASSING_CODES = frozenset({"InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown"})
PASSING_ERRORS = (BotoCoreError, HTTPError, ConnectionError, TimeoutError)
# An answer that breaks off within its headers reads as a success that says nothing: a listing as that of an empty bucket.
_ALWAYS_TOLD = {
    "head_object": ("ETag", "ContentLength", "LastModified"),
    "get_object": ("ContentLength",),
    "put_object": ("ETag",),
    "upload_part": ("ETag",),
    "upload_part_copy": ("CopyPartResult",),
    "create_multipart_upload": ("UploadId",),
    "complete_multipart_upload": ("ETag",),
    "list_objects_v2": ("IsTruncated",),
    "list_multipart_uploads": ("IsTruncated",),
}


@dataclass(frozen=True)
class Head:
    """What a store tells of one object: its entity tag, size, time and the metadata it was put with."""

    etag: str
    size_bytes: int
    modified: datetime
    metadata: dict[str, str]


class S3Requests:
    """Requests about the keys of one bucket.

    Args:
        bucket: Its name.
        connection: How the store is reached.
        chance: Returns a number of [0, 1), for the pauses between attempts.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        bucket: str,
        connection: S3Connection,
        *,
        chance: Callable[[], float] = random.random,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.bucket = bucket
        self.attempts = connection.attempts
        self._client = _shared_client(replace(connection, attempts=1))
        self._chance = chance
        self._sleep = sleep

    def head(self, key: str) -> Head | None:
        """Return what the store tells of an object; None where there is none."""
        try:
            found = self.send("head_object", key)
        except FileNotFoundError:
            return None
        return Head(found["ETag"], found["ContentLength"], found["LastModified"], found["Metadata"])

    def get(self, key: str) -> bytes:
        """Return an object's bytes, all of them; raises FileNotFoundError where there is none."""
        return b"".join(self._repeat("get_object", key, lambda: list(self._chunks(key)))[0])

    def get_file(self, key: str, path: Path) -> str:
        """Write an object's bytes to a file; returns their SHA-256, hex."""

        def fetch() -> str:
            digest = hashlib.sha256()
            with path.open("wb") as stream:
                for chunk in self._chunks(key):
                    digest.update(chunk)
                    stream.write(chunk)
            return digest.hexdigest()

        return self._repeat("get_object", key, fetch)[0]

    def digest(self, key: str) -> str:
        """Return the SHA-256 of an object's bytes, hex; raises FileNotFoundError where there is none."""

        def fetch() -> str:
            digest = hashlib.sha256()
            for chunk in self._chunks(key):
                digest.update(chunk)
            return digest.hexdigest()

        return self._repeat("get_object", key, fetch)[0]

    def put(
        self,
        key: str,
        source: bytes | Path,
        metadata: Mapping[str, str] = MappingProxyType({}),
        *,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> str:
        """Store an object in one request; returns its entity tag.

        Args:
            key: Where to.
            source: The bytes, or a file of them.
            metadata: Kept with it.
            if_match: Only where the object has this entity tag.
            if_none_match: ``*``: only where there is no object.

        Raises:
            ConditionFailedError: The condition does not hold.
        """
        conditions = {"IfMatch": if_match, "IfNoneMatch": if_none_match}

        def send() -> str:
            more = {"Metadata": dict(metadata), **{name: tag for name, tag in conditions.items() if tag is not None}}
            if isinstance(source, bytes):
                return str(self.call("put_object", key, Body=source, **more)["ETag"])
            with source.open("rb") as stream:
                return str(self.call("put_object", key, Body=stream, **more)["ETag"])

        return self._repeat("put_object", key, send)[0]

    def listing(self, prefix: str) -> Iterator[tuple[str, Stored]]:
        """Yield every key that begins with ``prefix``, in order, with what a listing tells of it."""
        for page in self._pages(Prefix=prefix):
            for each in page.get("Contents", ()):
                yield each["Key"], Stored(each["Size"], each["LastModified"], each["ETag"])

    def level(self, prefix: str) -> Iterator[tuple[str, Stored | None]]:
        """Yield what follows ``prefix`` up to the next slash: objects, and (with None) what has more below it."""
        for page in self._pages(Prefix=prefix, Delimiter="/"):
            for each in page.get("Contents", ()):
                yield each["Key"].removeprefix(prefix), Stored(each["Size"], each["LastModified"], each["ETag"])
            for each in page.get("CommonPrefixes", ()):
                yield each["Prefix"].removeprefix(prefix).rstrip("/"), None

    def is_empty(self, prefix: str) -> bool:
        """Tell whether no key begins with ``prefix``."""
        return not self.send("list_objects_v2", None, Prefix=prefix, MaxKeys=1).get("Contents")

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens where there is none."""
        self.send("delete_object", key)

    def _pages(self, **asked: str) -> Iterator[dict[str, Any]]:
        more: dict[str, str] = {}
        while True:
            page = self.send("list_objects_v2", None, **asked, **more)
            yield page
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _chunks(self, key: str) -> Iterator[bytes]:
        answer = self.call("get_object", key)
        read = 0
        with closing(answer["Body"]) as body:
            for chunk in body.iter_chunks(CHUNK_BYTES):
                read += len(chunk)
                yield chunk
        if read != answer["ContentLength"]:
            raise ConnectionError(f"{read} of {answer['ContentLength']} bytes arrived")

    def call(self, operation: str, key: str | None, **arguments: Any) -> dict[str, Any]:
        """Send a request once; returns its whole answer, and raises what the client raises."""
        of_key = {} if key is None else {"Key": key}
        answer: dict[str, Any] = getattr(self._client, operation)(Bucket=self.bucket, **of_key, **arguments)
        untold = [name for name in _ALWAYS_TOLD.get(operation, ()) if name not in answer]
        if untold:
            if "Body" in answer:
                answer["Body"].close()
            raise ConnectionError(f"an answer does not tell {untold}")
        return answer

    def send(self, operation: str, key: str | None, **arguments: Any) -> dict[str, Any]:
        """Send a request of an operation as the client names it, again where that may help; returns its answer."""
        return self._repeat(operation, key, lambda: self.call(operation, key, **arguments))[0]

    def _repeat(self, operation: str, key: str | None, send: Callable[[], Answer]) -> tuple[Answer, int]:
        """Return what ``send`` answers, and how often it was sent before."""
        failure: Exception | None = None
        for attempt in range(self.attempts):
            if attempt:
                longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** (attempt - 1))
                self._sleep(longest * self._chance())
            try:
                return send(), attempt
            except ClientError as error:
                failure = error
                if not self._may_pass(error, key, was_repeated=attempt > 0):
                    break
            except (NoCredentialsError, PartialCredentialsError) as error:
                raise SettingsError(
                    "no AWS credentials were found",
                    remedy="Give them as every AWS tool takes them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a "
                    "profile (`s3_profile_name`), or a role of the machine.",
                    bucket=self.bucket,
                ) from error
            except LASTING_ERRORS as error:
                failure = error
                break
            except PASSING_ERRORS as error:
                failure = error
        raise self._unavailable(operation, key, failure, attempt + 1) from None

    def _may_pass(self, error: ClientError, key: str | None, *, was_repeated: bool) -> bool:
        """Tell whether to try again, or raise what the error means."""
        code, status = code_of(error), status_of(error)
        if status == 412:
            raise ConditionFailedError(
                "The condition of a request does not hold.", key=key, was_repeated=was_repeated
            ) from None
        if code == "NoSuchBucket":
            raise SettingsError(
                "there is no such bucket",
                remedy="Create it, or name another; if it held a root, restore it first: it is not begun anew by itself.",
                bucket=self.bucket,
                endpoint=self._client.meta.endpoint_url,
            ) from None
        if status == 404:
            raise FileNotFoundError(2, "There is no such object", f"s3://{self.bucket}/{key}") from None
        return status in _PASSING_STATUS or code in _PASSING_CODES

    def _unavailable(
        self, operation: str, key: str | None, error: Exception | None, attempts: int
    ) -> StorageUnavailableError:
        return unavailable(
            error,
            operation=operation,
            place=f"s3://{self.bucket}/{key or ''}",
            endpoint=self._client.meta.endpoint_url,
            attempts=attempts,
        )


@lru_cache(maxsize=8)
def _shared_client(connection: S3Connection) -> Any:
    # Making one takes half a second, mostly for reading what S3 is.
    return s3_client(connection)
