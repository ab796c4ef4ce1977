"""Columns of text, built from numbers without a loop over rows.

Belongs here: digits, hexadecimal, instants, and the way from bytes of one width to Arrow strings and back
to bytes. Does not belong here: what a line holds (``lines``, ``row_truth``).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ml_data_platform.generator.draws import Ints, UInts
from ml_data_platform.generator.rhythm import DAY_MS, HOUR_MS

Texts = npt.NDArray[np.bytes_]
_HEX = np.array([f"{byte:02x}" for byte in range(256)], dtype="S2")
TWO_DIGITS = np.array([f"{number:02d}" for number in range(100)], dtype="S2")
THREE_DIGITS = np.array([f"{number:03d}" for number in range(1_000)], dtype="S3")
FOUR_DIGITS = np.array([f"{number:04d}" for number in range(10_000)], dtype="S4")


def hexadecimal(numbers: UInts) -> Texts:
    """Return each 64-bit number as 16 hexadecimal digits."""
    octets = numbers.astype(">u8").view(np.uint8).reshape(len(numbers), 8)
    return _HEX[octets].view("S16").reshape(len(numbers))


def iso_pieces(local_ms: Ints) -> dict[str, Texts | bytes]:
    """Return local instants, in milliseconds since 1970, as the pieces of ``YYYY-MM-DDTHH:MM:SS.mmm``."""
    days, place = np.unique(local_ms // DAY_MS, return_inverse=True)
    dates = np.array([f"{text}T" for text in day_texts(days)], dtype="S11")
    of_day = local_ms % DAY_MS
    return {
        "date": dates[place],
        "hour": TWO_DIGITS[of_day // HOUR_MS],
        "hour_end": b":",
        "minute": TWO_DIGITS[of_day // 60_000 % 60],
        "minute_end": b":",
        "second": TWO_DIGITS[of_day // 1_000 % 60],
        "second_end": b".",
        "millisecond": THREE_DIGITS[of_day % 1_000],
    }


def epoch_pieces(time_ms: Ints) -> dict[str, Texts | bytes]:
    """Return instants of 2002 to 2286 as the pieces of their thirteen digits of milliseconds since 1970."""
    leading, place = np.unique(time_ms // 10**8, return_inverse=True)
    return {
        "leading": np.array([f"{number:05d}" for number in leading.tolist()], dtype="S")[place],
        "middle": FOUR_DIGITS[time_ms // 10**4 % 10**4],
        "trailing": FOUR_DIGITS[time_ms % 10**4],
    }


def glue(pieces: dict[str, Texts | bytes], count: int) -> Texts:
    """Return the pieces of each row side by side; a piece is a column of texts or one text for all."""
    widths = {name: len(piece) if isinstance(piece, bytes) else piece.dtype.itemsize for name, piece in pieces.items()}
    glued = np.empty(count, dtype=[(name, f"S{width}") for name, width in widths.items()])
    for name, piece in pieces.items():
        glued[name] = piece
    return glued.view(f"S{glued.dtype.itemsize}")


def as_strings(texts: Texts) -> Any:
    """Return texts of one width as an Arrow string array, without a copy."""
    width = texts.dtype.itemsize
    offsets = np.arange(len(texts) + 1, dtype=np.int32) * np.int32(width)
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(texts)))


def line_bytes(lines: Any) -> memoryview:
    """Return the lines of a freshly built Arrow string array one after the other, without a copy."""
    offsets = np.frombuffer(lines.buffers()[1], dtype=np.int32)
    first, last = int(offsets[lines.offset]), int(offsets[lines.offset + len(lines)])
    return memoryview(lines.buffers()[2])[first:last]


def day_texts(days: Ints) -> list[str]:
    """Return days, counted from 1970, as ``YYYY-MM-DD``."""
    return [f"{datetime.fromtimestamp(day * (DAY_MS // 1000), tz=UTC):%Y-%m-%d}" for day in days.tolist()]
