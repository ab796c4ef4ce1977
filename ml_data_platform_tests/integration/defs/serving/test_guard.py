"""Dagster's real web server behind the guard, over a socket: what other sites send changes nothing."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import dagster as dg
import pytest
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from websockets.sync.client import connect

from ml_data_platform.defs.serving.guard import refusal
from ml_data_platform.defs.serving.web_server import guarded

JSON = {"Content-Type": "application/json"}
BEHIND_PROXY = "platform.example"
REPORT = "/report_asset_materialization/reported"


@dataclass(frozen=True)
class Served:
    """A guarded server and what it serves."""

    instance: dg.DagsterInstance
    port: int

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str]:
        """Send one request with just these headers, underscores for hyphens; returns status and text."""
        status, text, _ = self.answer(method, path, body, headers)
        return status, text

    def answer(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> tuple[int, str, dict[str, str]]:
        given = {"Host": self.host, **{name.replace("_", "-"): value for name, value in headers.items()}}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in given.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body.encode() if body is not None else None)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace"), {k.lower(): v for k, v in answer.getheaders()}

    def mutate(self, key: str, **headers: str) -> int:
        """Ask for a change as JSON; returns the status."""
        body = json.dumps({"query": mutation(key)})
        return self.ask("POST", "/graphql", body, **{"Content-Type": "application/json", **headers})[0]

    def changed(self) -> set[str]:
        """What was changed since it was started."""
        return {str(key) for key in self.instance.event_log_storage.get_concurrency_keys()}


def mutation(key: str) -> str:
    """A change that needs no code, and can be looked at afterwards."""
    return f'mutation {{ setConcurrencyLimit(concurrencyKey: "{key}", limit: 1) }}'


@contextmanager
def serving(context: WorkspaceProcessContext) -> Iterator[int]:
    """Serve on a free port while the block runs."""
    # Requests that come before it is started wait in its socket.
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        server = uvicorn.Server(guarded(context, port, [BEHIND_PROXY]))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield port
        finally:
            server.should_exit = True
            thread.join(60)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests of this module, over an instance of its own and no code."""
    with (
        dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("home"))) as instance,
        WorkspaceProcessContext(instance, workspace_load_target=EmptyWorkspaceTarget()) as context,
        serving(context) as port,
    ):
        yield Served(instance, port)


def test_own_requests_pass(served: Served) -> None:
    """Programs that send no Origin, and the page itself, change what they ask to change."""
    by_page = {"Origin": f"http://{served.host}", "Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors"}
    assert served.mutate("by_program") == 200
    assert served.mutate("by_page", **by_page) == 200
    assert served.mutate("by_name", Host=f"LocalHost:{served.port}") == 200
    # ssh -L 8080:127.0.0.1:3000
    assert served.mutate("by_forward", Host="localhost:8080", Origin="http://localhost:8080") == 200
    assert served.mutate("by_ipv6", Host="[::1]:8080", Origin="http://[::1]:8080") == 200
    assert served.mutate("by_proxy", Host=BEHIND_PROXY, Origin=f"https://{BEHIND_PROXY}") == 200
    assert served.mutate("with_charset", Content_Type="application/json; charset=utf-8") == 200
    asked = ("by_program", "by_page", "by_name", "by_forward", "by_ipv6", "by_proxy", "with_charset")
    assert served.changed() >= set(asked)
    assert served.ask("POST", REPORT, json.dumps({"partition": "own"}), Content_Type="application/json")[0] == 200
    assert served.instance.get_materialized_partitions(dg.AssetKey("reported")) >= {"own"}


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (403, {"Origin": "http://other.example"}),
        (403, {"Origin": "null"}),
        (403, {"Origin": "http://127.0.0.1:1"}),
        (403, {"Origin": "http://localhost:PORT"}),
        (403, {"Origin": "http://127.0.0.1:PORT.other.example"}),
        (403, {"Origin": "http://127.0.0.1:PORT@other.example"}),
        (403, {"Origin": "about:blank"}),
        (403, {"Origin": ""}),
        (403, {"Sec_Fetch_Site": "cross-site"}),
        (403, {"Sec_Fetch_Site": "same-site"}),
        (421, {"Host": "other.example"}),
        (421, {"Host": "other.example", "Origin": "http://other.example"}),
        (421, {"Host": "127.0.0.1.other.example:PORT"}),
        (421, {"Host": "localhost@other.example"}),
        (421, {"Host": f"{BEHIND_PROXY}.other.example"}),
        (421, {"Host": ""}),
        (415, {"Content_Type": "text/plain"}),
        (415, {"Content_Type": "text/plain; application/json"}),
        (415, {"Content_Type": "text/plain;x=application/json"}),
        (415, {"Content_Type": "application/x-www-form-urlencoded"}),
        (415, {"Content_Type": "multipart/form-data; boundary=application/json"}),
        (415, {"Content_Type": "application/graphql"}),
        (415, {"Content_Type": ""}),
    ],
)
def test_foreign_requests_are_refused(served: Served, status: int, headers: dict[str, str]) -> None:
    """Another site's page is told by what its browser says: nothing is changed, at any address that takes a POST."""
    headers = {name: value.replace("PORT", str(served.port)) for name, value in headers.items()}
    before = served.changed()
    assert served.mutate("foreign", **headers) == status
    query = urllib.parse.urlencode({"query": mutation("foreign")})
    given = {"Content_Type": "application/json", **headers}
    assert served.ask("POST", f"/graphql?{query}", "{}", **given)[0] == status
    for path in (REPORT, "/report_asset_check/a", "/report_asset_observation/a", "/%67raphql"):
        assert served.ask("POST", f"{path}?partition=foreign&{query}", "{}", **given)[0] == status, path
    assert served.changed() == before
    assert "foreign" not in served.instance.get_materialized_partitions(dg.AssetKey("reported"))


@pytest.mark.parametrize("accept", ["*/*", "image/*", "application/json", ""])
@pytest.mark.parametrize("path", ["/graphql", "/%67raphql", "/graphql?"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nothing_is_changed_by_a_get(served: Served, method: str, path: str, accept: str) -> None:
    """The address of an image is no way to change the platform, be it opened by this site or by nobody knows whom."""
    query = urllib.parse.urlencode({"query": mutation("by_get")})
    address = path + ("" if path.endswith("?") else "?") + query
    assert served.ask(method, address, Accept=accept)[0] == 405
    assert served.ask(method, address, None, Accept=accept, Content_Type="application/json")[0] == 405
    assert "by_get" not in served.changed()


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_not_served(served: Served, method: str) -> None:
    """Nor is a browser told that it may send what it asks about first."""
    status, _, headers = served.answer(method, "/graphql", None, {"Origin": f"http://{served.host}"})
    assert status == 405
    assert not [name for name in headers if name.startswith("access-control")]


def test_pages_are_served_and_stand_in_no_frame_of_another_site(served: Served) -> None:
    """The UI, the page to try queries in and the static files, also by a link from elsewhere; framed by its own pages only."""
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    for path in ("/", "/runs", "/favicon.ico", "/server_info"):
        for headers in ({}, link):
            status, _, found = served.answer("GET", path, None, headers)
            assert status == 200, path
            assert found["x-frame-options"] == "SAMEORIGIN"
            assert "frame-ancestors 'self'" in found["content-security-policy"]
            assert found["x-content-type-options"].startswith("nosniff")
    status, text, _ = served.answer("GET", "/graphql", None, {"Accept": "text/html", **link})
    assert status == 200
    assert "GraphiQL" in text
    for destination in ("iframe", "image", "script", "embed", "object"):
        mode = "navigate" if destination in {"iframe", "embed", "object"} else "no-cors"
        foreign = {**link, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination}
        assert served.answer("GET", "/server_info", None, foreign)[0] == 403, destination


def test_websockets_go_on_working(served: Served) -> None:
    """A subscription of the page is answered, and so is one of a program."""
    for origin in (f"http://{served.host}", None):
        with connect(f"ws://{served.host}/graphql", origin=origin, subprotocols=["graphql-ws"]) as websocket:
            websocket.send(json.dumps({"type": "connection_init"}))
            assert json.loads(websocket.recv(timeout=60)) == {"type": "connection_ack"}
            query = 'subscription { pipelineRunLogs(runId: "none") { __typename } }'
            websocket.send(json.dumps({"type": "start", "id": "1", "payload": {"query": query}}))
            answer = json.loads(websocket.recv(timeout=60))
            assert answer["payload"]["data"]["pipelineRunLogs"]["__typename"] == "PipelineRunLogsSubscriptionFailure"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://other.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Host": "other.example"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_websockets_of_other_sites_are_refused(served: Served, headers: dict[str, str]) -> None:
    """Browsers let every page open a websocket to every server; the server has to look where it comes from."""
    request = [
        "GET /graphql HTTP/1.1",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol: graphql-ws",
        *(f"{name}: {value}" for name, value in {"Host": served.host, **headers}.items()),
    ]
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
        connection.sendall("\r\n".join([*request, "", ""]).encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 403 ")


def test_a_header_that_is_there_twice_says_nothing() -> None:
    """Guard and server could each believe another one of the two."""
    own = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    assert refusal("POST", "/graphql", own) is None
    for name, value in (
        (b"host", b"other.example"),
        (b"content-type", b"text/plain"),
        (b"origin", b"http://localhost"),
    ):
        twice = [(name, dict(own).get(name, b"http://localhost")), (name, value)]
        found = refusal("POST", "/graphql", [*(each for each in own if each[0] != name), *twice])
        assert found is not None
        assert found.status == 400
