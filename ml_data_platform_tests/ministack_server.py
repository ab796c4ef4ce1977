"""A second S3 API over HTTP, of other authors than moto, in a process and an environment of its own.

Belongs here: finding and starting it, on 127.0.0.1 alone, and passing requests on. Does not belong here: faults. It is
installed by ``make ministack``, never with the platform; the variable ``MINISTACK`` may name its command.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.util import is_hop_by_hop

from ml_data_platform_tests.s3_server import CREDENTIALS, Environ, Serve

INSTALLED = Path(__file__).parents[1] / ".ministack/bin/ministack"
HOST = "127.0.0.1"
START_SECONDS = 300
STOP_SECONDS = 300
_LISTENING = "0A"


def command(environment: Mapping[str, str]) -> Path:
    """Return where its command is, whether it is there or not."""
    return Path(environment.get("MINISTACK") or INSTALLED)


def missing_ministack() -> str | None:
    """Say why it cannot run here; None where it can."""
    return None if command(os.environ).is_file() else "ministack is not installed; `make ministack` does it"


@contextmanager
def ministack() -> Iterator[Serve]:
    """Run it while the block runs; gives what passes requests on to it."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="ministack-") as folder:
        choices = {"BIND_HOST": HOST, "GATEWAY_PORT": str(port), "SERVICES": "s3", "LOG_LEVEL": "WARNING"}
        places = {"HOME": folder, "TMPDIR": folder, "STATE_DIR": f"{folder}/state", "S3_DATA_DIR": f"{folder}/s3"}
        log = Path(folder, "log")
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [str(command(os.environ))],
                cwd=folder,
                env={"PATH": os.environ.get("PATH", ""), **CREDENTIALS, **choices, **places},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_until_it_listens(process, port, log)
            yield lambda environ, start_response: _pass_on(port, environ, start_response)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait for it; it must listen on this machine's own address, where nobody else can reach it."""
    end = time.monotonic() + START_SECONDS
    while not (found := _addresses(port)):
        said = log.read_text(errors="replace")[-1000:]
        assert process.poll() is None, f"it ended: {said}"
        assert time.monotonic() < end, f"it does not listen: {said}"
        time.sleep(0.1)
    assert found == {HOST}, f"it listens on {found}"


def _addresses(port: int) -> set[str]:
    """Return the addresses that something of this machine listens on at a port; without ``/proc``, what answers."""
    tables = [Path("/proc/net", name) for name in ("tcp", "tcp6")]
    if not any(table.exists() for table in tables):
        with socket.socket() as probe:
            return {HOST} if probe.connect_ex((HOST, port)) == 0 else set()
    found = set()
    for table in tables:
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            _, local, _, state, *_ = line.split()
            address, _, number = local.partition(":")
            if state == _LISTENING and int(number, 16) == port:
                # The kernel prints the four bytes as a number of this machine.
                is_v4 = len(address) == 8
                found.add(".".join(str(byte) for byte in bytes.fromhex(address)[::-1]) if is_v4 else address)
    return found


def _pass_on(port: int, environ: Environ, start_response: Any) -> list[bytes]:
    query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").title(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") and name not in {"HTTP_EXPECT", "HTTP_CONNECTION"}
    }
    body = environ["wsgi.input"].read()
    if environ.get("CONTENT_TYPE"):
        headers["Content-Type"] = environ["CONTENT_TYPE"]
    connection = http.client.HTTPConnection(HOST, port, timeout=300)
    try:
        connection.request(environ["REQUEST_METHOD"], environ["RAW_URI"].partition("?")[0] + query, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        told = [(name, value) for name, value in answer.getheaders() if not is_hop_by_hop(name)]
        start_response(f"{answer.status} {answer.reason}", told)
        return [content]
    finally:
        connection.close()
