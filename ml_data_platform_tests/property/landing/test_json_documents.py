"""Objects that are not one to a line are the rows that Python's json module reads, however they are laid out."""

from __future__ import annotations

import json
import tracemalloc

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ml_data_platform.errors import LandingError
from ml_data_platform.landing import json_documents
from ml_data_platform.landing.jsonl import read_json_lines

texts = st.text(st.characters(codec="utf-8"), max_size=5) | st.sampled_from(
    ['"', "\\", "},{", "[{", "\n", "\u2028", "a.b"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, values, max_size=4)
LAYOUTS = {
    "array on one line": json.dumps,
    "compact array": lambda rows: json.dumps(rows, separators=(",", ":"), ensure_ascii=False),
    "array over lines": lambda rows: json.dumps(rows, indent=2),
    "array, one object to a line": lambda rows: "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n",
    "array with commas in front": lambda rows: "[" + "\n,".join(map(json.dumps, rows)) + "]",
    "one behind the other": lambda rows: "".join(map(json.dumps, rows)),
    "one behind the other, over lines": lambda rows: "\n".join(json.dumps(row, indent="\t") for row in rows),
    "two to a line": lambda rows: "".join(json.dumps(row) + " \n"[n % 2] for n, row in enumerate(rows)),
    "an array to a line": lambda rows: "".join(json.dumps(rows[n : n + 3]) + "\r\n" for n in range(0, len(rows), 3)),
    "sequence": lambda rows: "".join(f"\x1e{json.dumps(row)}\n" for row in rows),
    "arrays one behind the other": lambda rows: json.dumps(rows[:2]) + json.dumps(rows[2:]),
    "one to a line": lambda rows: "".join(json.dumps(row) + "\n" for row in rows),
}


class Stream:
    """Bytes that are made while they are read."""

    def __init__(self, pieces):
        self._pieces, self._ready = iter(pieces), b""

    def read(self, size):
        """Return the next bytes."""
        while len(self._ready) < size and (piece := next(self._pieces, None)) is not None:
            self._ready += piece
        taken, self._ready = self._ready[:size], self._ready[size:]
        return taken


@pytest.fixture(scope="module")
def engine():
    """One engine for all examples."""
    with duckdb.connect(config={"threads": 1}) as connection:
        yield connection


def rows_of(engine, text):
    """Return (row number, landed value, defect) of all rows."""
    content = text if isinstance(text, bytes) else text.encode()
    return [
        (row["source_row"], json.loads(row["landed"]), row["defect"])
        for chunk in read_json_lines(Stream([content]), engine)
        for row in chunk.to_pylist()
    ]


@given(
    rows=st.lists(objects, min_size=1, max_size=8), layout=st.sampled_from(sorted(LAYOUTS)), block=st.integers(1, 200)
)
@example(rows=[{}, {"": None}, {"a": {}}], layout="compact array", block=1)
@example(rows=[{"a": {"b": {"c": {"d": {"e": {"f": {"g": '}"{'}}}}}}}] * 3, layout="array on one line", block=3)
def test_every_layout_gives_the_same_rows(engine, rows, layout, block):
    """All objects are rows, in their order, with numbers that count up, wherever a read ends."""
    if layout.endswith("over lines"):
        rows = [row or {"a": None} for row in rows]  # an empty object is printed on one line
    text = LAYOUTS[layout](rows)
    with pytest.MonkeyPatch.context() as patched:
        # an object has to fit into a block
        patched.setattr(json_documents, "BLOCK_BYTES", block + max(len(json.dumps(row, indent=2)) * 2 for row in rows))
        found = rows_of(engine, text)
    assert [(landed, defect) for _, landed, defect in found] == [(row, None) for row in rows]
    numbers = [number for number, _, _ in found]
    assert numbers == sorted(set(numbers))
    if layout.endswith("one object to a line"):
        assert numbers == list(range(2, len(rows) + 2))
    if layout in ("one to a line", "compact array", "array on one line"):
        assert numbers == list(range(1, len(rows) + 1))


@given(
    rows=st.lists(objects, min_size=2, max_size=6),
    layout=st.sampled_from(["compact array", "array over lines", "array, one object to a line"]),
    share=st.floats(0, 1),
)
def test_an_array_that_is_cut_off_never_passes(engine, rows, layout, share):
    """Wherever an array ends too early, what is whole is a row, and one row tells that the rest is missing.

    Where the last bytes may as well be the array's end, behind a quote that is lost, that row is a malformed one.
    """
    whole = LAYOUTS[layout](rows).rstrip().encode()
    cut = whole[: int(share * (len(whole) - 1))]
    try:
        found = rows_of(engine, cut)
    except LandingError:
        return
    good = [landed for _, landed, defect in found if defect is None]
    assert good == rows[: len(good)]
    assert len(found) - len(good) == bool(cut)
    if cut and not cut.rstrip().endswith((b"}", b"]")):
        assert found[-1][2] == "cut_off"


def test_a_broken_object_costs_itself_where_lines_tell_the_next():
    """In an array over lines a lost quote or bracket makes one malformed row, and all others are read."""
    rows = [{"id": n, "at": {"day": [n, {"x": 1}]}} for n in range(50)]
    for indent in (None, 2):
        for broken in ('"id": 7', '"day"'):
            text = "[\n" + ",\n".join(json.dumps(row, indent=indent) for row in rows) + "\n]"
            place = text.index(broken, text.index('"id": 7'))
            for damaged in (text[:place] + text[place + 1 :], text[:place] + text[place:].replace("}", " ", 1)):
                with duckdb.connect() as engine:
                    found = rows_of(engine, damaged)
                good = [landed for _, landed, defect in found if defect is None]
                assert good == [row for row in rows if row["id"] != 7], (indent, broken)
                assert len(found) == len(rows), (indent, broken)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"a":1}, 7, "x,{y", null, [{"b":2}], {"a":2}]', [1, "7", '"x,{y"', "null", '[{"b":2}]', 2]),
        ('[{"a":1}] tail\n{"a":2}', ['[{"a":1}] tail', 2]),
        ('[\n{"a":1}, tail\n{"a":2}]', [1, "tail", 2]),
        ('[\n{"a":1},\n"a":2,"b":{"a":9}},\n{"a":3}]', [1, '"a":2,"b":{"a":9}},', 3]),
        ('[{"a":1},{"a":NaN},{"a":2,},{"a":3,"a":4},{"a":5}]', [1, '{"a":NaN}', '{"a":2,}', '{"a":3,"a":4}', 5]),
        ('[{"a":1},{"a:2}]', [1, '{"a:2}]']),
        ('[{"a":1},{"a":{"b":2}]', [1, '{"a":{"b":2}]']),
        ('{"a":1}{"a":2}{"a":\n', [1, 2, '{"a":']),
        ('{"a":1}\n{"a":\n', [1, '{"a":']),
        ('{"a":1}\nno', [1, "no"]),
        ('{"a":1}\n{"a":NaN}', [1, '{"a":NaN}']),
        ("[1, 2]", ["1", "2"]),
        ('{"a":1}\n{"a":2}{"a":3}\n{"a":4}\nno\n[{"a":5}]\n[]\n{"a":6},\n', [1, 2, 3, 4, "no", 5, "[]", 6]),
        ('{"a":1}\n{"a":2} x {"a":3}\n', [1, '{"a":2} x {"a":3}']),
        ('{"a":1\n{"a":2}\n', ['{"a":1', 2]),
        ("[]", []),
        ("[\n]\n", []),
    ],
)
def test_what_is_no_object_is_a_malformed_row(text, expected):
    """Elements that are no object, broken ones, and what is missing at the end are rows of their own, with their text."""
    with duckdb.connect() as engine:
        found = rows_of(engine, text)
    assert [landed.get("_unparsed", landed.get("a")) for _, landed, _ in found] == expected
    assert [defect for _, _, defect in found] == [None if isinstance(e, int) else "malformed_row" for e in expected]


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ('[{"a":1},{"a":2}', "["),
        ('[\n{"a":1},\n{"a":2},\n', "["),
        ('[{"a":1},{"a":2},{"a":', '{"a":'),
        ('[{"a":1},{"a":2},{"a":"x', '{"a":"x'),
        ('[{"a":1},{"a":2},{"a":[{"b":1}]', '{"a":[{"b":1}]'),
        ('[{"a":1},{"a":2},nul', "["),
        ('{"a":1}\n{"a":2}\n{"a":"}', '{"a":"}'),
        ('{"a":1}\n{"a":2}\n{"a":[{"b":1}', '{"a":[{"b":1}'),
        ('{"a":1}\n{"a":2}\n{"a":7}{"a":', '{"a":7}{"a":'),
        ('{"a":1}{"a":2}{"a":{"b":1}', '{"a":{"b":1}'),
        ('{\n"a":1\n}\n{\n"a":2\n}\n{\n"a":3,\n', '{\n"a":3,'),
        (b'{"a":1}\n{"a":2}\n{"a":"\xc3', '{"a":"\\xc3'),
    ],
)
def test_the_row_in_the_middle_of_which_a_file_ends_is_cut_off(text, rest):
    """In an array, behind each other and one to a line the last row says that the file has no end."""
    with duckdb.connect() as engine:
        *good, (_, landed, defect) = rows_of(engine, text)
    assert [(row["a"], found) for _, row, found in good if "_unparsed" not in row][:2] == [(1, None), (2, None)]
    assert (landed["_unparsed"], defect) == (rest, "cut_off")


def test_undecodable_bytes_cost_one_object():
    """Bytes that are not UTF-8 make their own object malformed."""
    with duckdb.connect() as engine:
        found = rows_of(engine, b'\xef\xbb\xbf[{"a":1},{"a":"\xff"},{"a":3}]')
    assert [(number, defect) for number, _, defect in found] == [(1, None), (2, "malformed_row"), (3, None)]


def test_more_than_one_object_behind_a_broken_one_refuses_the_file():
    """Where nothing tells how many rows are lost, no number of malformed rows would be true."""
    text = json.dumps([{"a": n} for n in range(100)]).replace('"a": 50', '"a: 50', 1)
    with duckdb.connect() as engine, pytest.raises(LandingError, match=r"cannot be told apart.*on line 1.*Ask"):
        rows_of(engine, text)


def test_objects_without_end_do_not_cost_the_square_of_the_file(monkeypatch):
    """Line after line of objects that never end is refused, when it was read again too often."""
    monkeypatch.setattr(json_documents, "MIN_READ_AGAIN_ALLOWED", 1_000_000)
    with duckdb.connect() as engine, pytest.raises(LandingError, match="object after object has no end"):
        rows_of(engine, "[\n" + '{"a":{"b":1},\n' * 20_000)


def test_a_long_array_is_read_in_bounded_memory():
    """An array of 60 MB on one line takes a part of its size, and all of its rows are there."""
    element, count = b'{"id":%d,"text":"' + b"x" * 10_000 + b'"},', 6_000
    stream = Stream(piece for part in ([b"["], (element % n for n in range(count)), [b'{"id":-1}]']) for piece in part)
    rows = 0
    with duckdb.connect() as engine:
        tracemalloc.start()
        try:
            for chunk in read_json_lines(stream, engine):
                assert chunk["defect"].null_count == chunk.num_rows
                rows += chunk.num_rows
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert rows == count + 1
    assert peak < 50_000_000, peak


def test_the_beginning_of_a_file_is_looked_at_in_linear_time():
    """Very deep nesting, and a string without end, are given up at once."""
    assert json_documents.begins_document(b'{"a":' * 1_000_000) is False
    assert json_documents.begins_document(b'{"a":"' + b'\\"' * 1_000_000) is False
    assert json_documents.begins_document(b"[" * 1_000_000) is True
