"""The guard of the web server: which requests reach Dagster, and which may not.

Belongs here: who a request may come from, and in what form. Does not belong here: what is served, which is Dagster's.

Dagster's web server asks nobody who they are, and takes a mutation from the address of an image. Every page that a
browser of this machine opens may send it requests; what tells them apart is what browsers say of a page and no page can
change: ``Host``, ``Origin`` and ``Sec-Fetch-*``.

Source: the OWASP cheat sheet on cross-site request forgery, and the W3C's Fetch Metadata Request Headers.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from typing import Any, NamedTuple

GRAPHQL_PATH = "/graphql"
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
SINGLE_HEADERS = ("host", "origin", "content-type", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest")
READING = frozenset({"GET", "HEAD"})
OWN_SITE = frozenset({"same-origin", "none"})
DEFAULT_PORTS = {"http": "80", "https": "443"}
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:(?P<port>[0-9]{1,5}))?")
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>.+)")
ADDED_HEADERS = (
    # no page of another site shows this one in a frame and leads clicks on it
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"content-security-policy", b"frame-ancestors 'self'"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Refusal(NamedTuple):
    """The answer to a request that goes no further: its status, and what to do instead."""

    status: int
    why: str


def host_name(host: str) -> str | None:
    """Return the name in a ``Host`` header, in lower case and without its port; none where it holds none."""
    found = _HOST.fullmatch(host.lower())
    return found["name"] if found else None


def refusal(
    method: str, path: str, headers: Collection[tuple[bytes, bytes]], allowed_hosts: Collection[str] = ()
) -> Refusal | None:
    """Return why a request goes no further; none where it may.

    Args:
        method: E.g. ``GET``; a websocket begins with one.
        path: Decoded, as the router reads it.
        headers: Names in lower case, as ASGI gives them.
        allowed_hosts: Names under which a reverse proxy serves the UI, beside those of this machine.
    """
    found: dict[str, str] = {}
    for raw, value in headers:
        name = raw.decode("latin-1").lower()
        if name in SINGLE_HEADERS:
            if name in found:
                return Refusal(400, f"The header {name} is there twice.")
            found[name] = value.decode("latin-1").strip()
    return _foreign(method, found, allowed_hosts) or _unusual(method, path, found, headers)


def _foreign(method: str, found: Mapping[str, str], allowed_hosts: Collection[str]) -> Refusal | None:
    host = found.get("host", "")
    if host_name(host) not in {*LOOPBACK_NAMES, *allowed_hosts}:
        return Refusal(
            421,
            "This server is not known by that name. Open it as 127.0.0.1 or localhost; behind a reverse proxy that passes"
            " the name on, start `ml-data-platform dev --allowed-host NAME`.",
        )
    if "origin" in found and not _is_same(found["origin"], host):
        return Refusal(403, "Requests of other sites are refused. A reverse proxy must pass the header Host on.")
    if found.get("sec-fetch-site", "none") in OWN_SITE:
        return None
    if method in READING and (found.get("sec-fetch-mode"), found.get("sec-fetch-dest")) == ("navigate", "document"):
        return None
    return Refusal(403, "Requests of other sites are refused; a link to a page may be followed.")


def _unusual(
    method: str, path: str, found: Mapping[str, str], headers: Collection[tuple[bytes, bytes]]
) -> Refusal | None:
    if method in READING:
        accepted = [value for name, value in headers if name.lower() == b"accept"]
        # The page to try queries in is the only thing that is read there; it sends what is typed in it as any other.
        if path == GRAPHQL_PATH and not (len(accepted) == 1 and b"text/html" in accepted[0]):
            return Refusal(405, "GraphQL is asked by POST: a GET changes nothing.")
        return None
    if method != "POST":
        return Refusal(405, "Only GET, HEAD and POST are served.")
    if found.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return Refusal(415, "Send JSON, with the header `Content-Type: application/json`.")
    return None


def _is_same(origin: str, host: str) -> bool:
    """Tell whether an origin is the one that a host is reached by; ``null`` is nobody's."""
    found = _ORIGIN.fullmatch(origin.lower())
    if found is None:
        return False
    theirs, ours = _HOST.fullmatch(found["host"]), _HOST.fullmatch(host.lower())
    if theirs is None or ours is None:
        return False
    default = DEFAULT_PORTS[found["scheme"]]
    return (theirs["name"], theirs["port"] or default) == (ours["name"], ours["port"] or default)


class Guard:
    """An ASGI app that passes to another one what may reach it.

    Args:
        app: The app behind it.
        allowed_hosts: See `refusal`.
    """

    def __init__(self, app: App, allowed_hosts: Collection[str] = ()) -> None:
        self._app = app
        self._allowed_hosts = frozenset(name.lower() for name in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        is_websocket = scope["type"] == "websocket"
        # A websocket is opened by a GET of the same address, and says by itself that it is no page.
        path = "" if is_websocket else scope["path"]
        found = refusal(scope.get("method", "GET"), path, scope["headers"], self._allowed_hosts)
        if found is None:
            await self._app(scope, receive, send if is_websocket else _with_headers(send))
        elif is_websocket:
            await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
        else:
            await _answer(found, _with_headers(send))


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *ADDED_HEADERS]}
        await send(message)

    return sending


async def _answer(found: Refusal, send: Send) -> None:
    body = f"{found.why}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    headers += [(b"allow", b"POST")] if found.status == 405 else []
    await send({"type": "http.response.start", "status": found.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
