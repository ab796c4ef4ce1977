"""JSON lines as chunks of landed rows.

Belongs here: which lines are rows, which of them are JSON objects that every later reader reads alike.
Does not belong here: what the keys of an object mean (``events.parsing``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BufferedIOBase
from typing import NoReturn

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ml_data_platform.landing.chunks import CHUNK, MALFORMED_ROW, MAX_CHUNK_ROWS
from ml_data_platform.landing.lines import MAX_ROW_BYTES, Block, read_blocks, unparsed

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
    """Read JSON lines.

    Args:
        stream: The decompressed content from its start.
        connection: An engine to classify lines with; the name ``landed_lines`` is used in it.

    Yields:
        Tables of schema ``CHUNK``: one row per line that is not blank, in file order; ``source_row`` is the
        1-based physical line number.

    Raises:
        LandingError: The content is not lines of UTF-8 text.
    """
    for block in read_blocks(stream):
        if block.is_overlong:
            yield _defective([block.first_line], [block.data])
            continue
        for numbers, lines, undecodable in _split(block):
            connection.register("landed_lines", pa.table({"source_row": numbers, "line": lines}))
            try:
                classified = connection.sql(_CLASSIFY).to_arrow_table()
            finally:
                connection.unregister("landed_lines")
            chunk = _with_defects(classified, undecodable)
            if chunk.num_rows:
                yield chunk


def _split(block: Block) -> Iterator[tuple[pa.Array, pa.Array, dict[int, bytes]]]:
    """Split a block into numbered lines, and those lines by number that are not UTF-8."""
    data = block.data.replace(b"\r\n", b"\n").removesuffix(b"\n").removesuffix(b"\r")
    places, lines = _filled_lines(data)
    for start in range(0, len(lines), MAX_CHUNK_ROWS):
        part = lines[start : start + MAX_CHUNK_ROWS]
        numbered = (places[start : start + MAX_CHUNK_ROWS] + block.first_line).tolist()
        numbers = pa.array(numbered, pa.int64())
        undecodable: dict[int, bytes] = {}
        try:
            texts = pa.array(part, pa.binary()).cast(pa.string())
        except pa.ArrowInvalid:
            undecodable = {n: line for n, line in zip(numbered, part, strict=True) if not _is_utf8(line)}
            shown = [b"!" if n in undecodable else line for n, line in zip(numbered, part, strict=True)]
            texts = pa.array(shown, pa.binary())
            texts = texts.cast(pa.string())
        yield numbers, texts, undecodable


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
