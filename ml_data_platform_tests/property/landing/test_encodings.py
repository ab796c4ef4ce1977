"""Text in another encoding of Unicode is the same rows as in UTF-8, and what cannot be decoded is a malformed row."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.landing import lines
from ml_data_platform.landing.readers import read_chunks
from ml_data_platform.landing.text_content import as_utf8, encoding_of

CSV = SourceContract(
    source="shop",
    format="csv",
    schema_version=2,
    columns={"user_id": "user", "session_uuid": "session", "event_type": "kind", "event_timestamp": "at"},
)
JSONL = SourceContract(source="shop", format="jsonl")
HEADER = ["user", "session", "kind", "at", "имя"]
ENCODINGS = {"utf-16-le": "\ufeff", "utf-16-be": "\ufeff", "utf-32-le": "\ufeff", "utf-32-be": "\ufeff"}
FORMS = [*((name, mark) for name, mark in ENCODINGS.items()), ("utf-16-le", ""), ("utf-16-be", ""), ("utf-8", "\ufeff")]
texts = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(["😀", "\u0a0a", "Ā", "商品", "\n"])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where each example lies."""
    return tmp_path_factory.mktemp("encodings") / "landed"


def rows_of(place, contract, content):
    """Return (row number, landed text, defect) of all rows."""
    place.write_bytes(content)
    chunks = read_chunks(place, contract)
    return [(row["source_row"], row["landed"], row["defect"]) for chunk in chunks for row in chunk.to_pylist()]


@given(
    rows=st.lists(st.lists(texts, min_size=5, max_size=5), min_size=1, max_size=20),
    form=st.sampled_from(FORMS),
    is_zipped=st.booleans(),
)
@example(rows=[["商"] * 5], form=("utf-16-be", ""), is_zipped=True)
def test_encodings_make_no_difference(place, rows, form, is_zipped):
    """Records of CSV and objects of JSON are the same rows in every encoding, with a byte order mark and without."""
    encoding, mark = form
    target = io.StringIO(newline="")
    csv.writer(target).writerows([HEADER, *rows])
    json_text = "\n".join(json.dumps(dict(zip(HEADER, row, strict=True)), ensure_ascii=False) for row in rows)
    for contract, text in (
        (CSV, target.getvalue()),
        (JSONL, json_text),
        (JSONL, f"[{json_text.replace(chr(10), ',')}]"),
    ):
        content = (mark + text).encode(encoding)
        assume(mark or encoding_of(content[:4_096]) == encoding)  # texts of Chinese alone need a mark
        found = rows_of(place, contract, gzip.compress(content) if is_zipped else content)
        assert found == rows_of(place, contract, text.encode())
        assert len(found) == len(rows)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_usual_files_need_no_mark(place, encoding):
    """Names and values of another script beside commas, digits and line ends are recognised."""
    text = "пользователь,сеанс\r\n" + "Анна,2026-06-01 10:00:00\r\n" * 3
    assert encoding_of(text.encode(encoding)) == encoding
    assert encoding_of('{"имя":"Анна"}'.encode(encoding)) == encoding
    assert encoding_of(text.encode()) is None
    assert encoding_of(b'user,session,kind,at\n"\0"') is None


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_reads_of_any_size_give_the_same_bytes(size):
    """Characters of four bytes are whole, wherever a read ends."""
    text = '{"a":"😀é商"}\n' * 40
    stream, found = as_utf8(io.BytesIO(text.encode("utf-16"))), b""
    while data := stream.read(size):
        assert len(data) <= size
        found += data
    assert found.decode("utf-8-sig") == text


def test_what_is_cut_or_alone_costs_its_row(place):
    """A lone surrogate, and half of a character at the end, make their own row malformed and no other."""
    lone = "\ud83d".encode("utf-16-le", "surrogatepass")
    rows = ['{"a":1}\n'.encode("utf-16-le"), b'{\0"\0a\0"\0:\0"\0', lone, '"}\n{"a":3}\n{"a":4}'.encode("utf-16-le")]
    found = rows_of(place, JSONL, b"".join(rows) + b"x")
    assert [(number, defect) for number, _, defect in found] == [
        (1, None),
        (2, "malformed_row"),
        (3, None),
        (4, "malformed_row"),
    ]
    cells = (
        "user,session,kind,at\nu,s,k,1\nu,".encode("utf-16-le") + lone + ",k,2\nu,s,k,3\nu,s,k,4".encode("utf-16-le")
    )
    found = rows_of(place, CSV, cells + b"x")
    assert [defect for _, _, defect in found] == [None, "malformed_row", None, "cut_off"]


def test_a_mark_alone_is_no_row(place):
    """A file of nothing but a byte order mark has no rows."""
    assert rows_of(place, JSONL, b"\xff\xfe") == []
    with lines.open_landed(place) as stream:
        assert as_utf8(stream).read(10) == b"\xef\xbb\xbf"
