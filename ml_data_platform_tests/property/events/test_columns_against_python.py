"""A column is the flat key of its name, else a member of an object, else of JSON text: as plain Python finds it."""

from __future__ import annotations

import itertools
import json

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from ml_data_platform.events.landed_paths import landed_kind, landed_text, landed_value, texts_query
from ml_data_platform_tests.examples import tried

SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["u", "", "{", "[1]", "{}", "NaN"])
KEYS = st.sampled_from(["a", "b", "c", "a.b", "b.c", "a.b.c", "x"])


def with_texts(inner):
    """Objects, lists and JSON text of either."""
    objects = st.dictionaries(KEYS, inner, max_size=3)
    return (
        objects
        | st.lists(inner, max_size=2)
        | objects.map(json.dumps)
        | objects.map(lambda value: f" {json.dumps(value)}\n")
    )


ROWS = st.dictionaries(KEYS, st.recursive(SCALARS, with_texts, max_leaves=8), max_size=4)


def splits(name):
    """All ways to read a name as keys, fewer keys first."""
    parts = name.split(".")
    found = []
    for marks in itertools.product([False, True], repeat=len(parts) - 1):
        keys = [parts[0]]
        for is_cut, part in zip(marks, parts[1:], strict=True):
            keys = [*keys, part] if is_cut else [*keys[:-1], f"{keys[-1]}.{part}"]
        found.append((sum(marks), [not mark for mark in marks], keys))
    return [
        keys
        for _, _, keys in sorted(found, key=lambda item: (item[0], [at for at, kept in enumerate(item[1]) if not kept]))
    ]


def follow(value, keys):
    """Return what lies under these keys, None where nothing does."""
    for key in keys:
        if isinstance(value, list):
            return None
        value = value.get(key) if isinstance(value, dict) else None
    return value


def take(row, name, *, is_flat):
    """Return the value of a column by the definition, written down anew."""
    for keys in [[name]] if is_flat else splits(name):
        if (found := follow(row, keys)) is not None:
            return found
    parts = name.split(".")
    for cut in range(1, len(parts)):
        outer = ".".join(parts[:cut])
        for holder in [[outer]] if is_flat else splits(outer):
            text = follow(row, holder)
            try:
                within = json.loads(text) if isinstance(text, str) else None
            except ValueError:
                continue
            for keys in splits(".".join(parts[cut:])):
                if (found := follow(within, keys)) is not None:
                    return found
    return None


def found_in(duck, landed, name, *, is_flat):
    """Return the text and the kind of a column in each row."""
    places = pa.array(range(len(landed)), pa.int64())
    duck.register(
        "rows_under_test", pa.table({"place": places, "landed": pa.array(map(json.dumps, landed), pa.string())})
    )
    query = texts_query(["x", name], "place, landed", "rows_under_test", is_flat=is_flat)
    alone, kind = landed_text(name, is_flat=is_flat), landed_kind(name, is_flat=is_flat)
    value = landed_value(name, is_flat=is_flat)
    columns = f"texts[2], {alone}, {kind}, CAST({value} AS VARCHAR)"
    return duck.execute(f"SELECT {columns} FROM ({query}) ORDER BY place").fetchall()


def check(found, landed, name, *, is_flat):
    """Check that text, kind and value are those of what Python finds."""
    for row, (text, alone, kind, value) in zip(landed, found, strict=True):
        expected = take(row, name, is_flat=is_flat)
        assert text == alone
        assert (None if value is None else json.loads(value)) == expected
        assert (kind in ("OBJECT", "ARRAY")) == isinstance(expected, dict | list)
        if expected is None or isinstance(expected, str):
            assert text == expected
        else:
            assert json.loads(text) == expected


@given(landed=st.lists(ROWS, min_size=1, max_size=6), name=st.sampled_from(["a", "a.b", "a.b.c", "b.c"]))
@example(landed=[{"a.b": "flat", "a": {"b": "nested"}}, {"a.b": None, "a": {"b": "nested"}}], name="a.b")
@example(landed=[{"a": '{"b.c": 1}'}, {"a": {"b": '{"c": 2}'}}, {"a.b": '{"c": [3]}'}, {"a": '{"b": '}], name="a.b.c")
@tried(150)
def test_columns_are_found_as_python_finds_them(duck, landed, name):
    """In objects of any shape the value of a column is the one that the definition names."""
    check(found_in(duck, landed, name, is_flat=False), landed, name, is_flat=False)


cells = with_texts(SCALARS).map(lambda value: value if isinstance(value, str) else json.dumps(value)) | st.sampled_from(
    ["u", "{", "7", None]
)


@given(
    landed=st.lists(st.dictionaries(KEYS, cells, max_size=4), min_size=1, max_size=6),
    name=st.sampled_from(["a", "a.b", "a.b.c"]),
)
@example(landed=[{"a": '{"b": "in text"}', "a.b": None}, {"a": '{"b": "in text"}', "a.b": "in a cell"}], name="a.b")
@example(landed=[{"a": '{"b": {"c": 1}}'}, {"a": "{"}, {"a": "7"}], name="a.b")
@tried(100)
def test_cells_may_hold_json_text(duck, landed, name):
    """A cell of the very name wins; else a dot leads into the JSON text of a cell; what is none there is absent."""
    check(found_in(duck, landed, name, is_flat=True), landed, name, is_flat=True)
