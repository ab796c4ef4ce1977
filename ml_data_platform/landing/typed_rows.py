"""Typed rows as landed rows: which of them can be written as JSON text, and what is shown of the others.

Belongs here: rows that are too long or are not UTF-8. Does not belong here: how a value is written (``typed_text``), and
reading files (``parquet``).
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from ml_data_platform.landing.chunks import CHUNK, MALFORMED_ROW
from ml_data_platform.landing.distinct_names import distinct_names
from ml_data_platform.landing.lines import MAX_ROW_BYTES, UNPARSED_CHARACTERS, unparsed
from ml_data_platform.landing.typed_text import is_text_type, json_objects, json_of


def landed_rows(batch: pa.RecordBatch, first_row: int) -> pa.RecordBatch:
    """Return typed rows as landed ones.

    Args:
        batch: Columns of any types; see `distinct_names` for those without a name of their own.
        first_row: Number of the first row.

    Returns:
        One row per row, in order, of schema ``CHUNK``. A row that is not UTF-8 or longer than ``MAX_ROW_BYTES`` is
        malformed; of it a bounded part is shown.

    Raises:
        pa.ArrowInvalid: A column is damaged, or the rows do not fit into one array of text.
    """
    columns = [column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in batch]
    batch = pa.RecordBatch.from_arrays(columns, names=distinct_names(batch.schema.names))
    numbers = pa.arange(first_row, first_row + batch.num_rows)
    # Before anything is made of them: one value may fill most of the memory.
    batch, numbers, too_long = _split(batch, numbers, short_rows(batch))
    batch, numbers, unreadable = _split(batch, numbers, readable_rows(batch))
    parts = [*too_long, *unreadable, _landed(numbers, json_objects(batch))]
    if len(parts) == 1:
        return parts[0]
    return pa.Table.from_batches(parts).sort_by("source_row").combine_chunks().to_batches()[0]


def short_rows(batch: pa.RecordBatch) -> pa.BooleanArray | None:
    """Return which rows have no single text or bytes that alone are longer than a row may be; None where all have."""
    short: pa.Array | None = None
    for column in batch.columns:
        if not _has_length(column.type):
            continue
        lengths = pc.binary_length(column.cast(pa.large_binary()) if _is_view(column.type) else column)
        fits = pc.fill_null(pc.less_equal(lengths, MAX_ROW_BYTES), fill_value=True)
        if not pc.all(fits, min_count=0).as_py():
            short = fits if short is None else pc.and_(short, fits)
    return short


def readable_rows(batch: pa.RecordBatch) -> pa.BooleanArray | None:
    """Return which rows have nothing but UTF-8 in their texts; None where all have.

    Raises:
        pa.ArrowInvalid: A column is damaged in another way.
    """
    readable: pa.Array | None = None
    for column in batch.columns:
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            if pa.types.is_primitive(column.type):
                continue  # a value that its type does not have, e.g. a date with a time of day: written as it is
            if not (is_text_type(column.type) or pa.types.is_nested(column.type)):
                raise
            own = pa.array([_is_readable(value) for value in column], pa.bool_())
            readable = own if readable is None else pc.and_(readable, own)
    return readable


def _split(
    batch: pa.RecordBatch, numbers: pa.Array, good: pa.BooleanArray | None
) -> tuple[pa.RecordBatch, pa.Array, list[pa.RecordBatch]]:
    """Return the good rows with their numbers, and the others as malformed rows."""
    if good is None:
        return batch, numbers, []
    shown = [_shown(batch.slice(place, 1)) for place, is_good in enumerate(good.to_pylist()) if not is_good]
    return batch.filter(good), numbers.filter(good), [_malformed(numbers.filter(pc.invert(good)), shown)]


def _landed(numbers: pa.Array, landed: pa.Array) -> pa.RecordBatch:
    fits = pc.less_equal(pc.binary_length(landed), MAX_ROW_BYTES)
    if pc.all(fits, min_count=0).as_py():
        return pa.RecordBatch.from_arrays([numbers, landed, pa.nulls(len(landed), pa.string())], schema=CHUNK)
    texts = [
        text.as_py() if is_good else unparsed(text.as_buffer().to_pybytes())
        for text, is_good in zip(landed, fits.to_pylist(), strict=True)
    ]
    defects = pc.if_else(fits, pa.scalar(None, pa.string()), MALFORMED_ROW)
    return pa.RecordBatch.from_arrays([numbers, pa.array(texts, pa.string()), defects], schema=CHUNK)


def _malformed(numbers: pa.Array, shown: Sequence[bytes]) -> pa.RecordBatch:
    texts = pa.array([unparsed(text) for text in shown], pa.string())
    return pa.RecordBatch.from_arrays([numbers, texts, pa.repeat(MALFORMED_ROW, len(shown))], schema=CHUNK)


def _shown(row: pa.RecordBatch) -> bytes:
    """Return a row as JSON text, its values cut, and bytes that are not UTF-8 as backslash escapes."""
    columns = [_cut(column) for column in row.columns]
    text: bytes = json_objects(pa.RecordBatch.from_arrays(columns, names=row.schema.names))[0].as_buffer().to_pybytes()
    return text


def _cut(value: pa.Array) -> pa.Array:
    (scalar,) = value
    if _has_length(value.type) and scalar.is_valid:
        return pa.array([scalar.as_buffer()[:UNPARSED_CHARACTERS].to_pybytes()], pa.binary())
    if pa.types.is_nested(value.type):
        return pa.array([json_of(scalar) if _is_readable(scalar) else "not UTF-8"], pa.string())
    return value


def _has_length(kind: pa.DataType) -> bool:
    return is_text_type(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _is_view(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string_view(kind) or pa.types.is_binary_view(kind))


def _is_readable(value: pa.Scalar) -> bool:
    try:
        json_of(value)
    except UnicodeDecodeError:
        return False
    return True
