"""Files behind https, one by one, since HTTP lists nothing.

Belongs here: asking whether a file is there, and reading its bytes as they are stored. Does not belong here: how
often it is tried (``remote_files``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from ml_data_platform.errors import RemoteFileRefusedError
from ml_data_platform.events.pull_pattern import LOOPBACK, PullPattern
from ml_data_platform.storage.remote_files import (
    CHUNK_BYTES,
    RemoteFile,
    Write,
    changed,
    check_length,
    plain_name,
    unreachable,
)

MAX_REDIRECTS = 5
_ABSENT = frozenset({404, 410})
_NO_HEAD = frozenset({403, 405, 501})
# Bytes are landed as they are stored: nobody on the way may compress them, and nothing here unpacks them.
_AS_STORED = {"Accept-Encoding": "identity"}
_BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)


class Web:
    """The files of a pattern behind https, or plain http of this machine itself.

    Credentials are those of ``~/.netrc`` for the host, as for other tools.

    Args:
        pattern: A pattern of scheme http.
        timeouts_seconds: Longest wait for a connection, and for the next bytes.
        stall_seconds: A transfer that brought less than a mebibyte in such a time is given up.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        pattern: PullPattern,
        *,
        timeouts_seconds: tuple[float, float] = (10.0, 60.0),
        stall_seconds: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.address = f"{pattern.address().rstrip('/')}/"
        self.timeouts, self.stall_seconds, self.clock = timeouts_seconds, stall_seconds, clock
        self.session = requests.Session()
        self.session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("https://", "http://"):
            self.session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=32))

    def find(self, segments: Sequence[str]) -> list[RemoteFile]:
        """Return the one file of a path below the base, where it is there."""
        found = self._head(self.address + "/".join(segments))
        return [] if found is None else [found]

    def look_again(self, file: RemoteFile) -> RemoteFile | None:
        """Return a file as it is now; None where it is gone."""
        return self._head(file.location)

    def fetch(self, file: RemoteFile, write: Write) -> None:
        """Hand on a file's bytes; its etag is compared before and after."""
        size = 0
        etag = file.version.removeprefix("etag:")
        is_strong = file.version.startswith("etag:") and not etag.startswith("W/")
        with self._asked("GET", file.location, {"If-Match": etag} if is_strong else {}) as answer:
            if answer.status_code == 412:
                raise changed(file, "another etag")
            _require_success(answer, file.location)
            if (sent := _described(self.address, file.location, answer.headers).version) != file.version:
                raise changed(file, sent)
            for data in self._chunks(answer, file.location):
                write(data)
                size += len(data)
        check_length(file, _length(answer.headers), size)
        after = self._head(file.location)
        if after is None or after.version != file.version:
            raise changed(file, after.version if after else "gone")

    def _chunks(self, answer: requests.Response, where: str) -> Iterator[bytes]:
        """Yield the bytes of the answer as they came; a transfer that crawls is given up."""
        began, brought = self.clock(), 0
        while True:
            try:
                # Returns with what is there: a read of a whole chunk would wait for a crawling server for hours.
                data = answer.raw.read1(CHUNK_BYTES, decode_content=False)
            except _BROKEN as error:
                raise unreachable(where, _kind(error)) from error
            if not data:
                return
            yield data
            brought += len(data)
            if self.clock() - began > self.stall_seconds:
                if brought < CHUNK_BYTES:
                    raise unreachable(where, f"less than 1 MiB came in {self.stall_seconds:g} seconds")
                began, brought = self.clock(), 0

    def _head(self, url: str) -> RemoteFile | None:
        for method in ("HEAD", "GET"):
            with self._asked(method, url, {}) as answer:
                if answer.status_code in _ABSENT:
                    return None
                if method == "HEAD" and answer.status_code in _NO_HEAD:
                    continue  # some servers answer only what a reader would ask
                _require_success(answer, url)
                return _described(self.address, url, answer.headers)
        raise AssertionError  # GET answers or raises

    @contextmanager
    def _asked(self, method: str, url: str, headers: Mapping[str, str]) -> Iterator[requests.Response]:
        """Send a request, follow redirects to places as safe, and close the answer at the end."""
        target = url
        for _ in range(MAX_REDIRECTS + 1):
            try:
                answer = self.session.request(
                    method,
                    target,
                    headers={**_AS_STORED, **headers},
                    stream=True,
                    allow_redirects=False,
                    timeout=self.timeouts,
                )
            except _BROKEN as error:
                raise unreachable(url, _kind(error)) from error
            if not answer.is_redirect:
                with answer:
                    yield answer
                return
            answer.close()
            target = _safe_redirect(target, answer.headers["Location"], url)
        raise unreachable(url, f"more than {MAX_REDIRECTS} redirects")


def _safe_redirect(current: str, location: str, url: str) -> str:
    """Return where a redirect leads; the text of its address may hold a signature and is not repeated."""
    try:
        target = urljoin(current, location)
        parts = urlsplit(target)
        host = parts.hostname
    except ValueError as error:
        raise unreachable(url, "it redirects to what is no address") from error
    is_local = parts.scheme == "http" and host in LOOPBACK and urlsplit(current).hostname in LOOPBACK
    if parts.scheme != "https" and not is_local:
        raise RemoteFileRefusedError("it redirects to an address that is not encrypted", file=url, to=host)
    return target


def _require_success(answer: requests.Response, url: str) -> None:
    if answer.status_code != requests.codes.ok:
        error = unreachable(url, f"the server answered {answer.status_code} {answer.reason}")
        wished = answer.headers.get("Retry-After", "")
        if wished.isascii() and wished.isdigit():
            error.facts["retry_after_seconds"] = float(wished)
        raise error


def _described(address: str, url: str, headers: Mapping[str, Any]) -> RemoteFile:
    etag, size = headers.get("ETag"), _length(headers)
    version = f"etag:{etag}" if etag else f"size:{size};time:{headers.get('Last-Modified')}"
    return RemoteFile(url, plain_name(url.removeprefix(address)), size, version)


def _length(headers: Mapping[str, Any]) -> int | None:
    text = str(headers.get("Content-Length", ""))
    return int(text) if text.isascii() and text.isdigit() else None


def _kind(error: Exception) -> str:
    """Return what went wrong, without addresses: requests puts the whole URL of a redirect into its texts."""
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return f"no encrypted connection: {error}"
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return "the connection was cut"
    return f"no connection ({type(error).__name__})"
