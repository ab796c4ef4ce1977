"""Files that lie elsewhere: what is known of one, and how one is fetched against all odds.

Belongs here: the description of a remote file, its name, and repeating what failed. Does not belong here: how a kind
of place is reached (``remote_folder``, ``remote_bucket``, ``remote_web``), and what a file holds.
"""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote

from ml_data_platform.errors import RemoteFileError, RemoteFileRefusedError, bounded

CHUNK_BYTES = 1 << 20
MAX_NAME = 300
UNFINISHED_SUFFIXES = (".tmp", ".part", ".crdownload")
# Other than printable ASCII and letters of other scripts, nothing may reach a terminal or a log as it is.
_UNPRINTABLE = re.compile(r"[^\w\-./=+,:@ ()\[\]{}!&'~$;#%]")
Result = TypeVar("Result")
Write = Callable[[bytes], object]


@dataclass(frozen=True)
class RemoteFile:
    """One file as it was seen elsewhere.

    Attributes:
        location: Its whole address, without credentials.
        name: Its address below the folder that all days of its pattern share; bounded and printable.
        size_bytes: Its size, where it is told.
        version: Changes when its bytes do: its etag, else size and time of change.
        changed_ns: Time of its last change in nanoseconds since 1970-01-01T00:00:00Z, where a local clock says it.
    """

    location: str
    name: str
    size_bytes: int | None
    version: str
    changed_ns: int | None = None


class RemotePlace(Protocol):
    """A place where the files of a pattern lie."""

    def find(self, segments: Sequence[str]) -> list[RemoteFile]:
        """Return the files that a path below the base stands for, by name; none where there are none.

        Raises:
            RemoteFileError: The place cannot be looked at.
        """

    def look_again(self, file: RemoteFile) -> RemoteFile | None:
        """Return a file as it is now; None where it is gone."""

    def fetch(self, file: RemoteFile, write: Write) -> None:
        """Hand on a file's bytes, as they are stored, piece by piece.

        Raises:
            RemoteFileError: They did not arrive as a whole, or are not those of the version that was seen.
        """


@dataclass(frozen=True)
class Patience:
    """How long is tried what fails.

    Attributes:
        attempts: How often at most.
        first_pause_seconds: Longest pause after the first failure; it doubles with each.
        longest_pause_seconds: Bound of all pauses.
        sleep: Waits for some seconds.
        jitter: Returns a number in [0, 1): the pause is at least half as long as it may be, so that many who failed at
            once do not come back at once.
    """

    attempts: int = 4
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 15.0
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def pause(self, failures: int, wished_seconds: float | None = None) -> None:
        """Wait after the last of some failures; the other side may wish for more, within the bound."""
        longest = min(self.longest_pause_seconds, self.first_pause_seconds * 2 ** (failures - 1))
        pause = longest * (0.5 + 0.5 * self.jitter())
        self.sleep(min(self.longest_pause_seconds, max(pause, wished_seconds or 0.0)))


def persist(action: Callable[[], Result], patience: Patience) -> Result:
    """Do something that may fail, again if need be.

    Raises:
        RemoteFileError: The last failure, with the number of attempts.
    """
    for attempt in range(1, patience.attempts + 1):
        try:
            return action()
        except RemoteFileRefusedError:
            raise
        except RemoteFileError as error:
            if attempt == patience.attempts:
                error.facts["attempts"] = attempt
                raise
            patience.pause(attempt, error.facts.get("retry_after_seconds"))
    raise AssertionError  # a patience has one attempt at least


def fetch_whole(
    place: RemotePlace,
    file: RemoteFile,
    target: Path,
    patience: Patience,
    is_stopped: Callable[[], bool],
    *,
    max_bytes: int | None = None,
) -> RemoteFile:
    """Fetch a file; one that changes meanwhile is looked at again and fetched as it is then.

    Args:
        place: Where it lies.
        file: As it was seen.
        target: The file to write, in bounded memory.
        patience: How often it is tried.
        is_stopped: Asked before each piece; once it says so, the rest is not waited for.
        max_bytes: A file of more is refused, before more of it has come.

    Returns:
        The file as it was fetched.

    Raises:
        RemoteFileError: It could not be fetched, or is gone.
    """
    seen: RemoteFile | None = file

    def attempt() -> RemoteFile:
        nonlocal seen
        current = seen or place.look_again(file)
        seen = None
        if current is None:
            raise RemoteFileRefusedError("it is gone since it was seen", file=file.location)
        with target.open("wb") as copy:
            size = 0

            def write(data: bytes) -> None:
                nonlocal size
                if is_stopped():
                    raise RemoteFileRefusedError("it was stopped", file=file.location)
                size += len(data)
                if max_bytes is not None and size > max_bytes:
                    raise _too_large(file, max_bytes)
                copy.write(data)

            place.fetch(current, write)
        return current

    return persist(attempt, patience)


def _too_large(file: RemoteFile, max_bytes: int) -> RemoteFileRefusedError:
    return RemoteFileRefusedError(
        f"it has more than the {max_bytes:,} bytes that a file of a source with a `pii` section may have to be fetched:"
        " such files are never written to a disk; split it, or drop it into the landing folder",
        file=file.location,
    )


def plain_name(text: str) -> str:
    """Return a name from elsewhere so that it can be printed and stored: no control characters, of bounded length.

    Two names stay two names: what is replaced is percent-encoded, and what is cut off leaves its hash.
    """
    parts = (part if part.strip(".") else quote(part).replace(".", "%2E") for part in text.split("/"))
    name = _UNPRINTABLE.sub(lambda found: quote(found[0], safe="", errors="surrogatepass"), "/".join(parts))
    if len(name) <= MAX_NAME:
        return name
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{name[: MAX_NAME - 20]}...{digest}"


def is_final_name(name: str) -> bool:
    """Tell whether a name that a wildcard found is one of data: not hidden, not a marker, not being written."""
    return not name.startswith((".", "_")) and not name.lower().endswith(UNFINISHED_SUFFIXES)


def unreachable(file: str, why: object) -> RemoteFileError:
    """Return the error of a place that does not answer as it should; the text is bounded and holds no query."""
    said = re.sub(r"\?[^\s'\")]*", "?…", str(why))
    return RemoteFileError(f"it cannot be fetched: {bounded(said, 160)}", file=file)


def changed(file: RemoteFile, now: str) -> RemoteFileError:
    """Return the error of a file whose bytes are no longer those that were seen."""
    return RemoteFileError("it changed while it was read", file=file.location, expected=file.version, got=now)


def check_length(file: RemoteFile, expected: int | None, got: int) -> None:
    """Compare the number of bytes that came with the number that was announced.

    Raises:
        RemoteFileError: They differ.
    """
    for announced in (expected, file.size_bytes):
        if announced is not None and announced != got:
            raise RemoteFileError("it did not arrive as a whole", file=file.location, expected=announced, got=got)
