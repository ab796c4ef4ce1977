"""Landed bytes as blocks of whole physical lines, decompressed, in bounded memory.

Belongs here: gzip, byte order marks, line ends, lines longer than memory should hold. Does not belong
here: what a line means (``jsonl``, ``delimited``).
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import IO

from ml_data_platform.errors import LandingError
from ml_data_platform.landing.limits import LIMITS, Limits, too_large
from ml_data_platform.landing.text_content import Readable

BLOCK_BYTES = 8 * 1024 * 1024
# The engine works on 2,048 rows at a time, so rows must be small for its memory to suffice.
MAX_ROW_BYTES = 1024 * 1024
# A real log shrinks to a tenth or, of few distinct lines, to a hundredth; only a bomb to a thousandth.
MAX_UNZIPPED_PER_BYTE = 200
UNPARSED_CHARACTERS = 65_536

_GZIP_MAGIC = b"\x1f\x8b"
UTF8_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Block:
    """Some consecutive physical lines of a landed file.

    Attributes:
        first_line: 1-based number of the block's first physical line.
        data: The lines, each but the file's last ended by a line feed.
        is_overlong: The block is the beginning of one single line that exceeds ``MAX_ROW_BYTES``. A line that
            exceeds it by less than a block can also stand in a block of several; the readers compare lengths.
    """

    first_line: int
    data: bytes
    is_overlong: bool = False


class _BoundedGzip(gzip.GzipFile):
    """A gzip that is no bomb, or says so before it has filled anything."""

    def __init__(self, file: IO[bytes], allowed: int) -> None:
        super().__init__(fileobj=file)
        self._allowed = allowed
        self._decoded = 0

    def read(self, size: int | None = -1) -> bytes:
        """Read on, within what is allowed."""
        data = super().read(size)
        self._decoded += len(data)
        if self._decoded > self._allowed:
            raise too_large(
                "The gzip file decodes to far more than a file of its size holds.",
                "max_unzipped_size",
                f"at most {self._allowed:,} bytes",
            )
        return data


@contextmanager
def open_landed(path: Path, *, limits: Limits = LIMITS) -> Iterator[BufferedIOBase]:
    """Open a landed file for reading its content, decompressed where its first bytes say gzip.

    Args:
        path: A regular file.
        limits: What the file may cost; ``MAX_UNZIPPED_PER_BYTE`` times its size is always allowed.

    Yields:
        A stream of the content. Errors of decompression inside the ``with`` block become ``LandingError``.

    Raises:
        LandingError: The gzip data is truncated or damaged, or decodes to too much (``FileTooLargeError``).
    """
    if not is_gzip(path):
        with path.open("rb") as plain:
            yield plain
        return
    with path.open("rb") as plain:
        try:
            allowed = max(limits.unzipped_bytes, MAX_UNZIPPED_PER_BYTE * path.stat().st_size)
            with _BoundedGzip(plain, allowed) as unzipped:
                yield unzipped
        except EOFError as error:
            raise LandingError(
                "The gzip data ends before its end-of-stream marker: the file is truncated.",
                remedy="Ask the producer to send the whole file again.",
            ) from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise LandingError(
                "The gzip data is damaged.", reason=str(error), remedy="Ask the producer to send the file again."
            ) from error


def is_gzip(path: Path) -> bool:
    """Return whether a file begins as gzip does."""
    with path.open("rb") as file:
        return file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC


def is_without_content(path: Path) -> bool:
    """Return whether a file holds no byte of content, e.g. 0 bytes or gzip of nothing.

    Raises:
        LandingError: The gzip data is truncated or damaged.
    """
    with open_landed(path) as stream:
        return not stream.read(1)


def read_blocks(stream: Readable, *, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Cut a stream into blocks of whole lines.

    Args:
        stream: The content from its start, as `text_content.as_utf8` gives it.
        block_bytes: Number of bytes read at a time.

    Yields:
        Blocks in file order, of at most ``block_bytes + MAX_ROW_BYTES`` bytes; a UTF-8 byte order mark is removed.
    """
    data = stream.read(block_bytes)
    data = data.removeprefix(UTF8_MARK)
    line, tail = 1, b""
    while data:
        data = tail + data
        cut = data.rfind(b"\n") + 1
        whole, tail = data[:cut], data[cut:]
        if whole:
            yield Block(line, whole)
            line += whole.count(b"\n")
        if len(tail) > MAX_ROW_BYTES:
            yield Block(line, tail[: 4 * UNPARSED_CHARACTERS], is_overlong=True)
            line += 1
            tail = _after_line(stream, block_bytes)
        data = stream.read(block_bytes)
    if tail:
        yield Block(line, tail)


def unparsed(data: bytes) -> str:
    """Return the landed text of a line that is not a row: ``{"_unparsed": "…"}``.

    Args:
        data: The bytes of the line; bytes that are not UTF-8 are shown as backslash escapes, and text beyond
            ``UNPARSED_CHARACTERS`` is left out, because the landed bytes are kept whole elsewhere.
    """
    text = data[: 4 * UNPARSED_CHARACTERS].decode("utf-8", "backslashreplace")[:UNPARSED_CHARACTERS]
    return json.dumps({"_unparsed": text}, ensure_ascii=False, separators=(",", ":"))


def _after_line(stream: Readable, block_bytes: int) -> bytes:
    """Skip to the end of the present line and return what was read behind it."""
    while data := stream.read(block_bytes):
        cut = data.find(b"\n") + 1
        if cut:
            return data[cut:]
    return b""
