"""A real S3 API over HTTP on 127.0.0.1, for tests and benchmarks that need nothing outside of the machine.

moto looks whether a condition holds and stores afterwards, so that of two requests at once both could be told that they
were first. One lock around it makes a request what it is in a real store: one step.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Any
from unittest import mock

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


@contextmanager
def moto() -> Iterator[Serve]:
    """Give what serves requests from the memory of this process."""
    from moto.server import DomainDispatcherApplication, create_backend_app

    application, one_at_a_time = DomainDispatcherApplication(create_backend_app), threading.Lock()

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
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)

    def take(environ: Environ, start_response: Any) -> list[bytes]:
        # The body comes from the network: a slow sender must hold up nobody else.
        environ["wsgi.input"] = BytesIO(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        meddle = running.meddle
        return meddle(environ, start_response, serve) if meddle else serve(environ, start_response)

    with backend() as serve:
        server = make_server("127.0.0.1", 0, take, threaded=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        running = S3Server(f"http://127.0.0.1:{server.server_port}")
        try:
            with mock.patch.dict(os.environ, running.environment):
                yield running
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
