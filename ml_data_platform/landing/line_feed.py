"""Physical lines for the CSV parser, with a way back.

Belongs here: handing out lines one by one, and again where a record turned out not to be one. Does not
belong here: what a record is (``delimited``).
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterator

from ml_data_platform.errors import LandingError, bounded
from ml_data_platform.landing.column_names import printable
from ml_data_platform.landing.lines import MAX_ROW_BYTES, Block

# A record that turns out not to be one is read again from its second line on. Quotes that never pair up make that
# the rest of the file, for each of its lines.
MAX_READ_AGAIN_PER_CHARACTER = 16
MIN_READ_AGAIN_ALLOWED = 64 * 1024 * 1024


_BLANK = frozenset({"\n", "\r\n"})


class _CutLine(str):
    """The beginning of a physical line that is too long to be read."""

    __slots__ = ()


class LineFeed:
    """Feeds physical lines to the CSV parser and can hand a record's lines out again.

    Attributes:
        record: The lines fed since the last call of ``start_record``.
        characters: Number of characters fed since the last reset by the caller.
    """

    def __init__(self, blocks: Iterator[Block]) -> None:
        self._blocks = blocks
        self._text = ""
        self._lines = io.StringIO(newline="\n")
        self._again: deque[str] = deque()
        self.record: list[str] = []
        self._record_characters = 0
        self.characters = 0
        self._characters_read = 0
        self._characters_again = 0
        self._last = "\n"

    @property
    def ended_within_line(self) -> bool:
        """Whether the file's last line, which no line feed ends, is the last one of the record that was read last."""
        is_whole = self._last.endswith("\n") or not self._last.strip("\r")
        return not (is_whole or self._again or self.record)

    def __iter__(self) -> LineFeed:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._next_line()
        self.record.append(line)
        self.characters += len(line)
        self._record_characters += len(line)
        if self._record_characters > MAX_ROW_BYTES or isinstance(line, _CutLine):
            # the parser hands it on as if it were its own
            raise csv.Error("the record is too long")
        return line

    def start_record(self) -> None:
        """Forget the lines of the record that was read."""
        self.record.clear()
        self._record_characters = 0

    def refuse_first_line(self) -> str:
        """Give up the record's first line, and feed the lines behind it again.

        Returns:
            The line that was given up, without its end.

        Raises:
            LandingError: So much was fed again that reading would take the square of the file's length.
        """
        refused, *behind = self.record
        self._characters_again += self._record_characters - len(refused)
        allowed = MIN_READ_AGAIN_ALLOWED + MAX_READ_AGAIN_PER_CHARACTER * self._characters_read
        if self._characters_again > allowed:
            raise LandingError(
                "The quotes of the CSV file do not pair up: no end of a record is found, line after line.",
                remedy="Ask the producer to quote cells properly, or correct `csv.quote` or `csv.escape` in the contract.",
                reason=bounded(printable(refused)),
            )
        self._again.extendleft(reversed(behind))
        self.start_record()
        return refused.removesuffix("\n").removesuffix("\r")

    def _next_line(self) -> str:
        while (line := self._next_filled_line()) is None:
            block = next(self._blocks)
            self._text = _decode(block.data)
            if block.is_overlong:
                return _CutLine(self._text)
            # only a line feed ends a line, as in the numbering of JSON lines
            self._lines = io.StringIO(self._text, newline="\n")
        self._characters_read += len(line)
        self._last = line
        return line

    def _next_filled_line(self) -> str | None:
        """Return the next line of the present block; where a record may begin, one that is not blank."""
        line = next(self._lines, None)
        if line in _BLANK and not self.record:
            # No record, and maybe the first of millions: a few kilobytes of gzip can stand for them.
            self._skip_blank_lines()
            line = next(self._lines, None)
        return line

    def _skip_blank_lines(self) -> None:
        here = self._lines.tell()
        filled = len(self._text) - len(self._text[here:].lstrip("\r\n"))
        self._lines.seek(max(here, self._text.rfind("\n", here, filled) + 1))


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("utf-8", "surrogateescape")
