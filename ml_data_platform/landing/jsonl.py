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
import pyarrow as pa
import pyarrow.compute as pc

from ml_data_platform.landing.chunks import CHUNK, MALFORMED_ROW, MAX_CHUNK_ROWS
from ml_data_platform.landing.lines import MAX_ROW_BYTES, Block, read_blocks, unparsed

# DuckDB's JSON reader takes some literals and commas that JSON does not have. A value that begins like one
# of them, or a comma before a bracket, is looked at by a strict parser; text inside of strings is rarely hit.
_LAX_JSON = r"(?i)[:\[,]\s*-?(nan|inf)|,\s*[}\]]"

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
    lines = data.split(b"\n")
    for start in range(0, len(lines), MAX_CHUNK_ROWS):
        part = lines[start : start + MAX_CHUNK_ROWS]
        first = block.first_line + start
        numbers = pa.array(range(first, first + len(part)), pa.int64())
        undecodable: dict[int, bytes] = {}
        try:
            texts = pa.array(part, pa.binary()).cast(pa.string())
        except pa.ArrowInvalid:
            undecodable = {first + index: line for index, line in enumerate(part) if not _is_utf8(line)}
            texts = pa.array([b"!" if first + i in undecodable else line for i, line in enumerate(part)], pa.binary())
            texts = texts.cast(pa.string())
        yield numbers, texts, undecodable


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
