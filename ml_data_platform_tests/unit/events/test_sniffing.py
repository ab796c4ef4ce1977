"""The format of a file is told from its first bytes."""

from __future__ import annotations

import pytest

from ml_data_platform.errors import LandingError
from ml_data_platform.events.sniffing import FormatGuess, lacks_header, sniff_format

DELIMITED = {
    ",": "a,b,c\n1,2,3\n4,5,6\n",
    ";": 'a;b\n"1,5";2\n"3,5";4\n',
    "\t": "a\tb c\n1\t2, 3\n4\t5, 6\n",
    "|": "a|b|c\n1|2|3,4\n5|6|7\n",
}


@pytest.mark.parametrize("delimiter", DELIMITED)
def test_the_delimiter_cuts_all_lines_alike(delimiter):
    """Commas inside of cells do not make a comma the delimiter."""
    guess = sniff_format(DELIMITED[delimiter].encode())
    assert (guess.format, guess.delimiter, guess.quote) == ("csv", delimiter, '"')


def test_quotes_that_hold_the_delimiter_are_found():
    """Cells quoted by apostrophes are cut alike only when these are the quotes."""
    guess = sniff_format(b"a,b\n'1,5',2\n'3,5',4\n'1',1\n")
    assert (guess.delimiter, guess.quote) == (",", "'")


def test_escaped_quotes_are_found():
    """A backslash before a quote within a cell escapes it; one at the end of a cell, or of a path, does not."""
    escaped = b'a,b\n1,"She said \\"well\\", then left"\n2,"He \\"no\\""\n'
    assert sniff_format(escaped).keys() == {"format": "csv", "csv": {"escape": "\\"}}
    for plain in (b'a,b\n1,"C:\\"\n2,"D:\\"\n', b"a,b\n1,C:\\x\n", b'a,b\n"x ""y"" \\",1\n'):
        assert sniff_format(plain) == FormatGuess("csv")


def test_a_mark_and_windows_line_ends_do_not_matter():
    """Spreadsheets write a byte order mark and carriage returns."""
    assert sniff_format(b"\xef\xbb\xbfa;b\r\n1;2\r\n").delimiter == ";"


def test_objects_are_json_lines():
    """A first character that opens an object or an array makes JSON, however it is laid out."""
    assert sniff_format(b'{"a": 1}\n{"a": 2}\n').format == "jsonl"
    assert sniff_format(b'[\n  {"a": 1}]').format == "jsonl"
    assert sniff_format(b'{\n  "a": 1\n}').format == "jsonl"
    assert sniff_format(b"PAR1\x15\x04").format == "parquet"


def test_what_cannot_be_read_is_named():
    """The message says what the file is instead."""
    with pytest.raises(LandingError, match="XML or HTML"):
        sniff_format(b"<html>")


def test_a_header_has_names_and_no_values():
    """A first line with a number, a time or a UUID is a row."""
    assert lacks_header(["u1", "2026-06-01 10:00:00", "view"])
    assert lacks_header(["17", "a"])
    assert lacks_header(["123e4567-e89b-12d3-a456-426614174000", "a"])
    assert not lacks_header(["user", "2nd_page", "time (UTC)"])


def test_a_guess_says_only_what_differs_from_the_defaults():
    """A contract of an ordinary CSV file has no section about it."""
    assert FormatGuess("csv").keys() == {"format": "csv"}
    assert FormatGuess("csv", ";", "'").keys() == {"format": "csv", "csv": {"delimiter": ";", "quote": "'"}}
