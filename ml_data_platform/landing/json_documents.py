"""JSON objects that are not one to a line: an array of them, one behind the other, or printed over several lines.

Belongs here: where an object begins and ends, and how reading goes on behind a broken one. Does not belong here: whether an
object is good JSON (``jsonl``).

Commas, blanks and record separators (RFC 7464) may stand between objects. What stands there otherwise, e.g. the number in
``[1, {}]``, is a piece too, which is no object. Behind an object without an end reading goes on with the next line that
begins as the objects before it did. Where there is no such line, the rest is one piece, if it holds one object at most; if
it holds more, nobody knows how many, and the file is refused. Where the rest is the beginning of an object or array, the
file was cut off.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from io import BytesIO

from ml_data_platform.errors import LandingError
from ml_data_platform.landing.lines import BLOCK_BYTES, MAX_ROW_BYTES, UNPARSED_CHARACTERS
from ml_data_platform.landing.text_content import Readable, Rejoined

MAX_READ_AGAIN_PER_BYTE = 16
MIN_READ_AGAIN_ALLOWED = 64 * 1024 * 1024

_MARK = b"\xef\xbb\xbf"
# A line feed within a string is no JSON: a quote that is lost costs one line.
_STRING = rb'"(?:[^"\\\n]++|\\[^\n])*+"'
_NESTED_IN_PATTERN = 4
_MAX_INDENT = 64
_BLANKS = b" \t\r\n"
_SHOWN_BYTES = 4 * UNPARSED_CHARACTERS


def _object_pattern(depth: int) -> bytes:
    within = b"" if depth == 0 else b"|" + _object_pattern(depth - 1)
    return rb'\{(?:[^"{}]++|' + _STRING + within + rb")*+\}"


_OBJECT = re.compile(_object_pattern(_NESTED_IN_PATTERN))
_TOKEN = re.compile(_STRING + rb'|["\[\]{}]')
_SEPARATORS = re.compile(rb"[ \t\r\n,\x1e]*+")
_NO_OBJECT = re.compile(rb"(?:" + _STRING + rb"|[^\n,:\[\]{])++|\]")
_NEXT_OBJECT = re.compile(rb"\}[ \t\r\n,\x1e]*+\{")
_BEFORE_ON_LINE = re.compile(rb"(?:\A|\n)([ \t]*)\Z")


def begins_document(head: bytes) -> bool:
    """Return whether a file of JSON objects does not have one to a line, as its beginning shows.

    Args:
        head: The first bytes, UTF-8: all of a file, or ``BLOCK_BYTES``.
    """
    start = _after_separators(head, len(_MARK) if head.startswith(_MARK) else 0)
    line_end = head.find(b"\n", start)
    if head[start : start + 1] == b"[":
        is_closed = line_end >= 0 and _end_of(head[start:line_end], 0) >= 0
        return not is_closed or line_end - start > MAX_ROW_BYTES or _after_separators(head, line_end) == len(head)
    found = _OBJECT.match(head, start)
    if found is None or (
        not head[found.end() : line_end if line_end >= 0 else None].strip(b" \t\r") and b"\n" not in found[0]
    ):
        return False
    try:
        json.loads(found[0])
    except (ValueError, RecursionError):
        return False
    return True


def objects_in(line: bytes) -> list[bytes] | None:
    """Return the objects of a line that holds several, an array, or separators; None where it holds anything else."""
    bare = line.strip(_BLANKS)
    if not bare.startswith((b"{", b"[", b"\x1e", b",")):
        return None
    try:
        pieces = [piece for _, piece in Documents(Rejoined(line, BytesIO())).pieces()]
    except LandingError:
        return None
    is_other = not pieces or pieces == [bare]
    return None if is_other or not all(piece[:1] == b"{" and piece[-1:] == b"}" for piece in pieces) else pieces


def is_cut_off(line: bytes) -> bool:
    """Return whether a file's last line, which no line feed ends, ends in the middle of an object or array."""
    documents = Documents(Rejoined(line, BytesIO()))
    try:
        for _ in documents.pieces():
            pass
    except LandingError:
        return False
    return documents.is_cut_off


class Documents:
    """The pieces of a content: its objects, and what stands where an object should.

    Args:
        content: UTF-8 from its start, without a byte order mark.

    Attributes:
        is_cut_off: The piece that was read last is the content's last, and the content ends in the middle of it.
    """

    def __init__(self, content: Readable) -> None:
        self._content = content
        self._data = b""
        self._at = 0
        self._line = 1
        self._has_ended = False
        self._indent: bytes | None = None
        self._read = 0
        self._read_again = 0
        self.is_cut_off = False

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """Read on.

        Yields:
            The 1-based number of the line on which a piece begins, and the piece, in file order.

        Raises:
            LandingError: An object has no end, and what follows it cannot be told apart.
        """
        is_in_array = is_broken = False
        while self._skip_separators():
            first = self._data[self._at : self._at + 1]
            if (first == b"[" and not is_in_array) or (first == b"]" and is_in_array):
                is_in_array = first == b"["
                self._at += 1
                continue
            end = self._find_end()
            if end is None:
                line, shown = self._line, self._data[self._at :][:_SHOWN_BYTES]
                skipped = self._skip_broken()
                is_broken = skipped is None
                self.is_cut_off = is_broken and self._ends_within(shown, is_in_array=is_in_array)
                yield line, shown[:skipped].rstrip(_BLANKS)
                continue
            if first == b"{":
                self._note_indent()
            yield self._line, self._data[self._at : end]
            self._go_to(end)
        if is_in_array and not is_broken:
            # The end of the array is missing, and maybe more.
            self.is_cut_off = True
            yield self._line, b"["

    def _skip_separators(self) -> bool:
        """Go to the next piece; returns whether there is one."""
        while True:
            self._go_to(_after_separators(self._data, self._at))
            if self._at < len(self._data):
                return True
            if not self._refill():
                return False

    def _find_end(self) -> int | None:
        """Return where the piece here ends, None if it does not."""
        while True:
            end = _end_of(self._data, self._at)
            # What stands between objects goes on behind the data that was read, or does not.
            if end >= 0 and (end < len(self._data) or self._has_ended or self._data[self._at : self._at + 1] in b"{["):
                return end
            if end < 0:
                self._count_again(-end - self._at)
            if len(self._data) - self._at >= BLOCK_BYTES or not self._refill():
                return end if end >= 0 else None

    def _skip_broken(self) -> int | None:
        """Go to the next line that begins as the objects before did; returns how far that is, None: there is none."""
        wanted = b"\n" + (self._indent or b"") + b"{"
        line, has_more, skipped = self._line, False, 0
        while True:
            found = self._data.find(wanted, self._at)
            has_more = has_more or _NEXT_OBJECT.search(self._data, self._at) is not None
            if found >= 0:
                place = found + len(wanted) - 1
                skipped += place - self._at
                self._go_to(place)
                return skipped
            # The last bytes may be the beginning of what is looked for.
            place = max(self._at, len(self._data) - len(wanted))
            skipped += place - self._at
            self._go_to(place)
            if not self._refill():
                break
        self._go_to(len(self._data))
        if has_more:
            raise LandingError(
                "The JSON objects of the file cannot be told apart: one has no end.",
                expected="an array of objects, or one object behind the other",
                got=f"no end of the object that begins on line {line:,}, and more than one behind it",
                remedy="Ask the producer to send the whole file again, best with one object on each line.",
            )
        return None

    def _ends_within(self, piece: bytes, *, is_in_array: bool) -> bool:
        """Return whether the content ends in the middle of its last piece; else it lost a quote or bracket elsewhere."""
        if not is_in_array and not self._data.endswith(b"\n"):
            return True
        last = self._data.rstrip(_BLANKS)[-1:]
        return (is_in_array or b"\n" in piece.rstrip(_BLANKS)) and _is_beginning(piece, last)

    def _note_indent(self) -> None:
        before = _BEFORE_ON_LINE.search(self._data[max(0, self._at - _MAX_INDENT) : self._at])
        if before is not None:
            self._indent = before[1]

    def _go_to(self, place: int) -> None:
        self._line += self._data.count(b"\n", self._at, place)
        self._at = place

    def _count_again(self, size: int) -> None:
        self._read_again += size
        if self._read_again > MIN_READ_AGAIN_ALLOWED + MAX_READ_AGAIN_PER_BYTE * self._read:
            raise LandingError(
                "The JSON objects of the file cannot be told apart: object after object has no end.",
                remedy="Ask the producer to send the file again, best with one object on each line.",
            )

    def _refill(self) -> bool:
        data = b"" if self._has_ended else self._content.read(BLOCK_BYTES)
        self._has_ended = not data
        self._read += len(data)
        # What stands before the present place tells how it is indented.
        kept = max(0, self._at - _MAX_INDENT)
        self._data, self._at = self._data[kept:] + data, self._at - kept
        return bool(data)


def _is_beginning(piece: bytes, last: bytes) -> bool:
    """Return whether each bracket of a piece closes one that it opened; where a string has no end, ask its last byte."""
    opened: list[bytes] = []
    for token in _TOKEN.finditer(piece):
        found = token[0]
        if found in (b"{", b"["):
            opened.append(found)
        elif found == b'"':
            return last not in (b"}", b"]")
        elif found in (b"}", b"]") and (not opened or opened.pop() + found not in (b"{}", b"[]")):
            return False
    return True


def _after_separators(data: bytes, at: int) -> int:
    found = _SEPARATORS.match(data, at)
    return at if found is None else found.end()


def _end_of(data: bytes, at: int) -> int:
    """Return where the piece at ``at`` ends; where it does not, the place to which it was read, negative."""
    opening = data[at : at + 1]
    if opening not in (b"{", b"["):
        other = _NO_OBJECT.match(data, at)
        end = at + 1 if other is None else other.end()
        # A key without its object: what follows it is no element.
        return -end if data[end : end + 1] == b":" else end
    simple = _OBJECT.match(data, at) if opening == b"{" else None
    if simple is not None:
        return simple.end()
    closing = b"}" if opening == b"{" else b"]"
    depth = 0
    for token in _TOKEN.finditer(data, at):
        found = token[0]
        depth += (found == opening) - (found == closing)
        if not depth:
            return token.end()
        if found == b'"':
            return -token.end()
    return -len(data)
