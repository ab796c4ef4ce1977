"""Looking for texts in every byte below a folder, whatever form they may have been copied in.

Formats that hide their text are opened: gzip, Parquet (through pyarrow), the rows of SQLite, zlib inside of them.
"""

from __future__ import annotations

import base64
import hashlib
import re
import sqlite3
import urllib.parse
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pyarrow.parquet as pq

_HEX = re.compile(rb"[0-9a-f]{32,128}")
_TELLING = 6
"""Fewer characters turn up in base64 by chance."""
_HASHES = ("md5", "sha1", "sha256")


class Needles:
    """What to look for.

    Args:
        stems: Each text to be found holds one of these; they are looked for in every form.
        texts: The texts themselves, of which the plain hashes are looked for too.
    """

    def __init__(self, stems: Iterable[str], texts: Iterable[str]) -> None:
        self._plain = [form.lower() for stem in stems for form in _forms(stem)]
        self._base64 = [form for stem in stems for case in (stem, stem.upper()) for form in _base64_cores(case)]
        spoken = {form for text in texts for form in (text, text.lower(), text.upper(), text.strip())}
        hashes = [hashlib.new(name, text.encode()) for text in spoken for name in _HASHES]
        self._hex = {found.hexdigest().encode() for found in hashes}
        self._known: dict[bytes, set[bytes]] = {}

    def found_in(self, data: bytes) -> set[str]:
        """Return the forms that occur in some bytes."""
        lower = data.lower()
        found = {form.decode() for form in self._plain if form in lower}
        found |= {f"base64 {form.decode()}" for form in self._base64 if form in data}
        digests = {digest for run in set(_HEX.findall(lower)) for digest in self._digests_in(run)}
        return found | {f"hash {digest.decode()}" for digest in digests}

    def _digests_in(self, run: bytes) -> set[bytes]:
        """Return the hashes within a run of hexadecimal digits; files name the same few over and over."""
        if run not in self._known:
            windows = {run[at : at + size] for size in (32, 40, 64) for at in range(len(run) - size + 1)}
            self._known[run] = windows & self._hex
        return self._known[run]


def scan(folder: Path, needles: Needles) -> dict[str, set[str]]:
    """Return the files below a folder in which something was found, and what."""
    found: dict[str, set[str]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        here = needles.found_in(name.encode())
        if path.is_file() and not path.is_symlink():
            for content in contents(path):
                here |= needles.found_in(content)
        if here:
            found[name] = here
    return found


def contents(path: Path) -> Iterator[bytes]:
    """Yield a file's bytes, and what they hide."""
    data = path.read_bytes()
    yield data
    if data.startswith(b"\x1f\x8b"):
        # Of a truncated one too.
        with suppress(zlib.error):
            yield zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data)
    if len(data) > len(b"PAR1" * 3) and data.startswith(b"PAR1") and data.endswith(b"PAR1"):
        table = pq.read_table(path)
        yield repr(table.schema.metadata).encode() + repr(table.schema.names).encode()
        yield repr(table.to_pylist()).encode("utf-8", "surrogatepass")
    if data.startswith(b"SQLite format 3\x00"):
        yield from _rows(path)


def _rows(path: Path) -> Iterator[bytes]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in database.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    if isinstance(value, bytes):
                        yield value
                        with suppress(zlib.error):
                            yield zlib.decompress(value)
                    elif isinstance(value, str):
                        yield value.encode("utf-8", "surrogatepass")


def _forms(stem: str) -> set[bytes]:
    return {stem.encode(), urllib.parse.quote(stem, safe="").encode(), stem.encode("utf-16-le")}


def _base64_cores(text: str) -> Iterator[bytes]:
    """Yield the base64 of a text at each of the three places it can have, without what depends on its neighbours."""
    for before in range(3):
        core = text[(3 - before) % 3 :]
        whole = core[: len(core) // 3 * 3]
        if len(whole) >= _TELLING:
            yield base64.b64encode(whole.encode())
