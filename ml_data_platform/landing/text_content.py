"""The content of a landed text file as UTF-8, whatever encoding of Unicode it was written in.

Belongs here: which encoding or other format the first bytes show, and decoding in a stream. Does not belong here: gzip and lines (``lines``).

UTF-16 and UTF-32 are recognised by a byte order mark; UTF-16 without one by its NUL bytes, which UTF-8 text does not have.
What cannot be decoded becomes bytes that are no UTF-8 either, so that the readers find it in its own row.
"""

from __future__ import annotations

import codecs
from typing import Protocol

from ml_data_platform.errors import LandingError

_HEAD_BYTES = 4_096
_UNDECODABLE = b"\xff"
# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
# In UTF-16 every comma, blank, quote and digit has a NUL byte beside it, on always the same side.
_MIN_SHARE_OF_NULS = 0.25
_MAX_SHARE_ON_OTHER_SIDE = 0.1

_FOREIGN_FORMATS = {
    b"PK\x03\x04": "a zip archive",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"PAR1": "Parquet",
    b"ORC": "ORC",
    b"Obj\x01": "Avro",
    b"SQLite format 3\x00": "an SQLite database",
}


class Readable(Protocol):
    """Bytes that are read once, from the start on."""

    def read(self, size: int, /) -> bytes:
        """Return the next ``size`` bytes, fewer only at the end."""
        ...


class Rejoined:
    """A stream of which the first bytes were read already.

    Args:
        head: What was read.
        rest: What follows.
    """

    def __init__(self, head: bytes, rest: Readable) -> None:
        self._head, self._rest = head, rest

    def read(self, size: int, /) -> bytes:
        """Return the next ``size`` bytes, fewer only at the end."""
        taken, self._head = self._head[:size], self._head[size:]
        return taken + self._rest.read(size - len(taken)) if len(taken) < size else taken


class _Decoded:
    """A stream in another encoding, as UTF-8."""

    def __init__(self, stream: Readable, encoding: str) -> None:
        self._stream = stream
        # A lone surrogate passes, and is no UTF-8 once it is encoded.
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
        self._ready = b""
        self._has_ended = False

    def read(self, size: int, /) -> bytes:
        """Return the next ``size`` bytes, fewer only at the end."""
        while len(self._ready) < size and not self._has_ended:
            data = self._stream.read(size)
            self._has_ended = not data
            self._ready += self._decode(data)
        taken, self._ready = self._ready[:size], self._ready[size:]
        return taken

    def _decode(self, data: bytes) -> bytes:
        try:
            return self._decoder.decode(data, not data).encode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            # A part of a character at the end, or in UTF-32 a number that is none: where it stood is unknown.
            self._has_ended = True
            return _UNDECODABLE


def as_utf8(stream: Readable) -> Readable:
    """Return a stream's content as UTF-8.

    Args:
        stream: The decompressed content from its start.

    Raises:
        LandingError: The content is in a format that is no text.
    """
    head = stream.read(_HEAD_BYTES)
    _refuse_foreign(head)
    rejoined = Rejoined(head, stream)
    encoding = encoding_of(head)
    return rejoined if encoding is None else _Decoded(rejoined, encoding)


def encoding_of(head: bytes) -> str | None:
    """Return the name of the encoding that a file's first bytes show; None for UTF-8 and what is no text.

    Args:
        head: The first bytes, a few thousand.
    """
    marked = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
    if marked is not None:
        return marked
    first, second = head[::2], head[1::2]
    for high, low, name in ((second, first, "utf-16-le"), (first, second, "utf-16-be")):
        nuls = high.count(0)
        is_even = low.count(0) <= nuls * _MAX_SHARE_ON_OTHER_SIDE and b"\n" not in high
        if len(head) > 3 and nuls > len(high) * _MIN_SHARE_OF_NULS and is_even:
            return name
    return None


def foreign_format(head: bytes) -> str | None:
    """Return the format that the first bytes of a file belong to, where that is a known one and no lines of text."""
    return next((name for magic, name in _FOREIGN_FORMATS.items() if head.startswith(magic)), None)


def _refuse_foreign(head: bytes) -> None:
    found = foreign_format(head)
    if found is not None:
        raise LandingError(
            "The file is not text.",
            expected="UTF-8 or UTF-16 text, plain or gzip",
            got=found,
            remedy="Send it in the format that the source's contract declares, or correct the contract.",
        )
