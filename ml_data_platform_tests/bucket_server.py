"""An S3 server over HTTP with the faults of real ones, in front of moto.

Belongs here: counting requests, and misbehaving when told to. Does not belong here: what is asserted about it.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from moto.server import create_backend_app

from ml_data_platform.storage.s3_client import S3Connection, s3_client
from ml_data_platform_tests.s3_server import HttpServer

BUCKET = "exports"
SECRET = "hunter2-not-to-be-seen-anywhere"
Answer = Callable[..., Iterable[bytes]]
Fault = Callable[["BucketServer", dict[str, Any], Answer, Any], Iterable[bytes]]


class BucketServer:
    """One bucket.

    Attributes:
        requests: Method and path of each request that tests did not send themselves.
        faults: Method and path to the faults of the next requests, each used once.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self.faults: dict[tuple[str, str], deque[Fault]] = defaultdict(deque)
        self._moto = create_backend_app("s3")
        self._lock = threading.Lock()
        self._server = HttpServer(self._answer)
        self.url = self._server.url
        self.client = s3_client(S3Connection(self.url))
        self.client.create_bucket(Bucket=BUCKET)

    def close(self) -> None:
        """Stop serving."""
        self._server.close()

    def put(self, key: str, content: bytes) -> None:
        """Store an object."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def clear(self) -> None:
        """Remove all objects, faults and notes of requests."""
        for each in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
            self.client.delete_object(Bucket=BUCKET, Key=each["Key"])
        self.faults.clear()
        self.requests.clear()

    def fail(self, key: str, *faults: Fault, method: str = "GET") -> None:
        """Let the next requests of an object, or with an empty key listings, meet these faults."""
        self.faults[method, f"/{BUCKET}{f'/{key}' if key else ''}"].extend(faults)

    def asked(self, method: str) -> list[str]:
        """Return the keys that were asked for by a method; listings are empty keys."""
        return [path.removeprefix(f"/{BUCKET}").lstrip("/") for done, path in self.requests if done == method]

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        asked = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        with self._lock:
            self.requests.append(asked)
            fault = self.faults[asked].popleft() if self.faults[asked] else None
        if fault is not None:
            return fault(self, environ, self._moto, start_response)
        return self._moto(environ, start_response)


def refused(code: str) -> Fault:
    """Answer with a status."""

    def fault(_server: BucketServer, _environ: Any, _moto: Answer, start_response: Any) -> Iterable[bytes]:
        start_response(code, [("Content-Length", "0")])
        return []

    return fault


def cut(_server: BucketServer, environ: Any, moto: Answer, start_response: Any) -> Iterator[bytes]:
    """Announce all, send half."""
    content = b"".join(moto(environ, start_response))
    yield content[: len(content) // 2]


def garbled(_server: BucketServer, environ: Any, moto: Answer, start_response: Any) -> Iterable[bytes]:
    """Send other bytes than those that are stored, of the same length."""
    content = b"".join(moto(environ, start_response))
    return [content[:-1][::-1] + content[-1:]]


def replaced(key: str, new: bytes) -> Fault:
    """Let another content take the object's place just before it is sent."""

    def fault(server: BucketServer, environ: Any, moto: Answer, start_response: Any) -> Iterable[bytes]:
        server.put(key, new)
        return moto(environ, start_response)

    return fault


@contextmanager
def serving_bucket() -> Iterator[BucketServer]:
    """Serve one empty bucket, with credentials for it in the environment, while the block runs."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        server = BucketServer()
        try:
            yield server
        finally:
            server.clear()
            server.client.delete_bucket(Bucket=BUCKET)
            server.close()
