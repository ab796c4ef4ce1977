"""JSON objects as chunks of landed rows.

Belongs here: which lines are rows, which of them are JSON objects that every later reader reads alike.
Does not belong here: objects that are not one to a line
(``json_documents``), and what the keys of an object mean (``events.parsing``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from io import BufferedIOBase
from typing import NoReturn

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ml_data_platform.landing.chunks import CHUNK, CUT_OFF, MALFORMED_ROW, MAX_CHUNK_CHARACTERS, MAX_CHUNK_ROWS
from ml_data_platform.landing.json_documents import Documents, begins_document, is_cut_off, objects_in
from ml_data_platform.landing.lines import (
    BLOCK_BYTES,
    MAX_ROW_BYTES,
    UTF8_MARK,
    Block,
    read_blocks,
    unparsed,
)
from ml_data_platform.landing.text_content import Rejoined, as_utf8

# DuckDB's JSON reader takes some literals and commas that JSON does not have. A value that begins like one
# of them, or a comma before a bracket, is looked at by a strict parser; text inside of strings is rarely hit.
_LAX_JSON = r"(?i)[:\[,]\s*-?(nan|inf)|,\s*[}\]]"

# Lines that are shorter than this on average are blank for the most part.
SHORT_LINE_BYTES = 8
_IS_FILLED = np.ones(256, bool)
_IS_FILLED[list(b" \t\n\f\r")] = False  # what the query below takes for blank

_CLASSIFY = f"""
SELECT
    source_row,
    line,
    CASE
        WHEN strlen(line) > {MAX_ROW_BYTES} OR NOT json_valid(line) THEN 'malformed'
        WHEN json_type(line) <> 'OBJECT' THEN 'malformed'
        WHEN len(json_keys(line)) <> len(list_distinct(json_keys(line))) THEN 'malformed'
        WHEN regexp_matches(line, '{_LAX_JSON}') THEN 'suspect'
    END AS finding
FROM landed_lines
WHERE NOT regexp_full_match(line, '\\s*')
ORDER BY source_row
"""


def read_json_lines(stream: BufferedIOBase, connection: duckdb.DuckDBPyConnection) -> Iterator[pa.Table]:
    """Read JSON objects: one to a line, one behind the other, printed over several lines, or in an array.

    Args:
        stream: The decompressed content from its start.
        connection: An engine to classify rows with; the name ``landed_lines`` is used in it.

    Yields:
        Tables of schema ``CHUNK``: one row per object, and per line or element that is none, in file order;
        ``source_row`` is the 1-based number of the physical line on which the object begins, or the next number that
        no row before it has.

    Raises:
        LandingError: The content is not text, or its objects cannot be told apart.
    """
    content = as_utf8(stream)
    head = content.read(BLOCK_BYTES)
    content = Rejoined(head, content)
    rows = _Rows(connection)
    if begins_document(head):
        content.read(len(UTF8_MARK) if head.startswith(UTF8_MARK) else 0)
        yield from rows.of_documents(Documents(content))
    else:
        yield from rows.of_lines(read_blocks(content))


class _Rows:
    """Chunks of landed rows, none of which has the number of another."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._last = 0

    def of_lines(self, blocks: Iterator[Block]) -> Iterator[pa.Table]:
        for block in blocks:
            if block.is_overlong:
                yield _defective(self._numbered([block.first_line]), [block.data])
                continue
            places, lines = _filled_lines(block.data.replace(b"\r\n", b"\n").removesuffix(b"\n").removesuffix(b"\r"))
            for start in range(0, len(lines), MAX_CHUNK_ROWS):
                numbers = places[start : start + MAX_CHUNK_ROWS] + block.first_line
                chunk = self._of_lines(numbers.tolist(), lines[start : start + MAX_CHUNK_ROWS])
                is_last = start + MAX_CHUNK_ROWS >= len(lines) and not block.data.endswith(b"\n")
                if chunk.num_rows:
                    yield _with_cut_off(chunk) if is_last and is_cut_off(lines[-1]) else chunk

    def of_documents(self, documents: Documents) -> Iterator[pa.Table]:
        numbers: list[int] = []
        part: list[bytes] = []
        characters = 0
        for number, piece in documents.pieces():
            numbers.append(number)
            part.append(piece)
            characters += len(piece)
            if len(part) >= MAX_CHUNK_ROWS or characters >= MAX_CHUNK_CHARACTERS:
                yield self._of_documents(documents, numbers, part)
                numbers, part, characters = [], [], 0
        if part:
            yield self._of_documents(documents, numbers, part)

    def _of_documents(self, documents: Documents, numbers: list[int], part: list[bytes]) -> pa.Table:
        chunk = self._chunk(self._numbered(numbers), part)
        return _with_cut_off(chunk) if documents.is_cut_off else chunk

    def _of_lines(self, numbers: list[int], lines: list[bytes]) -> pa.Table:
        chunk = self._chunk(numbers, lines)
        if not chunk.num_rows:
            return chunk
        malformed = set(chunk.filter(pc.is_valid(chunk["defect"]))["source_row"].to_pylist())
        several = _several(numbers, lines, malformed) if malformed else {}
        if several:
            rows = set(chunk["source_row"].to_pylist())
            read = [(n, line) for n, line in zip(numbers, lines, strict=True) if n in rows]
            pieces = [(n, piece) for n, line in read for piece in several.get(n, [line])]
            return self._chunk(self._numbered([n for n, _ in pieces]), [piece for _, piece in pieces])
        if chunk["source_row"][0].as_py() > self._last:
            self._last = chunk["source_row"][-1].as_py()
            return chunk
        numbered = pa.array(self._numbered(chunk["source_row"].to_numpy()), pa.int64())
        return chunk.set_column(0, CHUNK.field("source_row"), numbered).combine_chunks()

    def _numbered(self, lines: Sequence[int] | npt.NDArray[np.int64]) -> list[int]:
        """Return a number for each row: its line, or where another row has that, the next."""
        if not len(lines):
            return []
        places = np.arange(len(lines))
        beyond = np.maximum.accumulate(np.maximum(np.asarray(lines) - places, self._last + 1))
        numbers: list[int] = (beyond + places).tolist()
        self._last = numbers[-1]
        return numbers

    def _chunk(self, numbers: list[int], lines: list[bytes]) -> pa.Table:
        undecodable: dict[int, bytes] = {}
        try:
            texts = pa.array(lines, pa.binary()).cast(pa.string())
        except pa.ArrowInvalid:
            undecodable = {n: line for n, line in zip(numbers, lines, strict=True) if not _is_utf8(line)}
            shown = [b"!" if n in undecodable else line for n, line in zip(numbers, lines, strict=True)]
            texts = pa.array(shown, pa.binary()).cast(pa.string())
        found = pa.table({"source_row": pa.array(numbers, pa.int64()), "line": texts})
        self._connection.register("landed_lines", found)
        try:
            classified = self._connection.sql(_CLASSIFY).to_arrow_table()
        finally:
            self._connection.unregister("landed_lines")
        return _with_defects(classified, undecodable)


def _several(numbers: list[int], lines: list[bytes], malformed: set[int]) -> dict[int, list[bytes]]:
    """Return the objects of those malformed lines that consist of objects."""
    found = ((n, objects_in(line)) for n, line in zip(numbers, lines, strict=True) if n in malformed)
    return {number: objects for number, objects in found if objects is not None}


def _filled_lines(data: bytes) -> tuple[npt.NDArray[np.int64], list[bytes]]:
    """Split bytes into lines; returns their places, from 0 on, and them; where most are blank, only those that are not.

    A few kilobytes of gzip can stand for millions of blank lines, which would each cost as much as a row.
    """
    count = data.count(b"\n")
    if count * SHORT_LINE_BYTES < len(data):
        lines = data.split(b"\n")
        return np.arange(len(lines)), lines
    each = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(each == ord("\n"))
    places = np.unique(np.searchsorted(ends, np.flatnonzero(_IS_FILLED[each])))
    bounds = [(int(ends[at - 1]) + 1 if at else 0, int(ends[at]) if at < count else len(data)) for at in places]
    return places, [data[start:stop] for start, stop in bounds]


def _with_defects(classified: pa.Table, undecodable: dict[int, bytes]) -> pa.Table:
    finding = classified["finding"]
    if finding.null_count == len(finding):
        defect = pa.nulls(len(finding), pa.string())
        return pa.table([classified["source_row"], classified["line"], defect], schema=CHUNK).combine_chunks()
    good = classified.filter(pc.is_null(finding))
    rows = [(number, line) for number, line in _flagged(classified, "suspect") if not _is_strict_json(line)]
    wrong = {number: line.encode() for number, line in [*rows, *_flagged(classified, "malformed")]} | undecodable
    kept = [(number, line) for number, line in _flagged(classified, "suspect") if number not in wrong]
    parts = [
        pa.table([good["source_row"], good["line"], pa.nulls(len(good), pa.string())], schema=CHUNK),
        pa.table([[n for n, _ in kept], [t for _, t in kept], pa.nulls(len(kept), pa.string())], schema=CHUNK),
        _defective(list(wrong), list(wrong.values())),
    ]
    return pa.concat_tables(parts).sort_by("source_row").combine_chunks()


def _flagged(classified: pa.Table, finding: str) -> list[tuple[int, str]]:
    rows = classified.filter(pc.equal(classified["finding"], finding))
    return list(zip(rows["source_row"].to_pylist(), rows["line"].to_pylist(), strict=True))


def _defective(numbers: list[int], lines: list[bytes]) -> pa.Table:
    texts = [unparsed(line) for line in lines]
    return pa.table([numbers, texts, [MALFORMED_ROW] * len(numbers)], schema=CHUNK)


def _with_cut_off(chunk: pa.Table) -> pa.Table:
    """Return the last rows of a file that ends in the middle of a row."""
    *before, defect = chunk["defect"].to_pylist()
    defects = pa.array([*before, CUT_OFF if defect is not None else None], pa.string())
    return chunk.set_column(2, CHUNK.field("defect"), defects).combine_chunks()


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_strict_json(line: str) -> bool:
    """Return whether a line is JSON to the letter: no NaN, no Infinity, no trailing comma."""
    try:
        json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
