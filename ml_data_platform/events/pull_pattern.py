"""Addresses by date: where a producer puts the files of a day.

Belongs here: what a pattern may say, and the addresses that it stands for on a day. Does not belong here: looking
there (``storage.remote_files``).

A pattern is a local path, ``s3://bucket/…`` or ``https://host/…``. ``{date}`` is the UTC day as YYYY-MM-DD,
``{date:%Y/%m/%d}`` any other form of it, ``{hour}`` each of 00 … 23 (``{hour:d}``: 0 … 23). Where the names of a
folder can be listed, ``*`` and ``?`` stand for characters of one name and ``**`` for any number of folders.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal
from urllib.parse import urlsplit

from ml_data_platform.events.contract_errors import Problem, contract_error

KEY = "pull.url"
Scheme = Literal["local", "s3", "http"]
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
FORMS = ("a local path", "s3://bucket/path", "https://host/path")
PLACEHOLDERS = ("{date}", "{date:%Y-%m-%d}", "{date:%Y/%m/%d}", "{hour}", "{hour:d}")
ANY_FOLDERS = "**"
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_DIRECTIVE = re.compile(r"%(-?.)", re.DOTALL)
_WILD = re.compile(r"[*?]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_DIRECTIVES: Mapping[str, tuple[str, Callable[[date], str]]] = {
    "Y": ("year", lambda day: f"{day.year:04d}"),
    "y": ("year", lambda day: f"{day.year % 100:02d}"),
    "m": ("month", lambda day: f"{day.month:02d}"),
    "-m": ("month", lambda day: str(day.month)),
    "d": ("day", lambda day: f"{day.day:02d}"),
    "-d": ("day", lambda day: str(day.day)),
    "j": ("month day", lambda day: f"{day.timetuple().tm_yday:03d}"),
    "%": ("", lambda _: "%"),
}
_ISO = "%Y-%m-%d"
_HOURS = {"": "{:02d}", "02d": "{:02d}", "d": "{:d}"}


@dataclass(frozen=True)
class PullPattern:
    """A checked pattern.

    Attributes:
        scheme: How its files are reached; ``http`` is https, and plain http to this machine itself.
        authority: Scheme and host, or bucket, that stand before the path; empty for a local path.
        base: The part of the path, without a slash at its end, that is the same for all days and names a folder.
        rest: What follows below the base, with placeholders.
    """

    scheme: Scheme
    authority: str
    base: str
    rest: str

    def paths(self, day: date) -> tuple[tuple[str, ...], ...]:
        """Return the paths below the base that belong to a day: one, or one for each hour; each as its segments."""
        of_day = _PLACEHOLDER.sub(lambda found: _rendered(found[1], day) or found[0], self.rest)
        hours = range(24) if _PLACEHOLDER.search(of_day) else range(1)
        found = (_PLACEHOLDER.sub(lambda of: _HOURS[_format(of[1])].format(hour), of_day) for hour in hours)  # noqa: B023
        return tuple(tuple(path.split("/")) for path in found)

    def address(self, path: str = "") -> str:
        """Return the whole address of a path below the base, for people; it holds no credentials."""
        return f"{self.authority}{'/'.join(part for part in (self.base, path) if part)}"


def is_wild(segment: str) -> bool:
    """Tell whether a segment of a path stands for many names."""
    return _WILD.search(segment) is not None


def segment_regex(segment: str) -> re.Pattern[str]:
    """Return what the names that a segment stands for match."""
    parts = (".*" if char == "*" else "." if char == "?" else re.escape(char) for char in segment)
    return re.compile("".join(parts), re.DOTALL)


def parse_pattern(url: str) -> PullPattern:
    """Check a pattern.

    Raises:
        ContractError: It cannot be used; the message does not repeat credentials.
    """
    found = _SCHEME.match(url)
    scheme = found[1].lower() if found else ""
    if scheme in {"http", "https"}:
        pattern = _parse_http(url, scheme)
    elif scheme == "s3":
        bucket, _, path = url[len("s3://") :].partition("/")
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._\-]{2,62}", bucket) is None:
            raise _problem("needs the plain name of a bucket after s3://", _shown(url), ("s3://bucket/path",))
        pattern = _split("s3", f"s3://{bucket}/", path)
    elif scheme in {"", "file"}:
        pattern = _split("local", "", url[found.end() :] if found else url)
    else:
        raise _problem("is no address that files can be pulled from", _shown(url), FORMS)
    _check_placeholders(pattern, url)
    return pattern


def _parse_http(url: str, scheme: str) -> PullPattern:
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        parts, host = None, None
    if parts is None or not host:
        raise _problem("is no URL", _shown(url), FORMS)
    if "@" in parts.netloc:
        why = "holds credentials, which would end up in logs; put them into ~/.netrc, where they are found by host"
        raise _problem(why, f"{scheme}://…@{host}/…")
    if "?" in url or "#" in url:
        why = "has a query, which may hold signatures; name files by their path alone"
        raise _problem(why, url.partition("?")[0].partition("#")[0] + "?…")
    if scheme == "http" and host not in LOOPBACK:
        raise _problem("is not encrypted: plain http is for 127.0.0.1 and localhost only", url, ("https://…",))
    if "{" in parts.netloc:
        raise _problem("has a placeholder in the name of the host; they belong into the path", url)
    if is_wild(parts.path):
        why = (
            "has a wildcard, but HTTP has no listing: nothing says which names there are; write the names out, e.g. "
            "with {hour}, or give the files over s3:// or a local path"
        )
        raise _problem(why, url)
    return _split("http", f"{scheme}://{parts.netloc}/", parts.path.removeprefix("/"))


def _split(scheme: Scheme, authority: str, path: str) -> PullPattern:
    # What follows the first placeholder or wildcard may differ from day to day; the folder before it is fixed.
    changing = re.search(r"[{*?]", path)
    if "//" in path or (path.startswith("/") and scheme != "local"):
        raise _problem("has a segment that is empty, `.` or `..`", f"{authority}{path}")
    base, slash, _ = path[: changing.start() if changing else len(path)].rpartition("/")
    return PullPattern(
        scheme, authority, base or ("/" if slash and scheme == "local" else ""), path[len(base + slash) :]
    )


def _check_placeholders(pattern: PullPattern, url: str) -> None:
    said: set[str] = set()
    for found in _PLACEHOLDER.finditer(pattern.rest):
        said.update(_said_by(found[1]))
    if re.search(r"[{}]", _PLACEHOLDER.sub("", f"{pattern.base}{pattern.rest}")):
        raise _problem("has a brace that belongs to no placeholder", _shown(url))
    if lacking := [part for part in ("year", "month", "day") if part not in said]:
        why = f"does not say the {', '.join(lacking)}, so that days could not be told apart; write e.g. {{date}}"
        raise _problem(why, _shown(url))
    rest = pattern.paths(date(2000, 1, 1))[0]
    # A folder beside the root is a common place; further on, steps upwards only hide where a path leads.
    base = re.sub(r"\A(\.\./|\.\.\Z)+", "", pattern.base) if pattern.scheme == "local" else pattern.base
    segments = [*base.strip("/").split("/"), *rest]
    if any(part in {".", ".."} for part in segments) or "" in rest:
        raise _problem("has a segment that is empty, `.` or `..`", _shown(url))
    if any(ANY_FOLDERS in part and part != ANY_FOLDERS for part in segments) or segments[-1] == ANY_FOLDERS:
        raise _problem("must have ** alone between two slashes, with a name after it, e.g. a/**/*.csv", _shown(url))
    if any(ord(char) < 32 or ord(char) == 127 for char in url):
        raise _problem("has control characters", _shown(url))


def _said_by(placeholder: str) -> set[str]:
    """Return the parts of a day that a placeholder names, checked."""
    name, colon, form = placeholder.partition(":")
    if name == "hour" and form in _HOURS:
        return set()
    if name != "date" or (colon and not form):
        raise _problem("has an unknown placeholder", f"{{{placeholder}}}", PLACEHOLDERS)
    said: set[str] = set()
    for directive in _DIRECTIVE.findall(form or _ISO):
        if directive not in _DIRECTIVES:
            why = "has a directive that does not belong to a day" + "; hours are {hour}" * (directive in "HIMS")
            raise _problem(why, f"%{directive}", tuple(f"%{each}" for each in _DIRECTIVES))
        said.update(_DIRECTIVES[directive][0].split())
    return said


def _format(placeholder: str) -> str:
    return placeholder.partition(":")[2]


def _rendered(placeholder: str, day: date) -> str:
    name, colon, form = placeholder.partition(":")
    if name != "date":
        return ""
    return _DIRECTIVE.sub(lambda found: _DIRECTIVES[found[1]][1](day), form if colon else _ISO)


def _shown(url: str) -> str:
    """Return a URL without what may be secret in it: userinfo and query."""
    return re.sub(r"//[^/@]*@", "//…@", url).partition("#")[0]


def _problem(says: str, got: object, allowed: tuple[str, ...] = ()) -> Exception:
    return contract_error([Problem(KEY, says, got, allowed)])
