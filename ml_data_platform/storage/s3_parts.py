"""Objects of a bucket that are sent or copied in parts, because one request does not take them.

Belongs here: uploads in parts, and the entity tags that come of them. Does not belong here: sending a request
(``s3_requests``), and which object goes which way (``s3_objects``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from ml_data_platform.storage.s3_requests import PASSING_ERRORS, Head, S3Requests

PART_BYTES = 16 << 20
"""Larger files are sent in parts of this size: what is lost on the way is sent again, not the whole."""
COPIED_PART_BYTES = 1 << 30
"""The store copies its own bytes; a part may have 5 GB, and many take long enough to fail on the way."""


class S3Parts:
    """Uploads in parts to one bucket.

    Args:
        requests: Requests to it.
    """

    def __init__(self, requests: S3Requests) -> None:
        self._requests = requests

    def put(self, key: str, source: Path, metadata: dict[str, str]) -> str:
        """Store a large file in parts, without a condition; returns its entity tag."""
        upload = self._requests.send("create_multipart_upload", key, Metadata=metadata)["UploadId"]
        parts: list[dict[str, Any]] = []
        try:
            with source.open("rb") as stream:
                while data := stream.read(PART_BYTES):
                    number = len(parts) + 1
                    sent = self._requests.send("upload_part", key, UploadId=upload, PartNumber=number, Body=data)
                    parts.append({"PartNumber": number, "ETag": sent["ETag"]})
            return self._complete(key, upload, parts, metadata)
        except BaseException:
            self.abort(key, upload)
            raise

    def _complete(self, key: str, upload: str, parts: list[dict[str, Any]], metadata: dict[str, str]) -> str:
        try:
            answer = self._requests.send(
                "complete_multipart_upload", key, UploadId=upload, MultipartUpload={"Parts": parts}
            )
        except FileNotFoundError:
            # An upload that has ended is not known any more: the first answer was lost.
            there = self._requests.head(key)
            if there is None or there.metadata != metadata:
                raise
            return there.etag
        return str(answer["ETag"])

    def copy(
        self,
        source: str,
        there: Head,
        key: str,
        metadata: dict[str, str],
        *,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> str:
        """Store what another key holds under a key, in parts that the store copies itself; returns its entity tag.

        Args:
            source: The other key.
            there: What the store tells of it; that very version is copied.
            key: Where to.
            metadata: Kept with it.
            if_match: Only where the object has this entity tag when all parts are there.
            if_none_match: ``*``: only where there is no object then. Some stores heed neither in this request.

        Raises:
            ConditionFailedError: The condition does not hold, or the other key holds another version.
        """
        conditions = {"IfMatch": if_match, "IfNoneMatch": if_none_match}
        upload = self._requests.send("create_multipart_upload", key, Metadata=metadata)["UploadId"]
        parts: list[dict[str, Any]] = []
        try:
            for start in range(0, there.size_bytes, COPIED_PART_BYTES):
                end = min(start + COPIED_PART_BYTES, there.size_bytes) - 1
                copied = self._requests.send(
                    "upload_part_copy",
                    key,
                    UploadId=upload,
                    PartNumber=len(parts) + 1,
                    CopySource={"Bucket": self._requests.bucket, "Key": source},
                    CopySourceIfMatch=there.etag,
                    CopySourceRange=f"bytes={start}-{end}",
                )
                parts.append({"PartNumber": len(parts) + 1, "ETag": copied["CopyPartResult"]["ETag"]})
            answer = self._requests.send(
                "complete_multipart_upload",
                key,
                UploadId=upload,
                MultipartUpload={"Parts": parts},
                **{name: tag for name, tag in conditions.items() if tag is not None},
            )
        except BaseException:
            self.abort(key, upload)
            raise
        return str(answer["ETag"])

    def abort(self, key: str, upload: str) -> None:
        """Remove the parts of an upload; nothing happens where it ended, or where the store cannot be reached."""
        try:
            self._requests.call("abort_multipart_upload", key, UploadId=upload)
        except (ClientError, *PASSING_ERRORS):
            return

    def uploads(self, prefix: str) -> Iterator[tuple[str, str, datetime]]:
        """Yield the key, id and beginning of every upload in parts below ``prefix`` that has not ended."""
        markers: dict[str, str] = {}
        while True:
            page = self._requests.send("list_multipart_uploads", None, Prefix=prefix, **markers)
            for each in page.get("Uploads", ()):
                yield each["Key"], each["UploadId"], each["Initiated"]
            if not page.get("IsTruncated"):
                return
            markers = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


def expected_etag(source: bytes | Path, *, in_parts: bool = False) -> str:
    """Return the entity tag that a store gives to bytes which it keeps as they are (with its own keys it gives others)."""
    whole = hashlib.md5(usedforsecurity=False)
    if isinstance(source, bytes):
        whole.update(source)
        return f'"{whole.hexdigest()}"'
    parts = []
    with source.open("rb") as stream:
        while data := stream.read(PART_BYTES):
            whole.update(data)
            if in_parts:
                parts.append(hashlib.md5(data, usedforsecurity=False).digest())
    if not in_parts:
        return f'"{whole.hexdigest()}"'
    return f'"{hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()}-{len(parts)}"'
