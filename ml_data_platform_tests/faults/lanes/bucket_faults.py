"""Between clients and a bucket: requests and answers that are lost, late, cut or refused, by chance.

Belongs here: each fault of a request, and how often one strikes. Does not belong here: the requests (`bucket`), and
what must hold after (`bucket_audit`).
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ml_data_platform_tests.s3_server import Environ, Serve, hang_up

Fault = Callable[[Environ, Any, Serve], list[bytes]]

CHANCE_OF_A_FAULT = 0.07
CHANCE_THAT_IT_STAYS = 0.15
TIMEOUT_SECONDS = 0.4
"""What clients wait for an answer."""
ATTEMPTS = 3
"""How often they send a request."""
LATE_SECONDS = 1.0
"""When a late request arrives: its sender has long given up, sent it again, and gone on."""
_LONGEST_QUIET_SECONDS = 60.0


class Meddler:
    """Takes each request to a server, and lets faults strike some of them.

    Attributes:
        is_on: Whether faults strike.
        struck: How often each fault struck, with the method and what kind of key the request named.
        went_back: Files of the view that were replaced by an older generation.
    """

    def __init__(self, seed: int) -> None:
        self.is_on = False
        self.struck: Counter[tuple[str, str, str]] = Counter()
        self.went_back: list[str] = []
        self._chooser = random.Random(seed)
        self._lock, self._order = threading.Lock(), threading.Lock()
        self._under_way = 0
        self._staying: dict[tuple[str, str], tuple[str, int]] = {}
        self._shown: dict[str, int] = {}

    @contextmanager
    def meddling(self) -> Iterator[None]:
        """Let faults strike within the block; after it every late request has arrived."""
        self.is_on = True
        try:
            yield
        finally:
            self.is_on = False
            with self._lock:
                self._staying.clear()
            self._wait_until_quiet()

    def take(self, environ: Environ, start_response: Any, serve: Serve) -> list[bytes]:
        """Take a request in place of the server."""

        def watched(environ: Environ, start_response: Any) -> list[bytes]:
            return self._serve(environ, start_response, serve)

        with self._lock:
            self._under_way += 1
        try:
            fault = self._choose(environ["REQUEST_METHOD"], environ["PATH_INFO"]) if self.is_on else None
            if fault:
                return FAULTS[fault](environ, start_response, watched)
            return watched(environ, start_response)
        finally:
            with self._lock:
                self._under_way -= 1

    def _choose(self, method: str, path: str) -> str | None:
        """Return the fault that strikes a request; a fault may stay for all attempts at one."""
        with self._lock:
            fault, left = self._staying.pop((method, path), (None, 0))
            if fault is None and self._chooser.random() < CHANCE_OF_A_FAULT:
                fault = self._chooser.choice(_OF_WRITES if method == "PUT" else _OF_READS)
                left = ATTEMPTS if self._chooser.random() < CHANCE_THAT_IT_STAYS else 1
            if fault is None:
                return None
            if left > 1:
                self._staying[method, path] = (fault, left - 1)
            self.struck[fault, method, _place(path)] += 1
            return fault

    def _serve(self, environ: Environ, start_response: Any, serve: Serve) -> list[bytes]:
        """Serve a request; note where a file of the view goes back to an older generation."""
        path, told = environ["PATH_INFO"], []

        def listen(status: str, headers: Any, *more: Any) -> Any:
            told.append(status)
            return start_response(status, headers, *more)

        with self._order:
            body = serve(environ, listen)
            if environ["REQUEST_METHOD"] == "PUT" and "/data/" in path and told[0].startswith("200"):
                generation = int(environ["HTTP_X_AMZ_META_GENERATION"])
                if generation < self._shown.get(path, 0):
                    self.went_back.append(f"{path} from {self._shown[path]} to {generation}")
                self._shown[path] = generation
        return body

    def _wait_until_quiet(self) -> None:
        end = time.monotonic() + _LONGEST_QUIET_SECONDS
        while self._under_way:
            assert time.monotonic() < end, f"{self._under_way} requests never ended"
            time.sleep(0.01)


def _place(path: str) -> str:
    """Return what kind of key a path names."""
    return next((part for part in ("log", "objects", "data", "probe") if f"/{part}" in path), "bucket")


def _lose_request(environ: Environ, start_response: Any, _serve: Serve) -> list[bytes]:
    return hang_up(environ, start_response)


def _lose_answer(environ: Environ, start_response: Any, serve: Serve) -> list[bytes]:
    serve(environ, _tell_nobody)
    return hang_up(environ, start_response)


def _delay_request(environ: Environ, start_response: Any, serve: Serve) -> list[bytes]:
    time.sleep(LATE_SECONDS)
    return _lose_answer(environ, start_response, serve)


def _delay_answer(environ: Environ, start_response: Any, serve: Serve) -> list[bytes]:
    serve(environ, _tell_nobody)
    time.sleep(1.5 * TIMEOUT_SECONDS)
    return hang_up(environ, start_response)


def _cut_body(environ: Environ, start_response: Any, serve: Serve) -> list[bytes]:
    """Announce the whole body and send half of it; of an answer without one, nothing."""
    body = b"".join(serve(environ, start_response))
    return [body[: len(body) // 2]] if body else hang_up(environ, lambda *_: None)


def _cut_head(environ: Environ, start_response: Any, serve: Serve) -> list[bytes]:
    """Carry out and send what success begins with, then nothing."""
    told: list[str] = []
    serve(environ, lambda status, *_: told.append(status))
    environ["werkzeug.socket"].sendall(f"HTTP/1.0 {told[0]}\r\nServer: cut".encode())
    return hang_up(environ, start_response)


def _refuse(status: str, code: str, *, after: bool = False) -> Fault:
    """Return what answers with an error: before anything is done, or after it was done."""

    def do(environ: Environ, start_response: Any, serve: Serve) -> list[bytes]:
        if after:
            serve(environ, _tell_nobody)
        body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    return do


def _tell_nobody(*_: Any) -> None:
    """Stand in for what begins an answer."""


FAULTS: dict[str, Fault] = {
    "request lost": _lose_request,
    "answer lost": _lose_answer,
    "request late": _delay_request,
    "answer late": _delay_answer,
    "body cut": _cut_body,
    "head cut": _cut_head,
    "500": _refuse("500 Internal Server Error", "InternalError"),
    "500 after": _refuse("500 Internal Server Error", "InternalError", after=True),
    "503": _refuse("503 Slow Down", "SlowDown"),
    "409": _refuse("409 Conflict", "ConditionalRequestConflict"),
}
_OF_WRITES = tuple(name for name in FAULTS if name != "body cut")
_OF_READS = tuple(name for name in FAULTS if name != "409")
