"""A web server with files and with the faults of real ones.

Belongs here: serving bytes with etags over real sockets, misbehaving when told to, and noting each request. Does not
belong here: what is asserted about it.
"""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Fault = Callable[["Handler"], bool]
"""Does something instead of answering, or before; returns whether that was the answer."""


class FileServer(ThreadingHTTPServer):
    """Serves `files` (path to bytes) on 127.0.0.1.

    Attributes:
        files: What is served.
        headers: Path to further headers.
        faults: Method and path to the faults of the next requests, each used once.
        requests: Method and path of each request, in the order in which they came.
        has_etags: Whether answers have an etag; else they have a time of change.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = defaultdict(dict)
        self.faults: dict[tuple[str, str], deque[Fault]] = defaultdict(deque)
        self.requests: list[tuple[str, str]] = []
        self.has_etags = True
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """Where it answers, without a slash at the end."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fail(self, path: str, *faults: Fault, method: str = "GET") -> None:
        """Let the next requests of a file meet these faults, one each."""
        self.faults[method, path].extend(faults)

    def asked(self, method: str) -> list[str]:
        """Return the paths that were asked for by a method."""
        return [path for done, path in self.requests if done == method]

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent: clients that go away are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: FileServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the parent
        """Stay silent."""

    def _answer(self) -> None:
        with self.server.lock:
            self.server.requests.append((self.command, self.path))
            queue = self.server.faults[self.command, self.path]
            fault = queue.popleft() if queue else None
        if fault is not None and fault(self):
            return
        content = self.server.files.get(self.path)
        if content is None:
            self.answer(404, b"")
        elif self.headers.get("If-Match") not in {None, etag(content)}:
            self.answer(412, b"")
        else:
            self.answer(200, content)

    def start(self, status: int, content: bytes) -> None:
        """Send the head of an answer."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if status == 200:
            if self.server.has_etags:
                self.send_header("ETag", etag(content))
            else:
                self.send_header("Last-Modified", "Mon, 01 Jun 2026 00:00:00 GMT")
            for name, value in self.server.headers[self.path].items():
                self.send_header(name, value)
        self.end_headers()

    def answer(self, status: int, content: bytes) -> None:
        """Send a whole answer."""
        self.start(status, content)
        if self.command == "GET":
            self.wfile.write(content)


def etag(content: bytes) -> str:
    """Return an etag that is no hash that S3 would use."""
    return f'"{hashlib.sha256(content).hexdigest()[:20]}"'


def status(code: int, **headers: str) -> Fault:
    """Answer with a status."""

    def fault(handler: Handler) -> bool:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    return fault


def cut(handler: Handler) -> bool:
    """Announce all, send half, and drop the connection."""
    content = handler.server.files[handler.path]
    handler.start(200, content)
    handler.wfile.write(content[: len(content) // 2])
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True
    return True


def change_to(new: bytes) -> Fault:
    """Begin with the old bytes, and replace the file before the last of them is sent."""

    def fault(handler: Handler) -> bool:
        content = handler.server.files[handler.path]
        handler.start(200, content)
        handler.wfile.write(content[: len(content) // 2])
        handler.wfile.flush()
        handler.server.files[handler.path] = new
        handler.wfile.write(content[len(content) // 2 :])
        return True

    return fault


def slow(seconds: float) -> Fault:
    """Wait before the answer."""

    def fault(_handler: Handler) -> bool:
        time.sleep(seconds)
        return False

    return fault


@contextmanager
def serving() -> Iterator[FileServer]:
    """Serve while the block runs."""
    server = FileServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
