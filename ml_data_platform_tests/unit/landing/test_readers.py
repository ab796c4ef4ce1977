"""What is a row, and what is wrong with the ones that are not: CSV and JSON lines."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from pathlib import Path

import pytest

from ml_data_platform.errors import FileTooLargeError, LandingError
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.landing import delimited, jsonl, line_feed, lines
from ml_data_platform.landing.limits import Limits
from ml_data_platform.landing.readers import read_chunks

CSV = SourceContract(
    source="shop",
    format="csv",
    schema_version=2,
    columns={"user_id": "user", "session_uuid": "session", "event_type": "kind", "event_timestamp": "at"},
)
JSONL = SourceContract(source="demo", format="jsonl")
HEADER = b"user,session,kind,at\n"


def read(tmp_path: Path, content: bytes, contract: SourceContract = CSV) -> list[tuple[int, object, str | None]]:
    """Return the rows of a file with this content, the landed text parsed by Python."""
    path = tmp_path / "landed"
    path.write_bytes(content)
    rows = []
    for chunk in read_chunks(path, contract):
        assert chunk.schema.names == ["source_row", "landed", "defect"]
        assert 0 < chunk.num_rows <= 131_072
        rows += [(row["source_row"], json.loads(row["landed"]), row["defect"]) for row in chunk.to_pylist()]
    return rows


def test_csv_cells_are_texts_and_empty_cells_are_null(tmp_path):
    """Values are kept as landed: no number, no trimming; an empty cell is JSON null."""
    got = read(tmp_path, HEADER + b' 007 ,,"a ""b"", c",1e3\n')
    assert got == [(1, {"user": " 007 ", "session": None, "kind": 'a "b", c', "at": "1e3"}, None)]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_csv_written_by_a_csv_writer_reads_back(tmp_path, newline):
    """Whatever the csv module writes comes back cell by cell, embedded line ends, quotes and NULs included."""
    rng = random.Random(7)
    letters = ["a", '"', ",", "\n", "\r\n", "é", "\u2028", "\x85", "\x00", "😀", "'", " ", "\\", "\t", "\x1f"]
    rows = [["".join(rng.choices(letters, k=rng.randrange(6))) for _ in range(4)] for _ in range(3_000)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=newline, quoting=csv.QUOTE_ALL)
    writer.writerows([["user", "session", "kind", "at"], *rows])
    got = read(tmp_path, text.getvalue().encode())
    assert [row[0] for row in got] == list(range(1, 3_001))
    assert [list(row[1].values()) for row in got] == [[cell or None for cell in row] for row in rows]
    assert {row[2] for row in got} == {None}


def test_csv_rows_of_the_wrong_width_keep_what_they_have(tmp_path):
    """Too few cells are missing keys, too many are kept aside; both are a defect, and their neighbours are not."""
    got = read(tmp_path, HEADER + b"u,s,k,1\nu,s\nu,s,k,2,x,\nu,s,k,3\n")
    assert got == [
        (1, {"user": "u", "session": "s", "kind": "k", "at": "1"}, None),
        (2, {"user": "u", "session": "s"}, "wrong_field_count"),
        (3, {"user": "u", "session": "s", "kind": "k", "at": "2", "_extra_fields": ["x", None]}, "wrong_field_count"),
        (4, {"user": "u", "session": "s", "kind": "k", "at": "3"}, None),
    ]


def test_csv_broken_quoting_costs_one_line(tmp_path):
    """A quote that never closes, or closes too early, loses its own line and none behind it."""
    body = b'u,s,k,1\nu,"s,k,2\nu,s,k,3\nu,"s"x,k,4\nu,s,k,5\n'
    got = read(tmp_path, HEADER + body)
    assert [(row[0], row[2]) for row in got] == [
        (1, None),
        (2, "malformed_row"),
        (3, None),
        (4, "malformed_row"),
        (5, None),
    ]
    assert got[1][1] == {"_unparsed": 'u,"s,k,2'}
    assert got[3][1] == {"_unparsed": 'u,"s"x,k,4'}


@pytest.mark.parametrize("contract", [CSV, CSV.model_copy(update={"csv": CSV.csv.model_copy(update={"escape": "\\"})})])
def test_csv_that_ends_within_a_row_is_cut_off(tmp_path, contract):
    """A last row without a line feed that lacks cells or the end of a quote is cut off; one that is whole is a row."""

    def last(end: bytes) -> str | None:
        defects = [row[2] for row in read(tmp_path, HEADER + b"u,s,k,1\nu,s\n" + end, contract)]
        assert defects[:2] == [None, "wrong_field_count"]
        return defects[-1]

    for end in (b"u", b"u,s,k", b'u,s,k,"2', b'u,s,"k\nk', b'u,"s"', b"u,s,k,\xc3", b"\xff"):
        assert last(end) == "cut_off", end
    for end in (b"u,s,k,", b"u,s,k,2", b'u,s,k,"2"', b"u,s,k,2\r"):
        assert last(end) is None, end
    assert last(b"u,s,k,2,3") == "wrong_field_count"
    assert last(b"u,\xff,k,2") == "malformed_row"
    assert last(b"") == "wrong_field_count"
    assert last(b"\r") == "wrong_field_count"
    assert last(b"u,s,k\n") == "wrong_field_count"
    assert last(b'u,s,"k\n') == "malformed_row"


def test_csv_quotes_that_never_pair_up_refuse_the_file(tmp_path):
    """Each line closes the quote before it and opens another: the file is refused instead of read for hours."""
    with pytest.raises(LandingError, match=r"do not pair up.*csv\.quote"):
        read(tmp_path, HEADER + b'"' + b'cccc","dddd\n' * 400_000)


def test_csv_bytes_that_are_not_utf8_are_shown_escaped(tmp_path):
    """A row with bad bytes is malformed; the bytes stay legible and its neighbours are untouched."""
    got = read(tmp_path, HEADER + b"u,s,k,1\nu,\xff\xfe,k,2\nu,\xc3\xa9,k,3\n")
    assert got[1] == (2, {"_unparsed": "u,\\xff\\xfe,k,2"}, "malformed_row")
    assert got[0][2] is None
    assert got[2] == (3, {"user": "u", "session": "é", "kind": "k", "at": "3"}, None)


def test_csv_field_beyond_the_limit_is_a_malformed_row(tmp_path):
    """A field that is too long is reported with bounded text and does not end the reading."""
    long = b"x" * (delimited.MAX_FIELD_CHARACTERS + 1)
    got = read(tmp_path, HEADER + b"u,s," + long + b",1\nu,s,k,2\n")
    assert [(row[0], row[2]) for row in got] == [(1, "malformed_row"), (2, None)]
    assert len(got[0][1]["_unparsed"]) == lines.UNPARSED_CHARACTERS


@pytest.mark.parametrize("contract", [CSV, JSONL], ids=["csv", "jsonl"])
@pytest.mark.parametrize("length", [lines.MAX_ROW_BYTES + 10, 2 * lines.BLOCK_BYTES + 10, 3 * lines.BLOCK_BYTES])
def test_endless_lines_do_not_hide_what_follows(tmp_path, contract, length):
    """A line longer than a row may be is one malformed row, wherever it stands, with bounded text."""
    good = b"u,s,k,1\n" if contract is CSV else b'{"a":1}\n'
    head = HEADER if contract is CSV else b""
    got = read(tmp_path, head + good + b"y" * length + b"\n" + good + b"z" * length, contract)
    assert [(row[0], row[2]) for row in got] == [(1, None), (2, "malformed_row"), (3, None), (4, "malformed_row")]
    assert all(set(row[1]["_unparsed"]) == {letter} for row, letter in zip(got[1::2], "yz", strict=True))
    assert all(len(row[1]["_unparsed"]) == lines.UNPARSED_CHARACTERS for row in got[1::2])


def test_csv_blank_lines_are_no_records(tmp_path):
    """Empty lines are neither rows nor counted."""
    got = read(tmp_path, b"\xef\xbb\xbf" + HEADER + b"\n\r\nu,s,k,1\n\nu,s,k,2")
    assert [(row[0], row[1]["at"]) for row in got] == [(1, "1"), (2, "2")]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_csv_columns_that_differ_in_case_stay_apart(tmp_path, newline):
    """Column names are taken to the letter, quotes and all."""
    header = b"user,session,kind,at,At,it's" + newline
    got = read(tmp_path, header + b"u,s,k,1,2,3" + newline)
    assert got[0][1] == {"user": "u", "session": "s", "kind": "k", "at": "1", "At": "2", "it's": "3"}


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"user,session,kind,at,at\n", "repeated=at"),
        (b"user,session,kind,at,\xff\n", r"xff"),
        (b'user,"session\n', "no readable header"),
        (b"user;session;kind;at\n", "missing=user, session, event|missing=.*expected=.*got=user;session;kind;at"),
        (b"user,session,at\n", "missing=kind.*expected=user, session.*got=user, session, at"),
        (b"PK\x03\x04zip", "zip archive"),
        ("user;session;kind;at\n".encode("utf-16"), "missing=user"),
    ],
)
def test_csv_files_that_are_refused_say_why(tmp_path, header, reason):
    """A header that cannot be trusted refuses the whole file, with found and expected."""
    with pytest.raises(LandingError, match=reason):
        read(tmp_path, header + b"u,s,k,1,2\n")


@pytest.mark.parametrize(
    ("header", "names"),
    [
        (b"user,session,kind,at,note,note\n", ["note", "note#2"]),
        (b"user,session,kind,at,, \n", ["_column_5", "_column_6"]),
        (b"user,session,kind,at,_unparsed,_extra_fields\n", ["_unparsed#2", "_extra_fields#2"]),
    ],
)
def test_a_column_that_nobody_reads_refuses_no_file(tmp_path, header, names):
    """Names that are blank, repeated or reserved land under names of their own; a contract that freezes them refuses."""
    (row,) = read(tmp_path, header + b"u,s,k,1,2,3\n")
    assert row == (1, {"user": "u", "session": "s", "kind": "k", "at": "1", names[0]: "2", names[1]: "3"}, None)
    frozen = CSV.model_copy(update={"unknown_columns": "freeze"})
    with pytest.raises(LandingError, match=rf"unknown=.*{names[1]}"):
        read(tmp_path, header + b"u,s,k,1,2,3\n", frozen)


def test_a_csv_file_of_blank_lines_has_no_header(tmp_path):
    """Blank lines are no header either."""
    with pytest.raises(LandingError, match="no readable header"):
        read(tmp_path, b"\xef\xbb\xbf\n\r\n")


def test_frozen_columns_refuse_a_file_with_others(tmp_path):
    """With ``freeze`` the unknown columns are named, in both formats; with ``evolve`` they are kept."""
    frozen = CSV.model_copy(update={"unknown_columns": "freeze"})
    with pytest.raises(LandingError, match="unknown=colour, size"):
        read(tmp_path, b"user,session,size,kind,at,colour\n", frozen)
    assert read(tmp_path, b"user,session,kind,at\nu,s,k,1\n", frozen)
    frozen_lines = SourceContract(source="demo", format="jsonl", unknown_columns="freeze")
    with pytest.raises(LandingError, match="unknown=page"):
        read(tmp_path, b'{"user_id":"u"}\n{"page":1,"user_id":"u"}\n', frozen_lines)
    assert read(tmp_path, b'{"user_id":{"page":1}}\nnonsense\n', frozen_lines)


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_delimiter_and_quote_follow_the_contract(tmp_path, delimiter):
    """Cells are cut where the contract says."""
    text = "user,session,kind,at\nu,'s , t',k,\"1\n".replace(",", delimiter)
    contract = CSV.model_copy(update={"csv": CSV.csv.model_copy(update={"delimiter": delimiter, "quote": "'"})})
    expected = {"user": "u", "session": f"s {delimiter} t", "kind": "k", "at": '"1'}
    assert read(tmp_path, text.encode(), contract) == [(1, expected, None)]


ESCAPED = CSV.model_copy(update={"csv": CSV.csv.model_copy(update={"escape": "\\"})})


def test_escapes_take_the_meaning_of_what_stands_behind_them(tmp_path):
    """Quotes, delimiters, line ends and escapes lose their meaning; before anything else an escape is itself."""
    body = rb"""u,"She said \"well\", then left",k,1
u\,v,a\\,k,2
u,"a\
b",k,3
\N,C:\new,"x\t""y",4
"""
    got = read(tmp_path, HEADER + body, ESCAPED)
    assert [(number, *row.values(), defect) for number, row, defect in got] == [
        (1, "u", 'She said "well", then left', "k", "1", None),
        (2, "u,v", "a\\", "k", "2", None),
        (3, "u", "a\nb", "k", "3", None),
        (4, "\\N", "C:\\new", 'x\\t"y', "4", None),
    ]
    assert {row[2] for row in read(tmp_path, HEADER + body, CSV)} != {None}


def test_escapes_cost_no_row_behind_a_broken_one(tmp_path):
    """With escapes too, a quote that never closes, an escape at the end and bad bytes cost their own line only."""
    body = b'u,"s,k,1\nu,s\\"x,k,2\nu,"s\\",k,3\nu,s,k,4\nu,\xff\\,,k,5\nu,s,k,6\\'
    got = read(tmp_path, HEADER + body, ESCAPED)
    malformed = "malformed_row"
    assert [row[2] for row in got] == [malformed, None, malformed, None, malformed, None]
    assert [got[place][1]["at"] for place in (1, 3, 5)] == ["2", "4", "6\\"]
    long = b'u,"' + b"x" * 2_000_000 + b"\n"
    got = read(tmp_path, HEADER + long + b"u,s\\,,k,2\n" * 3, ESCAPED)
    assert [row[2] for row in got] == [malformed, None, None, None]


@pytest.mark.parametrize(
    "form", [{"escapechar": "\\", "doublequote": False}, {"escapechar": "^", "quoting": csv.QUOTE_ALL}]
)
def test_csv_written_with_escapes_reads_back(tmp_path, form):
    """Whatever the csv module writes with an escape character comes back cell by cell."""
    rng = random.Random(11)
    letters = ["a", '"', ",", "\n", "é", "\x00", "😀", " ", "\\", "^", "N"]
    rows = [["".join(rng.choices(letters, k=rng.randrange(6))) for _ in range(4)] for _ in range(3_000)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", **form).writerows([["user", "session", "kind", "at"], *rows])
    contract = CSV.model_copy(update={"csv": CSV.csv.model_copy(update={"escape": form["escapechar"]})})
    got = read(tmp_path, text.getvalue().encode(), contract)
    assert [(row[0], row[2]) for row in got] == [(n, None) for n in range(1, 3_001)]
    assert [list(row[1].values()) for row in got] == [[cell or None for cell in row] for row in rows]


STRICT_JSON = [
    b'{"a":1}',
    b'  {"a": [1, {"b": null}]}  ',
    b'{"a":"NaN, Infinity"}',
    b'{"a":": NaN"}',
    b'{"a":", }"}',
    b'{"a":{"b":1},"b":{"b":1}}',
    '{"a":"é😀\\u0041"}'.encode(),
    b'{"a":1e999,"b":-0.0,"c":12345678901234567890123}',
    b"{}",
    b'{"a":1}\r',
]
NO_JSON_OBJECT = [
    b'{"a":NaN}',
    b'{"a": -Infinity}',
    b'{"a":[1, nan]}',
    b'{"a":inf}',
    b'{"a":1,}',
    b'{"a":[1,]}',
    b"[1]",
    b"1",
    b"null",
    b'"text"',
    b"NaN",
    b'{"a":1',
    b'{"a":1} {"b":2',
    b"{'a':1}",
    b'{"a":1,"a":2}',
    b'{"a":1,"\\u0061":2}',
    b'{"a":"\xff"}',
    b'{"a":"\x00"}',
    b'{"a":"\t"}',
    b'{"a":01}',
    b"user,kind",
    b"\x0c{}",
]


def test_json_lines_are_objects_to_the_letter(tmp_path):
    """Only strict JSON objects with distinct keys are rows; every other line is malformed, its text kept."""
    mixed = [line for pair in zip(STRICT_JSON * 3, NO_JSON_OBJECT, strict=False) for line in pair]
    got = read(tmp_path, b"\n".join(mixed), JSONL)
    assert [row[0] for row in got] == list(range(1, len(mixed) + 1))
    for line, (_, landed, defect) in zip(mixed, got, strict=True):
        if line in STRICT_JSON:
            assert (landed, defect) == (json.loads(line), None)
        else:
            shown = line.decode("utf-8", "backslashreplace")
            assert (landed, defect) == ({"_unparsed": shown}, "malformed_row")


def test_json_lines_are_kept_to_the_byte(tmp_path):
    """The landed text of a good line is the line: order of keys, spaces and escapes included."""
    path = tmp_path / "landed"
    path.write_bytes(b'\xef\xbb\xbf{"b":1.0, "a":"\\u00e9"}\r\n')
    (chunk,) = read_chunks(path, JSONL)
    assert chunk["landed"].to_pylist() == ['{"b":1.0, "a":"\\u00e9"}']


def test_json_blank_lines_keep_their_number(tmp_path):
    """A row's number is its physical line, so that a person finds it in the file."""
    got = read(tmp_path, b'\n{"a":1}\n\r\n   \t\n{"a":2}\n\n', JSONL)
    assert [(row[0], row[1]["a"]) for row in got] == [(2, 1), (5, 2)]


@pytest.mark.parametrize("block_bytes", [7, 64, 1_000])
def test_json_rows_do_not_depend_on_how_the_file_is_read(tmp_path, monkeypatch, block_bytes):
    """Any block size gives the same rows as splitting the whole text."""
    rng = random.Random(block_bytes)
    content = [rng.choice([*STRICT_JSON, *NO_JSON_OBJECT, b"", b'{"x":"%s"}' % (b"y" * 200)]) for _ in range(200)]
    expected = read(tmp_path, b"\n".join(content), JSONL)
    monkeypatch.setattr(lines.read_blocks, "__kwdefaults__", {"block_bytes": block_bytes})
    assert read(tmp_path, b"\n".join(content), JSONL) == expected
    assert [row[0] for row in expected] == [n for n, line in enumerate(content, 1) if line.strip()]


@pytest.mark.parametrize("block_bytes", [5, 33])
def test_csv_rows_do_not_depend_on_how_the_file_is_read(tmp_path, monkeypatch, block_bytes):
    """Quoted line ends, bad quoting and bad bytes read alike wherever a block ends."""
    rng = random.Random(block_bytes)
    kinds = [b"u,s,k,1", b'"a\nb",s,"k\r\n",2', b'u,"open,k,3', b"u,\xff,k,4", b"u,s", b"", b"u,s,k,5,6", b'"x"y,,,']
    content = HEADER + b"\n".join(rng.choice(kinds) for _ in range(100))
    expected = read(tmp_path, content)
    monkeypatch.setattr(lines.read_blocks, "__kwdefaults__", {"block_bytes": block_bytes})
    assert read(tmp_path, content) == expected


def test_files_longer_than_a_chunk_keep_their_numbers(tmp_path):
    """Chunks are bounded, and numbering goes on across them."""
    count = 140_000
    got = read(tmp_path, HEADER + b"".join(b"u,s,k,%d\n" % n for n in range(1, count + 1)))
    assert [(row[0], row[1]["at"]) for row in got] == [(n, str(n)) for n in range(1, count + 1)]
    got = read(tmp_path, b"".join(b'{"n":%d}\n' % n for n in range(1, count + 1)), JSONL)
    assert [(row[0], row[1]["n"]) for row in got] == [(n, n) for n in range(1, count + 1)]


def test_gzip_is_known_by_its_bytes(tmp_path):
    """The name says nothing; members in a row are one content."""
    content = gzip.compress(HEADER + b"u,s,k,1\n") + gzip.compress(b"u,s,k,2\n")
    assert [row[1]["at"] for row in read(tmp_path, content)] == ["1", "2"]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda whole: whole[:-9], "truncated"),
        (lambda whole: whole[:40] + bytes(byte ^ 0x5A for byte in whole[40:60]) + whole[60:], "damaged"),
        (lambda whole: whole + b"trailing", "damaged"),
    ],
)
def test_damaged_gzip_refuses_the_file(tmp_path, damage, reason):
    """A file that cannot be decompressed to its end is refused, however much of it can."""
    rng = random.Random(3)
    body = b"".join(b"u,s,k,%d\n" % rng.randrange(10**9) for _ in range(5_000))
    with pytest.raises(LandingError, match=reason):
        read(tmp_path, damage(gzip.compress(HEADER + body, mtime=0)))


def test_content_of_nothing_is_recognised(tmp_path):
    """A compressed nothing is as empty as a file of 0 bytes."""
    path = tmp_path / "landed"
    for content, expected in [(b"", True), (gzip.compress(b""), True), (b"\n", False), (gzip.compress(b"a"), False)]:
        path.write_bytes(content)
        assert lines.is_without_content(path) is expected


@pytest.mark.parametrize("contract", [CSV, JSONL], ids=["csv", "jsonl"])
@pytest.mark.parametrize("blank", [b"\n", b"\r\n"])
def test_runs_of_blank_lines_are_passed_over_at_once(tmp_path, monkeypatch, contract, blank):
    """Rows between very many blank lines are the same rows with the same numbers, and nothing is done per line."""
    monkeypatch.setattr(lines.read_blocks, "__kwdefaults__", {"block_bytes": 65_536})
    fed, split = [], []
    next_line, filled_lines = line_feed.LineFeed.__next__, jsonl._filled_lines
    monkeypatch.setattr(line_feed.LineFeed, "__next__", lambda feed: fed.append(1) or next_line(feed))
    monkeypatch.setattr(jsonl, "_filled_lines", lambda data: split.append(filled_lines(data)) or split[-1])
    content, numbers = (HEADER if contract is CSV else b""), []
    for count, gap in enumerate([0, 1, 3, 5_000, 200_000, 2, 40_000], start=1):
        content += blank * gap + (b"u,s,k,1" if contract is CSV else b'{"a":1}') + blank
        numbers.append(count if contract is CSV else content.count(b"\n"))
    got = read(tmp_path, content + blank * 100_000, contract)
    assert [(row[0], row[2]) for row in got] == [(number, None) for number in numbers]
    assert len(fed) + sum(len(found) for _, found in split) < 100


def test_blank_lines_within_quotes_are_part_of_the_cell(tmp_path):
    """Only between records are blank lines nothing."""
    ((number, row, _),) = read(tmp_path, HEADER + b'\n\n"a\n\n\nb",s,k,1\n\n')
    assert (number, row["user"]) == (1, "a\n\n\nb")


@pytest.mark.parametrize("contract", [CSV, JSONL], ids=["csv", "jsonl"])
def test_more_rows_than_allowed_refuse_the_file_and_name_the_setting(tmp_path, contract):
    """As many as allowed are read; with one more the message names the bound and the setting that moves it."""
    path = tmp_path / "landed"
    path.write_bytes((HEADER if contract is CSV else b"") + (b"u,s,k,1\n" if contract is CSV else b'{"a":1}\n') * 5)
    assert sum(chunk.num_rows for chunk in read_chunks(path, contract, limits=Limits(rows=5))) == 5
    with pytest.raises(FileTooLargeError, match=r"at most 4 rows.*`max_file_rows`"):
        list(read_chunks(path, contract, limits=Limits(rows=4)))


def test_a_header_of_very_many_columns_refuses_the_file_at_once(tmp_path):
    """A hundred thousand names are counted, not compared; the message is short and names the setting."""
    path = tmp_path / "landed"
    path.write_bytes((HEADER.decode().strip() + ",c" * 100_000 + "\n").encode())
    with pytest.raises(FileTooLargeError, match=r"at most 10,000 columns.*got=100,004.*`max_file_columns`"):
        list(read_chunks(path, CSV))
