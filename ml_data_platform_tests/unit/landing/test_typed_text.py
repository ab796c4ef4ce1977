"""Typed values are written so that nothing is lost: compared with texts written down by hand, and read back by json."""

from __future__ import annotations

import datetime as dt
import json
import math
import uuid
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_data_platform.landing.typed_text import json_objects, json_values

UTC_NOON = dt.datetime(2026, 6, 1, 12, 0, 0, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([2**53 + 1, -(2**63), None], pa.int64(), ["9007199254740993", "-9223372036854775808", "null"]),
        ([2**64 - 1], pa.uint64(), ["18446744073709551615"]),
        ([True, False, None], pa.bool_(), ["true", "false", "null"]),
        ([Decimal("12.30"), Decimal("-0.01")], pa.decimal128(38, 2), ['"12.30"', '"-0.01"']),
        ([Decimal(10) ** 60], pa.decimal256(70, 1), ['"1' + "0" * 60 + '.0"']),
        ([0.1, 1.0, 1e300], pa.float64(), ["0.1", "1", "1e+300"]),
        ([math.nan, math.inf, -math.inf], pa.float64(), ['"NaN"', '"Infinity"', '"-Infinity"']),
        ([0.5], pa.float16(), ["0.5"]),
        ([UTC_NOON], pa.timestamp("us", "UTC"), ['"2026-06-01 12:00:00.000001Z"']),
        ([UTC_NOON], pa.timestamp("us", "Asia/Tokyo"), ['"2026-06-01 12:00:00.000001Z"']),
        ([-1], pa.timestamp("ns"), ['"1969-12-31 23:59:59.999999999"']),
        ([UTC_NOON.replace(tzinfo=None)], pa.timestamp("ms"), ['"2026-06-01 12:00:00.000"']),
        ([dt.date(2026, 6, 1)], pa.date32(), ['"2026-06-01"']),
        ([dt.date(2026, 6, 1)], pa.date64(), ['"2026-06-01"']),
        ([dt.time(1, 2, 3)], pa.time32("s"), ['"01:02:03"']),
        ([dt.timedelta(seconds=90, milliseconds=5)], pa.duration("ms"), ['"90.005"']),
        ([1], pa.duration("ns"), ['"0.000000001"']),
        (["a", 'q"\\\n', "\x00", "\u202eabc", None], pa.string(), ['"a"', r'"q\"\\\n"', r'"\u0000"', '"\u202eabc"', "null"]),
        (["é"], pa.large_string(), ['"é"']),
        ([b"abc", b"\xff"], pa.binary(), ['"abc"', r'"\\xff"']),
        ([uuid.UUID(int=5).bytes], pa.uuid(), ['"00000000-0000-0000-0000-000000000005"']),
        ([None], pa.null(), ["null"]),
        ([[1, None], []], pa.list_(pa.int64()), ["[1,null]", "[]"]),
        ([{"a": 2**63 - 1, "b": {"c": UTC_NOON}}, None], pa.struct({"a": pa.int64(), "b": pa.struct({"c": pa.timestamp("us", "UTC")})}),
         ['{"a":9223372036854775807,"b":{"c":"2026-06-01T12:00:00.000001Z"}}', "null"]),
        ([[Decimal("0.10"), None]], pa.list_(pa.decimal128(5, 2)), ['["0.10",null]']),
        ([[math.nan, 1.5]], pa.list_(pa.float64()), ['["NaN",1.5]']),
        ([[("k", 1), ("l", None)]], pa.map_(pa.string(), pa.int64()), ['{"k":1,"l":null}']),
        ([[("k", 1), ("k", 2)]], pa.map_(pa.string(), pa.int64()), ['[["k",1],["k",2]]']),
    ],
)  # fmt: skip
def test_each_type_has_its_text(values, kind, expected):
    """Every digit of a value is in its text, whatever JSON readers make of numbers."""
    if kind == pa.uuid():
        column = pa.ExtensionArray.from_storage(kind, pa.array(values, pa.binary(16)))
    else:
        column = pa.array(values, kind)
    assert json_values(column).to_pylist() == expected


@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "whole": st.none() | st.integers(-(2**63), 2**63 - 1),
                "share": st.none() | st.floats(allow_nan=False, allow_infinity=False),
                "money": st.none() | st.decimals(-(10**15), 10**15, places=4, allow_nan=False),
                "text": st.none() | st.text(max_size=8),
                "nested": st.none()
                | st.lists(st.fixed_dictionaries({"n": st.integers(-(2**63), 2**63 - 1)}), max_size=2),
                "at": st.none() | st.datetimes(dt.datetime(1900, 1, 1), timezones=st.just(dt.UTC)),  # noqa: DTZ001
            }
        ),
        min_size=1,
        max_size=8,
    )
)
@settings(max_examples=100, deadline=None)
def test_rows_read_back_by_json_are_the_rows(rows):
    """What Python's json reads from a row's text is the row: integers, decimals, floats and instants exactly."""
    types = {
        "whole": pa.int64(),
        "share": pa.float64(),
        "money": pa.decimal128(20, 4),
        "text": pa.string(),
        "nested": pa.list_(pa.struct({"n": pa.int64()})),
        "at": pa.timestamp("us", "UTC"),
    }
    batch = pa.RecordBatch.from_pylist(rows, schema=pa.schema(types))
    for row, text in zip(rows, json_objects(batch).to_pylist(), strict=True):
        found = json.loads(text)
        assert list(found) == list(types)
        found["share"] = None if found["share"] is None else float(found["share"])
        found["money"] = None if found["money"] is None else Decimal(found["money"])
        found["at"] = None if found["at"] is None else dt.datetime.fromisoformat(found["at"])
        assert found == row


def test_names_are_escaped_and_keep_their_order():
    """Whatever a column is called, it is a key of the object."""
    names = ['q"', "\n", "b", "a", "é"]
    batch = pa.RecordBatch.from_arrays([pa.array([place]) for place in range(5)], names=names)
    assert list(json.loads(json_objects(batch)[0].as_py()).items()) == list(zip(names, range(5), strict=True))
