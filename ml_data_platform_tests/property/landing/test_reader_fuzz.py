"""Any bytes are either rows, each of them legible and counted once, or a file that is refused with a reason."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ml_data_platform.errors import LandingError
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.landing.readers import read_chunks
from ml_data_platform_tests.examples import tried

CSV = SourceContract(
    source="shop",
    format="csv",
    schema_version=2,
    columns={"user_id": "a", "session_uuid": "b", "event_type": "c", "event_timestamp": "d"},
)
JSONL = SourceContract(source="shop", format="jsonl")
PARQUET = SourceContract(source="shop", format="parquet", schema_version=2)
HEADER = b"a,b,c,d\n"
DEFECTS = {None, "malformed_row", "wrong_field_count", "cut_off"}
pieces = st.lists(
    st.one_of(
        st.sampled_from([b'"', b'""', b",", b"\n", b"\r\n", b"\r", b"\0", b"\xff", b"\xc3", b"\xef\xbb\xbf", b"{", b"}"]),
        st.sampled_from([b'{"a":1}', b'{"a":"\\ud800"}', b'{"a":[', b"]", b":", b"NaN", b'{"a":1,"a":2}', b" ", b"x,y,z,1"]),
        st.text(max_size=4).map(str.encode),
        st.binary(max_size=4),
    ),
    max_size=30,
).map(b"".join)  # fmt: skip


@pytest.fixture(scope="module")
def engine():
    """One engine for all examples."""
    with duckdb.connect(config={"threads": 1}) as connection:
        yield connection


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where each example lies."""
    return tmp_path_factory.mktemp("fuzz") / "landed"


def rows_of(path, contract, engine):
    """Return (row number, landed, defect) of all rows, whatever they are; None for a file that is refused."""
    found = []
    try:
        for chunk in read_chunks(path, contract, connection=engine):
            found += [(row["source_row"], row["landed"], row["defect"]) for row in chunk.to_pylist()]
    except LandingError as refused:
        reason = str(refused)
        return None if 20 < len(reason) <= 2_000 else pytest.fail(f"no clear reason: {reason[:200]}")
    for _, landed, defect in found:
        assert isinstance(json.loads(landed), dict)
        assert defect in DEFECTS
    return found


def is_object(line):
    """Return whether Python reads a line as one object with distinct keys."""
    try:
        pairs = json.loads(line, object_pairs_hook=list, parse_constant=pytest.fail)
        json.dumps(pairs, ensure_ascii=False).encode()  # lone surrogates are no text
    except (ValueError, RecursionError, pytest.fail.Exception):
        return False
    return line.lstrip()[:1] == b"{" and len(dict(pairs)) == len(pairs)


@given(content=pieces, is_zipped=st.booleans())
@example(content=b'{"a":"\\ud83d\\ude00"}\n{"a":"\\ud83d"}', is_zipped=False)
@tried(150)
def test_each_line_of_json_is_one_row(place, engine, content, is_zipped):
    """Of any bytes behind a line of JSON each line that is not blank is one row; a good one is kept to the byte.

    A line of several objects, or with commas at its ends, is as many rows as it has objects.
    """
    content = b'{"first":0}\n' + content
    place.write_bytes(gzip.compress(content) if is_zipped else content)
    found = rows_of(place, JSONL, engine)
    lines = content.replace(b"\r\n", b"\n").split(b"\n")
    if not any(line.count(b"{") > 1 or line.strip()[:1] in b"[,\x1e" or line.strip()[-1:] == b"," for line in lines):
        assert [number for number, _, _ in found] == [n for n, line in enumerate(lines, 1) if line.strip(b" \t\r\f\v")]
        assert [landed.encode() for number, landed, defect in found if defect is None] == list(filter(is_object, lines))
    numbers = [number for number, _, _ in found]
    assert numbers == sorted(set(numbers))
    kept = [landed.encode() for _, landed, defect in found if defect is None]
    assert all(line in kept for line in lines if is_object(line))


@given(
    content=pieces, start=st.sampled_from([b"[", b"{", b'[{"a":1},', b'{"a":1}{"b":2}', b'{"a":\n1}', b"\xef\xbb\xbf["])
)
@tried(200)
def test_any_document_is_rows_or_refused(place, engine, content, start):
    """Of any bytes that begin like an array or like objects without line feeds all rows have a number of their own."""
    place.write_bytes(start + content)
    found = rows_of(place, JSONL, engine)
    if found is None:
        return
    numbers = [number for number, _, _ in found]
    assert numbers == sorted(set(numbers))
    assert all(is_object(landed.encode()) for _, landed, defect in found if defect is None)
    assert found or not (start + content).strip(b" \t\r\n,\x1e[]\xef\xbb\xbf")


@given(content=pieces, is_zipped=st.booleans())
@tried(150)
def test_records_of_csv_are_numbered_without_gaps(place, engine, content, is_zipped):
    """Of any bytes behind a header the rows count up; without a broken one they are those of the csv module."""
    whole = HEADER + content
    place.write_bytes(gzip.compress(whole) if is_zipped else whole)
    found = rows_of(place, CSV, engine)
    assert [number for number, _, _ in found] == list(range(1, len(found) + 1))
    if all(defect in {None, "wrong_field_count"} for _, _, defect in found):
        text = io.StringIO(whole.decode(), newline="")
        expected = [row for row in csv.reader(io.StringIO(text.getvalue(), newline="\n"), strict=True) if row][1:]
        assert len(found) == len(expected)
        good = [(landed, row) for (_, landed, defect), row in zip(found, expected, strict=True) if defect is None]
        assert all(list(json.loads(landed).values()) == [cell or None for cell in row] for landed, row in good)


@pytest.mark.parametrize("seed", range(10))
def test_damaged_parquet_is_refused_or_read(place, seed):
    """Bytes changed anywhere in a Parquet file end in rows of the right number, or in a refusal; never otherwise."""
    draw = random.Random(seed)
    columns = {
        "user_id": list(range(500)),
        "session_uuid": [f"s{n % 7}" for n in range(500)],
        "event_type": [["a", None][n % 2] for n in range(500)],
        "event_timestamp": [n * 10**15 for n in range(500)],
        "nested": [[{"x": n}] for n in range(500)],
    }
    target = io.BytesIO()
    codec = ["none", "snappy", "zstd", "gzip"][seed % 4]
    pq.write_table(pa.table(columns), target, compression=codec, write_page_checksum=False)
    damaged = bytearray(target.getvalue())
    # The footer steers the decoder, so half of the damage goes there.
    first = len(damaged) // 2 if seed % 2 else 4
    for _ in range(draw.choice([1, 3, 20])):
        damaged[draw.randrange(first, len(damaged) - 8)] = draw.randrange(256)
    place.write_bytes(bytes(damaged))
    found = rows_of(place, PARQUET, None)
    assert found is None or [number for number, _, _ in found] == list(range(1, len(found) + 1))
