"""Objects of an S3 bucket, found by a pattern.

Belongs here: listing a bucket no wider than the pattern asks, and reading one version of an object. Does not belong
here: how a client is made (``s3_client``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from ml_data_platform.errors import RemoteFileError, RemoteFileRefusedError
from ml_data_platform.events.pull_pattern import ANY_FOLDERS, PullPattern, is_wild, segment_regex
from ml_data_platform.storage.remote_files import (
    CHUNK_BYTES,
    RemoteFile,
    Write,
    changed,
    check_length,
    is_final_name,
    plain_name,
    unreachable,
)

_MD5 = re.compile(r'"[0-9a-f]{32}"')
_ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})
_KEYS_OF_OTHERS = frozenset({"aws:kms", "aws:kms:dsse"})


class Bucket:
    """The bucket of a pattern.

    Args:
        pattern: A pattern of scheme s3.
        client: A client that does not retry: who calls does.
    """

    def __init__(self, pattern: PullPattern, client: Any) -> None:
        self.address, self.base, self.client = pattern.authority, pattern.base, client
        self.bucket = pattern.authority.removeprefix("s3://").rstrip("/")
        self._not_md5: dict[str, str] = {}

    def find(self, segments: Sequence[str]) -> list[RemoteFile]:
        """Return the objects that a path below the base stands for, by key."""
        top = f"{self.base}/" if self.base else ""
        found: dict[str, RemoteFile] = {}
        where = f"{self.address}{top}{'/'.join(segments)}"
        try:
            if any(is_wild(segment) for segment in segments):
                found = {key: self._described(key, facts) for key, facts in self._walk(top, tuple(segments))}
            elif (exact := self._head(top + "/".join(segments))) is not None:
                found[exact.location] = exact
        except (BotoCoreError, ClientError) as error:
            raise _unreachable(where, error) from error
        return [found[key] for key in sorted(found)]

    def look_again(self, file: RemoteFile) -> RemoteFile | None:
        """Return an object as it is now; None where it is gone."""
        try:
            return self._head(self._key(file))
        except (BotoCoreError, ClientError) as error:
            raise _unreachable(file.location, error) from error

    def fetch(self, file: RemoteFile, write: Write) -> None:
        """Hand on an object's bytes; S3 sends those of one version."""
        etag = file.version.removeprefix("etag:")
        condition = {"IfMatch": etag} if file.version.startswith("etag:") else {}
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=self._key(file), **condition)
            if (sent := _version(answer, answer.get("ContentLength"))) != file.version:
                raise changed(file, sent)
            digest, size = hashlib.md5(usedforsecurity=False), 0
            with answer["Body"] as body:
                while data := body.read(CHUNK_BYTES):
                    digest.update(data)
                    write(data)
                    size += len(data)
        except (BotoCoreError, ClientError) as error:
            if isinstance(error, ClientError) and _status(error) == "412":
                raise changed(file, "another etag") from error
            raise _unreachable(file.location, error) from error
        check_length(file, answer.get("ContentLength"), size)
        if _MD5.fullmatch(etag) and answer.get("ServerSideEncryption") not in _KEYS_OF_OTHERS:
            self._check_etag(file, etag.strip('"'), digest.hexdigest())

    def _check_etag(self, file: RemoteFile, etag: str, got: str) -> None:
        """Compare the hash of what came with an etag that is the hash of what is stored.

        Some stores make up etags that only look like one: bytes that come twice the same are believed.
        """
        if etag != got and self._not_md5.get(file.location) != got:
            self._not_md5[file.location] = got
            raise RemoteFileError("its bytes are not those of its etag", file=file.location, expected=etag, got=got)

    def _walk(self, prefix: str, segments: tuple[str, ...]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Descend along the segments; a folder is listed only where the segment before it matched."""
        fixed = next((at for at, segment in enumerate(segments) if is_wild(segment)), len(segments))
        if fixed == len(segments):
            wanted = prefix + "/".join(segments)
            yield from ((key, facts) for key, facts in self._objects(wanted, "") if key == wanted)
            return
        prefix += "".join(f"{segment}/" for segment in segments[:fixed])
        segment, rest = segments[fixed], segments[fixed + 1 :]
        if segment == ANY_FOLDERS:
            below = _path_regex(segments[fixed:])
            for key, facts in self._objects(prefix, ""):
                if below.fullmatch(key[len(prefix) :]) and all(map(is_final_name, key[len(prefix) :].split("/"))):
                    yield key, facts
            return
        matching = segment_regex(segment)
        begins = prefix + re.split(r"[*?]", segment, maxsplit=1)[0]
        for key, facts in self._objects(begins, "/"):
            name = key[len(prefix) :].rstrip("/")
            if not matching.fullmatch(name) or not is_final_name(name) or key.endswith("/") != bool(rest):
                continue
            if rest:
                yield from self._walk(key, rest)
            else:
                yield key, facts

    def _objects(self, prefix: str, delimiter: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        pages = self.client.get_paginator("list_objects_v2")
        only_here = {"Delimiter": delimiter} if delimiter else {}
        for page in pages.paginate(Bucket=self.bucket, Prefix=prefix, **only_here):
            yield from ((each["Prefix"], each) for each in page.get("CommonPrefixes", ()))
            yield from ((each["Key"], each) for each in page.get("Contents", ()))

    def _head(self, key: str) -> RemoteFile | None:
        try:
            return self._described(key, self.client.head_object(Bucket=self.bucket, Key=key))
        except ClientError as error:
            if _status(error) in _ABSENT:
                return None
            raise

    def _described(self, key: str, facts: Mapping[str, Any]) -> RemoteFile:
        size = facts.get("Size", facts.get("ContentLength"))
        below = key[len(self.base) + 1 :] if self.base else key
        return RemoteFile(f"{self.address}{key}", plain_name(below), size, _version(facts, size))

    def _key(self, file: RemoteFile) -> str:
        return file.location.removeprefix(self.address)


def _version(facts: Mapping[str, Any], size: int | None) -> str:
    etag = facts.get("ETag")
    return f"etag:{etag}" if etag else f"size:{size};time:{facts.get('LastModified')}"


def _path_regex(segments: Sequence[str]) -> re.Pattern[str]:
    parts = ("(?:[^/]+/)*" if part == ANY_FOLDERS else f"{_one(part)}/" for part in segments[:-1])
    return re.compile("".join(parts) + _one(segments[-1]), re.DOTALL)


def _one(segment: str) -> str:
    return "".join("[^/]*" if char == "*" else "[^/]" if char == "?" else re.escape(char) for char in segment)


def _status(error: ClientError) -> str:
    code = str(error.response.get("Error", {}).get("Code", ""))
    return code if code in _ABSENT else str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", code))


def _unreachable(where: str, error: BotoCoreError | ClientError) -> RemoteFileError:
    if isinstance(error, NoCredentialsError):
        return RemoteFileRefusedError(
            "there are no AWS credentials",
            remedy="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.",
            file=where,
        )
    if not isinstance(error, ClientError):
        return unreachable(where, f"{type(error).__name__}: {error}")
    said = error.response.get("Error", {})
    if said.get("Code") == "NoSuchBucket":
        return RemoteFileRefusedError("there is no such bucket", file=where)
    return unreachable(where, f"S3 answered {_status(error)} {said.get('Code', '')}: {said.get('Message', '')}")
