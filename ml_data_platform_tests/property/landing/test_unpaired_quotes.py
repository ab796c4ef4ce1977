"""A stray quote costs the lines it stands on, and a cell of several lines is read as Python's csv module reads it."""

from __future__ import annotations

import csv
import io
import itertools
import json
import random

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ml_data_platform.landing.delimited import DelimitedReader
from ml_data_platform_tests.examples import tried

HEADER = ["user", "session", "kind", "at", "note"]


@pytest.fixture(scope="module")
def engine():
    """One engine for all examples."""
    with duckdb.connect(config={"threads": 1}) as connection:
        yield connection


def read(engine, text, **form):
    """Return (cells, defect) of all rows behind the header."""
    reader = DelimitedReader(io.BytesIO(text.encode()), **{"delimiter": ",", **form})
    chunks = (chunk.to_pylist() for chunk in reader.chunks(engine))
    return [(list(json.loads(row["landed"]).values()), row["defect"]) for chunk in chunks for row in chunk]


def rows(count):
    """Return rows of which no two are alike."""
    return [[f"u{n}", f"s{n}", "page_view", f"2026-06-01T10:00:{n:02d}Z", f"n{n}"] for n in range(count)]


def test_a_quote_that_opens_a_cell_and_one_far_behind_it_cost_two_rows(engine):
    """Two hundred rows between two stray quotes are rows, not the note of one, and not one row of a wrong width."""
    lines = [",".join(row) for row in rows(400)]
    opened = [*lines[:100], lines[100].replace("n100", '"note'), *lines[101:300], lines[300] + '"', *lines[301:]]
    found = read(engine, "\n".join([",".join(HEADER), *opened, ""]))
    good = {tuple(cells) for cells, defect in found if defect is None}
    assert good >= {tuple(row) for n, row in enumerate(rows(400)) if n not in (100, 300)}
    assert (len(found), [defect for _, defect in found if defect]) == (400, ["malformed_row"])
    narrow = [line.rsplit(",", 1)[0] for line in lines]
    narrow[100], narrow[300] = narrow[100].replace("page", '"page'), narrow[300] + '"'
    found = read(engine, "\n".join([",".join(HEADER[:4]), *narrow, ""]))
    assert (len(found), [defect for _, defect in found if defect]) == (400, ["malformed_row"])


@given(
    count=st.integers(5, 40),
    damage=st.lists(st.tuples(st.integers(0, 39), st.integers(0, 4), st.sampled_from(["front", "behind", "within"])), min_size=1, max_size=4),
    escape=st.sampled_from([None, "\\"]),
    delimiter=st.sampled_from([",", ";", "\t"]),
)  # fmt: skip
@tried(200)
def test_stray_quotes_cost_the_rows_they_stand_in(engine, count, damage, escape, delimiter):
    """Wherever quotes are lost or added, all rows of other lines are read, but those between two that lie close by."""
    table = rows(count)
    places = sorted({place % count for place, _, _ in damage})
    for place, column, where in damage:
        cell = table[place % count][column]
        half = len(cell) // 2
        marked = {"front": f'"{cell}', "behind": f'{cell}"', "within": f'{cell[:half]}"{cell[half:]}'}
        table[place % count][column] = marked[where]
    if 0 not in places:
        table[0][4] = f'"a{delimiter} ""b"""'
    text = "\n".join(delimiter.join(row) for row in [HEADER, *table]) + "\n"
    found = read(engine, text, delimiter=delimiter, escape=escape)
    kept = {cells[0] for cells, defect in found if defect is None}
    close = {n for a, b in itertools.pairwise(places) if b - a <= 3 for n in range(a, b)}
    assert {row[0] for n, row in enumerate(table) if n not in places and n not in close} <= kept


words = st.sampled_from(["Main Street 5", "Smith, John", "a, b, c", "red", "", 'he said "no"', "12; 7", "Berlin"])
texts = st.lists(words, max_size=12).map("\n".join)


@given(
    cells=st.lists(st.lists(texts, min_size=4, max_size=4), min_size=1, max_size=10),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
@example(cells=[["Smith, John\nMain Street 5, 2nd\nBerlin\nGermany, EU\nred", "", "", ""]], quoting=csv.QUOTE_ALL)
@tried(200)
def test_cells_of_several_lines_are_read_as_python_reads_them(engine, cells, quoting):
    """Addresses and texts with commas here and there stay whole."""
    target = io.StringIO(newline="")
    csv.writer(target, lineterminator="\n", quoting=quoting).writerows([HEADER[:4], *cells])
    expected = list(csv.reader(io.StringIO(target.getvalue(), newline="\n"), strict=True))[1:]
    found = read(engine, target.getvalue())
    assert found == [([cell or None for cell in row], None) for row in expected]


def test_a_table_within_a_cell_stays_within_it(engine):
    """A cell may hold lines of as many commas as a row has, where the lines that open and close it are no rows."""
    table = "\n".join(f"{n},{n * n}" for n in range(50))
    found = read(engine, f'id,table\n1,"{table}"\n2,"title\n{table}\nend"\n')
    assert found == [(["1", table], None), (["2", f"title\n{table}\nend"], None)]


def test_one_column_and_records_of_many_stray_quotes_end(engine):
    """A file of one column has no delimiters to count; a quote in each tenth of many lines is read in its time."""
    text = "\n".join(f"line {n}" for n in range(30))
    assert read(engine, f'text\n"{text}"\n') == [([text], None)]
    draw = random.Random(3)
    table = rows(60) * 300
    lines = [",".join([*row[:4], f'"{row[4]}' if n % 20 == 0 else row[4] + '"' * (draw.random() < 0.05)])
             for n, row in enumerate(table)]  # fmt: skip
    found = read(engine, "\n".join([",".join(HEADER), *lines]) + "\n")
    assert sum(defect is None for _, defect in found) >= 0.9 * len(table)
