"""Bits of git's loose objects that git itself does not read.

Belongs here: finding that one of them was turned over, and clearing it. Does not belong here: what git reads, which it
compares with the object's name (``git.fsck``).

A loose object is a zlib stream: a deflate stream that ends anywhere within a byte, the rest of which is zero, and four
bytes of checksum. Nothing that is read depends on that rest, but a disk that turned a bit over there may turn others.
Source: RFC 1951, section 3.2.3, and RFC 1950, section 2.2.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

_CHECKSUM_BYTES = 4


def altered_padding(objects: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield the loose objects whose unread bits are not zero, each with its bytes as git wrote them.

    Args:
        objects: git's folder of objects.
    """
    for path in sorted(objects.glob("[0-9a-f][0-9a-f]/*")):
        stored = path.read_bytes()
        cleared = _without_padding(stored)
        if cleared is not None and cleared != stored:
            yield path, cleared


def _without_padding(stored: bytes) -> bytes | None:
    """Return a stream with the bits behind its end cleared; None where it cannot be read as it is."""
    content = _inflated(stored)
    last = len(stored) - _CHECKSUM_BYTES - 1
    if content is None or last < 0:
        return None
    # From the highest bit down: the first one that says something ends the rest.
    for bit in reversed(range(8)):
        if stored[last] & (1 << bit):
            cleared = stored[:last] + bytes([stored[last] & ~(1 << bit)]) + stored[last + 1 :]
            if _inflated(cleared) != content:
                break
            stored = cleared
    return stored


def _inflated(stored: bytes) -> bytes | None:
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(stored)
    except zlib.error:
        return None
    return content if stream.eof and not stream.unused_data else None
