"""Typed columns as JSON text that loses nothing: what a Parquet row looks like once it has landed.

Belongs here: how each type is written, exactly. Does not belong here: rows that cannot be written (``typed_rows``),
and what a column means (``events.parsing``).

Integers are written in full digits, whatever their size; decimals as texts with all their digits; instants as ISO-8601
in UTC with ``Z``, local times without; durations as seconds; bytes as text; NaN and infinities, which JSON does not
have, as the texts ``NaN``, ``Infinity`` and ``-Infinity``, which no number field takes.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ml_data_platform.landing.distinct_names import distinct_names

_NULL = "null"
_ESCAPED = r'["\\\x00-\x1f]'
_NANOSECONDS_PER_SECOND = 1_000_000_000
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": _NANOSECONDS_PER_SECOND}
_WRAPPED = (pa.ExtensionScalar, pa.DictionaryScalar, pa.RunEndEncodedScalar)
# An unknown time zone is a kind of KeyError.
_BEYOND_PYTHON = (ValueError, OverflowError, KeyError, pa.ArrowException)


def json_objects(batch: pa.RecordBatch) -> pa.Array:
    """Return one JSON object per row, with a member per column, in the columns' order.

    Args:
        batch: Columns of any types but dictionaries, under distinct names.

    Returns:
        Texts without nulls, of type string.

    Raises:
        pa.ArrowInvalid: The rows do not fit into one array of text.
    """
    parts: list[pa.Array | pa.Scalar] = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        opening = ("," if parts else "{") + json.dumps(name, ensure_ascii=False) + ":"
        parts += [pa.scalar(opening), json_values(column)]
    if not parts:
        return pa.array(["{}"] * batch.num_rows, pa.string())
    return pc.binary_join_element_wise(*parts, pa.scalar("}"), pa.scalar(""))


def json_values(column: pa.Array) -> pa.Array:
    """Return each value as JSON text; null as ``null``."""
    kind = column.type
    if isinstance(column, pa.ExtensionArray) and not isinstance(kind, pa.UuidType):
        return json_values(column.storage)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        text = column.cast(pa.string())
    elif pa.types.is_floating(kind):
        text = _floats(column if not pa.types.is_float16(kind) else column.cast(pa.float32()))
    elif _is_plain(kind):
        try:
            text = _quoted(_plain_texts(column))
        except pa.ArrowInvalid:  # a date with a time of day, or beyond 32 bits
            return pa.array([json_of(value) for value in column], pa.string())
    elif is_text_type(kind):
        text = _texts(column.cast(pa.string()))
    else:
        return pa.array(_each(column), pa.string())
    return pc.fill_null(text, _NULL)


def json_of(value: pa.Scalar) -> str:
    """Return one value as JSON text: as `json_values` does, also where Python has no such value.

    Raises:
        UnicodeDecodeError: A text in it is not UTF-8.
    """
    return json.dumps(_member(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _each(column: pa.Array) -> list[str]:
    try:
        return [json_text(value) for value in column.to_pylist()]
    except UnicodeDecodeError:
        raise
    except _BEYOND_PYTHON:
        # A time that Python cannot hold, an unknown zone, or members of one name: none may cost the file its rows.
        return [json_of(value) for value in column]


def _member(value: pa.Scalar) -> Any:
    """Return a value as one that JSON has, each part that Python cannot hold as text."""
    try:
        return _plain(value.as_py())
    except UnicodeDecodeError:
        raise
    except _BEYOND_PYTHON:
        kind = value.type
    if pa.types.is_struct(kind):
        names = distinct_names([kind.field(place).name for place in range(kind.num_fields)])
        return {name: _member(value[place]) for place, name in enumerate(names)}
    if pa.types.is_map(kind):
        pairs = value.values
        keys, items = pairs.field(0), pairs.field(1)
        return _pairs([(_member(key), _member(item)) for key, item in zip(keys, items, strict=True)])
    if pa.types.is_nested(kind):
        return [_member(item) for item in value.values]
    return _member(value.value) if isinstance(value, _WRAPPED) else _text_beyond_python(value)


def _text_beyond_python(value: pa.Scalar) -> str:
    if pa.types.is_duration(value.type):
        return format(decimal.Decimal(value.value) / _PER_SECOND[value.type.unit], "f")
    try:
        return str(_plain_texts(pa.array([value], value.type))[0].as_py())
    except pa.ArrowException:
        return f"<value out of range: {value.value}>"


def json_text(value: object) -> str:
    """Return any value of ``to_pylist`` as JSON text."""
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def is_text_type(kind: pa.DataType) -> bool:
    """Return whether values of the type are texts, however they are laid out."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_plain(kind: pa.DataType) -> bool:
    """Whether the type's texts need quotes, but never escapes."""
    tests = (pa.types.is_decimal, pa.types.is_timestamp, pa.types.is_date, pa.types.is_time)
    return any(test(kind) for test in tests)


def _plain_texts(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        # The instant is what counts; texts in the column's own zone would carry its name or an odd offset.
        column = column.cast(pa.timestamp(kind.unit, "UTC"))
    elif pa.types.is_date64(kind):
        column = column.cast(pa.date32())
    return column.cast(pa.string())


def _floats(column: pa.Array) -> pa.Array:
    text = column.cast(pa.string())
    finite = pc.is_finite(column)
    if pc.all(finite, min_count=0).as_py() is not False:
        return text
    named = pc.if_else(pc.is_nan(column), '"NaN"', pc.if_else(pc.less(column, 0), '"-Infinity"', '"Infinity"'))
    return pc.if_else(finite, text, named)


def _texts(column: pa.Array) -> pa.Array:
    if pc.any(pc.match_substring_regex(column, _ESCAPED), min_count=0).as_py():
        values = [None if value is None else json.dumps(value, ensure_ascii=False) for value in column.to_pylist()]
        return pa.array(values, pa.string())
    return _quoted(column)


def _quoted(column: pa.Array) -> pa.Array:
    mark = pa.scalar('"')
    return pc.binary_join_element_wise(mark, column, mark, pa.scalar(""))


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, list):
        return _pairs(value) if value and all(type(item) is tuple for item in value) else [_plain(i) for i in value]
    return _plain_scalar(value)


def _plain_scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, bytes):
        return _decoded(value)
    if isinstance(value, dt.date | dt.time):
        # An instant is a date too, and loses its zone.
        in_utc = value.astimezone(dt.UTC) if isinstance(value, dt.datetime) and value.tzinfo else value
        return in_utc.isoformat().replace("+00:00", "Z")
    if isinstance(value, dt.timedelta):
        # pandas' durations know nanoseconds beside.
        whole = value // dt.timedelta(microseconds=1) * 1_000 + getattr(value, "nanoseconds", 0)
        return format(decimal.Decimal(whole) / _NANOSECONDS_PER_SECOND, "f")
    return str(value)  # decimals and UUIDs


def _pairs(pairs: Sequence[tuple[Any, Any]]) -> Any:
    """A map as an object where its keys are distinct texts, else as the list of its pairs."""
    keys = [key for key, _ in pairs]
    if all(isinstance(key, str) for key in keys) and len(set(keys)) == len(keys):
        return {key: _plain(item) for key, item in pairs}
    return [[_plain(key), _plain(item)] for key, item in pairs]


def _decoded(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
