"""A real S3 API over HTTP on 127.0.0.1, for tests and benchmarks that need nothing outside of the machine.

moto looks whether a condition holds and stores afterwards, so that of two requests at once both could be told that they
were first. One lock around it makes a request what it is in a real store: one step.

Connections stay open between requests, as those of a real store do.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Any
from unittest import mock

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from ml_data_platform.storage.s3_client import S3Connection, s3_client

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test-key",
    "AWS_SECRET_ACCESS_KEY": "test-secret-that-nobody-must-see",
    "AWS_DEFAULT_REGION": "us-east-1",
    # Nothing of the machine's own configuration, and no look for a role at a network address.
    "AWS_CONFIG_FILE": f"{os.devnull}/none",
    "AWS_SHARED_CREDENTIALS_FILE": f"{os.devnull}/none",
    "AWS_EC2_METADATA_DISABLED": "true",
}


Environ = dict[str, Any]
Serve = Callable[[Environ, Any], list[bytes]]


@dataclass
class S3Server:
    """A server that is running.

    Attributes:
        endpoint_url: Where it answers.
        meddle: Takes each request in place of the server, and what would serve it; for tests of faults.
    """

    endpoint_url: str
    meddle: Callable[[Environ, Any, Serve], list[bytes]] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to reach it."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL_S3": self.endpoint_url}

    def new_bucket(self) -> str:
        """Create an empty bucket; returns its name."""
        name = f"test-{uuid.uuid4().hex[:16]}"
        self.client.create_bucket(Bucket=name)
        return name

    @cached_property
    def client(self) -> Any:
        """A plain client, to look at what is stored without the platform."""
        return s3_client(S3Connection(self.endpoint_url))


def hang_up(environ: Environ, start_response: Any) -> list[bytes]:
    """End the connection of a request without an answer."""
    start_response("200 OK", [])
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    return []


class HttpServer(ThreadedWSGIServer):
    """Serves HTTP/1.1 in threads of this process, on a free port, until it is closed; then it hangs up on everybody."""

    def __init__(self, answer: Callable[[Environ, Any], Iterable[bytes]]) -> None:
        self.connections: set[socket.socket] = set()
        super().__init__("127.0.0.1", 0, answer, handler=_Connection)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_port}"

    def close(self) -> None:
        """Stop serving."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Connection(WSGIRequestHandler):
    """Answers the requests of one connection; werkzeug's own closes it after the first, and waits for more of it."""

    protocol_version = "HTTP/1.1"
    server: HttpServer

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def run_wsgi(self) -> None:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        environ, told = self.make_environ(), []
        # The body comes from the network: a slow sender must hold up nobody else.
        environ["wsgi.input"] = BytesIO(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        body = b"".join(self.server.app(environ, lambda status, headers, *_: told.append((status, headers))))
        status, headers = told[-1]
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        announced = next((int(value) for name, value in headers if name.lower() == "content-length"), None)
        if announced is None and code != "204":
            announced = len(body)
            self.send_header("Content-Length", str(announced))
        self._headers_buffer.append(b"\r\n" + body)
        self.flush_headers()
        if self.command != "HEAD" and len(body) != (announced or 0):
            self.close_connection = True

    def log(self, *_: Any, **__: Any) -> None:
        """Clients that go away are part of the tests."""


@contextmanager
def moto() -> Iterator[Serve]:
    """Give what serves requests from the memory of this process."""
    from moto.server import create_backend_app

    application, one_at_a_time = create_backend_app("s3"), threading.Lock()

    def serve(environ: Environ, start_response: Any) -> list[bytes]:
        with one_at_a_time:
            return list(application(environ, start_response))

    yield serve


@contextmanager
def s3_server(backend: Callable[[], AbstractContextManager[Serve]] = moto) -> Iterator[S3Server]:
    """Run a server in this process, on a free port, with credentials for it in the environment.

    Args:
        backend: Gives what serves its requests.
    """

    def take(environ: Environ, start_response: Any) -> list[bytes]:
        meddle = running.meddle
        return meddle(environ, start_response, serve) if meddle else serve(environ, start_response)

    with backend() as serve:
        server = HttpServer(take)
        running = S3Server(server.url)
        try:
            with mock.patch.dict(os.environ, running.environment):
                yield running
        finally:
            server.close()
