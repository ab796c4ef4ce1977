"""CSV as chunks of landed rows.

Belongs here: records, quoting, header, cells to JSON text. Does not belong here: what a column means
(``events.parsing``), and which columns a contract asks for (``readers``).
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BufferedIOBase

import duckdb
import pyarrow as pa

from ml_data_platform.errors import LandingError
from ml_data_platform.landing.chunks import (
    CHUNK,
    CUT_OFF,
    MALFORMED_ROW,
    MAX_CHUNK_CHARACTERS,
    MAX_CHUNK_ROWS,
    WRONG_FIELD_COUNT,
)
from ml_data_platform.landing.column_names import is_text, refuse_unreadable_names
from ml_data_platform.landing.distinct_names import EXTRA_FIELDS_KEY, distinct_names, repeated_names
from ml_data_platform.landing.limits import LIMITS, Limits
from ml_data_platform.landing.line_feed import LineFeed
from ml_data_platform.landing.lines import read_blocks, unparsed
from ml_data_platform.landing.text_content import as_utf8

MAX_FIELD_CHARACTERS = 131_072

# How many lines within a record tell that a quote is unpaired, and how many percent of them look like rows of the file:
# an address has fewer lines or other commas, and a text has commas here and there.
MIN_LINES_WITHIN = 3
MIN_PERCENT_LIKE_ROWS = 90


_Defect = tuple[int, str, str]


@dataclass
class _Batch:
    """Records read but not yet handed on; ``malformed`` holds lines by record number."""

    rows: list[list[str]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    malformed: dict[int, str] = field(default_factory=dict)


class DelimitedReader:
    """One landed CSV file: its header, then its rows.

    Args:
        stream: The decompressed content from its start.
        delimiter: One character between cells.
        quote: One character around cells.
        escape: One character that takes the meaning of a quote, delimiter, line end or escape behind it; None: there is
            none.
        limits: What the file may cost.

    Attributes:
        header: Column names as landed; where the file's own are blank, repeated or reserved, see `distinct_names`.
        repeated: The names that were repeated or reserved.

    Raises:
        LandingError: There is no header, or its names are not UTF-8; or the content is not text.
    """

    def __init__(
        self,
        stream: BufferedIOBase,
        *,
        delimiter: str,
        quote: str = '"',
        escape: str | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        # set each time, so that what is a row does not depend on what else runs in this process
        csv.field_size_limit(MAX_FIELD_CHARACTERS)
        self.header: list[str] = []
        self._delimiter, self._quote = delimiter, quote
        self._escaped = re.compile(rf"{re.escape(escape)}.", re.DOTALL) if escape is not None else None
        self._feed = LineFeed(read_blocks(as_utf8(stream)))
        lines: Iterator[str] = self._feed
        if escape is not None:
            # Not a generator, which would end at the first line that is refused.
            lines = map(_escapes_doubled(escape, f"{escape}{quote}{delimiter}\r\n"), lines)
        self._parser = csv.reader(lines, delimiter=delimiter, quotechar=quote, escapechar=escape, strict=True)
        record = self._read_header(limits)
        self.header, self.repeated = distinct_names(record), repeated_names(record)

    def chunks(self, connection: duckdb.DuckDBPyConnection) -> Iterator[pa.Table]:
        """Read the rows behind the header.

        A record that breaks the quoting rules costs its first physical line only: reading goes on with
        the next line. So does one of ``MIN_LINES_WITHIN + 2`` lines or more that each look like a row: its quote opens
        no cell, it is unpaired. Lines without any character are no records.

        Args:
            connection: An engine to build JSON text with; the name ``landed_cells`` is used in it.

        Yields:
            Tables of schema ``CHUNK`` in file order; ``source_row`` is the 1-based number of the record
            behind the header.
        """
        batch = _Batch()
        self._feed.characters = 0
        for number, record in enumerate(self._records(), start=1):
            if isinstance(record, str):
                batch.malformed[number] = record
            else:
                batch.rows.append(record)
                batch.numbers.append(number)
            if (
                len(batch.rows) + len(batch.malformed) >= MAX_CHUNK_ROWS
                or self._feed.characters >= MAX_CHUNK_CHARACTERS
            ):
                yield self._chunk(batch, connection)
                batch = _Batch()
                self._feed.characters = 0
        if batch.rows or batch.malformed:
            yield self._chunk(batch, connection)

    def _records(self) -> Iterator[list[str] | str]:
        """Yield the cells of each record, or the physical line at which no record can be read."""
        feed, parser = self._feed, self._parser
        while True:
            try:
                for row in parser:
                    if len(feed.record) >= MIN_LINES_WITHIN + 2 and self._is_of_rows(feed.record):
                        yield feed.refuse_first_line()
                        continue
                    feed.start_record()
                    if row:
                        yield row
            except csv.Error:
                yield feed.refuse_first_line()
            else:
                return

    def _is_of_rows(self, lines: Sequence[str]) -> bool:
        """Return whether the lines of one record are rows, which a stray quote and the next one make a cell."""
        commas = len(self.header) - 1
        if commas < 1:
            return False
        first, *within, last = (self._escaped.sub("", line) if self._escaped else line for line in lines)
        alike = sum(line.count(self._delimiter) == commas for line in within)
        if not (self._quote in first and self._quote in last) or 100 * alike < MIN_PERCENT_LIKE_ROWS * len(within):
            return False
        # What stands in quotes before the cell that is not closed, and behind the one that is not opened, counts as a cell.
        *before, opened = self._cells(first)
        closed, *behind = self._cells(self._quote + last)
        return {len(before) + opened.count(self._delimiter), len(behind) + closed.count(self._delimiter)} == {commas}

    def _cells(self, line: str) -> list[str]:
        return next(csv.reader([line], delimiter=self._delimiter, quotechar=self._quote))

    def _read_header(self, limits: Limits) -> list[str]:
        record = next(self._records(), None)
        remedy = "Send the file with one header line that names each column once."
        if record is None or isinstance(record, str):
            raise LandingError("The CSV file has no readable header line.", got=record, remedy=remedy)
        limits.require_columns(len(record))
        refuse_unreadable_names(record)
        return record

    def _chunk(self, batch: _Batch, connection: duckdb.DuckDBPyConnection) -> pa.Table:
        width, ended_within_line = len(self.header), self._feed.ended_within_line
        if not batch.malformed and set(map(len, batch.rows)) == {width}:
            try:
                return _good_rows(self.header, batch.numbers, batch.rows, connection)
            except UnicodeEncodeError:
                pass  # some cell is not UTF-8: sort the rows one by one
        good_numbers: list[int] = []
        good_rows: list[list[str]] = []
        defects = [(number, unparsed(_bytes(line)), MALFORMED_ROW) for number, line in batch.malformed.items()]
        for number, row in zip(batch.numbers, batch.rows, strict=True):
            if not all(map(is_text, row)):
                defects.append((number, unparsed(_bytes(",".join(row))), MALFORMED_ROW))
            elif len(row) != width:
                defects.append((number, _uneven(self.header, row), WRONG_FIELD_COUNT))
            else:
                good_numbers.append(number)
                good_rows.append(row)
        if ended_within_line:
            defects = _with_cut_off(defects, batch, width)
        wrong = pa.Table.from_pylist([dict(zip(CHUNK.names, defect, strict=True)) for defect in defects], schema=CHUNK)
        good = _good_rows(self.header, good_numbers, good_rows, connection)
        return pa.concat_tables([good, wrong]).sort_by("source_row").combine_chunks()


def _with_cut_off(defects: list[_Defect], batch: _Batch, width: int) -> list[_Defect]:
    """Return the defects of a file's last rows, where no line feed ends the last: one that lacks cells was cut off."""
    number = max([*batch.numbers[-1:], *batch.malformed])
    row = [] if number in batch.malformed else batch.rows[-1]
    if len(row) > width or (len(row) == width and is_text(row[-1])):
        return defects
    return [(each, text, CUT_OFF if each == number else defect) for each, text, defect in defects]


def _escapes_doubled(escape: str, special: str) -> Callable[[str], str]:
    """Return what doubles each escape of a line that takes no meaning: the parser would drop it, e.g. of a null mark."""
    found = re.compile(rf"{re.escape(escape)}(.?)", re.DOTALL)

    def doubled(match: re.Match[str]) -> str:
        return match[0] if match[1] and match[1] in special else escape + match[0]

    return lambda line: found.sub(doubled, line) if escape in line else line


def _good_rows(
    header: Sequence[str], numbers: list[int], rows: list[list[str]], connection: duckdb.DuckDBPyConnection
) -> pa.Table:
    """Return rows of the right width as chunks: one JSON object per row, an empty cell as null."""
    if not rows:
        return CHUNK.empty_table()
    names = [f"c{position}" for position in range(len(header))]
    cells = pa.table([pa.array(column, pa.string()) for column in zip(*rows, strict=True)], names=names)
    connection.register("landed_cells", cells)
    try:
        members = ", ".join(f"$k{position:d}, nullif(c{position:d}, '')" for position in range(len(header)))
        landed = connection.sql(
            f"SELECT json_object({members})::VARCHAR AS landed FROM landed_cells",
            params={f"k{position}": key for position, key in enumerate(header)},
        ).to_arrow_table()
    finally:
        connection.unregister("landed_cells")
    return pa.table(
        [pa.array(numbers, pa.int64()), landed["landed"], pa.nulls(len(numbers), pa.string())], schema=CHUNK
    )


def _uneven(header: Sequence[str], row: Sequence[str]) -> str:
    """Return the JSON text of a row with too many or too few cells."""
    landed: dict[str, object] = {name: cell or None for name, cell in zip(header, row, strict=False)}
    if len(row) > len(header):
        landed[EXTRA_FIELDS_KEY] = [cell or None for cell in row[len(header) :]]
    return json.dumps(landed, ensure_ascii=False, separators=(",", ":"))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
