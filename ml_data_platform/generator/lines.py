"""Rows as text: JSONL lines in row formats v1 and v2, and the lines of the truth about them.

Belongs here: turning arrays into lines, a column at a time: a fixed-width head written as bytes, then
pieces looked up in small tables. Does not belong here: damage to single lines (``damage``).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ml_data_platform.generator.damage import damage
from ml_data_platform.generator.draws import Ints, Stream, UInts, draw_key, scramble
from ml_data_platform.generator.kinds import (
    CODES,
    FIRST_BROKEN,
    FIRST_UNDATED,
    KINDS,
    KINDS_WITHOUT_EVENT_ID,
    expected_reason,
    expected_rules,
)
from ml_data_platform.generator.rhythm import DAY_MS, HOUR_MS
from ml_data_platform.generator.sessions import (
    CLIENTS,
    EVENT_TYPE_NAMES,
    LENGTH_WEIGHTS,
    MAX_SESSION_MS,
    PAGES,
    ZONES,
    Rows,
)

Texts = npt.NDArray[np.bytes_]
_HEX = np.array([f"{byte:02x}" for byte in range(256)], dtype="S2")
_TWO = np.array([f"{number:02d}" for number in range(100)], dtype="S2")
_THREE = np.array([f"{number:03d}" for number in range(1_000)], dtype="S3")
_FOUR = np.array([f"{number:04d}" for number in range(10_000)], dtype="S4")
_ZONE_MINUTES = np.array(
    [0 if zone == "Z" else int(zone[0] + "1") * (int(zone[1:3]) * 60 + int(zone[4:])) for zone in ZONES]
)
_SEQUENCES = len(LENGTH_WEIGHTS) + 1
_SESSION_IDS = {1: b'","session_id":"', 2: b'","session_uuid":"'}
_ELAPSED = pa.array(
    ["", *(f',"session_duration_seconds":{seconds}' for seconds in range(1, MAX_SESSION_MS // 1000 + 1))]
)
_PAGES = pa.array(
    [
        f',"page":"/{("search", "cart", "home", "help")[page]}"}}\n'
        if page < 4
        else f',"page":"/products/{page:03d}"}}\n'
        for page in range(PAGES)
    ]
)
_V1_TAILS = pa.array(
    [
        f'{zone}","event_type":"{name}","sequence":{sequence}'
        for zone in ZONES
        for name in EVENT_TYPE_NAMES
        for sequence in range(_SEQUENCES)
    ]
)
_V2_TAILS = pa.array(
    [
        f',"event_type":"{name}","sequence":{sequence}' + (f',"client_version":"{client}"' if client else "")
        for client in CLIENTS
        for name in EVENT_TYPE_NAMES
        for sequence in range(_SEQUENCES)
    ]
)


def event_ids(rows: Rows, seed: int) -> Texts:
    """Return the producer's id of each row's event: 16 hexadecimal digits, one event one id."""
    return _hexadecimal(scramble(rows["number"], draw_key(seed, Stream.EVENT_IDS)))


def render_lines(rows: Rows, seed: int) -> Any:
    """Return the line of each row, line feed included, as an Arrow string array in the order of ``rows``."""
    whole = _by_version(rows, lambda part, version: _clean_lines(part, version, seed))
    damaged = np.flatnonzero(rows["kind"] >= FIRST_BROKEN)
    if not len(damaged):
        return whole
    texts = [
        damage(KINDS[kind], line, int(luck)) + "\n"
        for line, kind, luck in zip(
            whole.take(pa.array(damaged)).to_pylist(), rows["kind"][damaged], rows["luck"][damaged], strict=True
        )
    ]
    place = np.arange(len(rows))
    place[damaged] = len(rows) + np.arange(len(damaged))
    return pa.concat_arrays([whole, pa.array(texts, pa.string())]).take(pa.array(place))


def render_truth(rows: Rows, seed: int, *, file_name: str, first_row: int) -> Any:
    """Return one JSON line of truth for each row of a file, line feed included.

    Keys: ``file`` (relative to the output folder), ``row`` (1-based line number), ``day`` (UTC day of the
    event, null without one), ``event_time_ms`` (since 1970 UTC, null without one), ``event_id`` (null
    where the line carries none), ``is_late``, ``kind``, ``rules`` (every row rule that it breaks),
    ``reason`` (why it has no day) and ``version`` of its row format.
    """
    is_dated = pa.array(rows["kind"] < FIRST_UNDATED)
    null = pa.scalar("null")
    days, day_place = np.unique(rows["time_ms"] // DAY_MS, return_inverse=True)
    day_texts = pa.array([f'"{_moment(int(day) * DAY_MS):%Y-%m-%d}"' for day in days]).take(pa.array(day_place))
    ids = pc.binary_join_element_wise('"', _fixed(event_ids(rows, seed)), '"', "")
    has_no_id = np.isin(rows["kind"], [CODES[kind] for kind in KINDS_WITHOUT_EVENT_ID])
    is_late = is_late_row(rows)
    return pc.binary_join_element_wise(
        pa.scalar(f'{{"file":"{file_name}","row":'),
        pa.array(first_row + np.arange(len(rows))).cast(pa.string()),
        ',"day":',
        pc.if_else(is_dated, day_texts, null),
        ',"event_time_ms":',
        pc.if_else(is_dated, pa.array(rows["time_ms"]).cast(pa.string()), null),
        ',"event_id":',
        pc.if_else(pa.array(has_no_id), null, ids),
        pa.array([',"is_late":false', ',"is_late":true']).take(pa.array(is_late.astype(np.int8))),
        _verdicts().take(pa.array(rows["kind"].astype(np.int32) * 2 + rows["version"] - 1)),
        "}\n",
        "",
    )


def is_late_row(rows: Rows) -> npt.NDArray[np.bool_]:
    """Return whether each row arrives in a later hour than the hour of its event."""
    late: npt.NDArray[np.bool_] = rows["arrival_ms"] // HOUR_MS > rows["time_ms"] // HOUR_MS
    return late


def line_bytes(lines: Any) -> memoryview:
    """Return the lines of a freshly built Arrow string array one after the other, without a copy."""
    offsets = np.frombuffer(lines.buffers()[1], dtype=np.int32)
    first, last = int(offsets[lines.offset]), int(offsets[lines.offset + len(lines)])
    return memoryview(lines.buffers()[2])[first:last]


def _by_version(rows: Rows, render: Callable[[Rows, int], Any]) -> Any:
    places = [np.flatnonzero(rows["version"] == version) for version in (1, 2)]
    order = np.empty(len(rows), dtype=np.int64)
    order[np.concatenate(places)] = np.arange(len(rows))
    parts = [render(rows[place], version) for version, place in zip((1, 2), places, strict=True)]
    return pa.concat_arrays(parts).take(pa.array(order))


def _clean_lines(rows: Rows, version: int, seed: int) -> Any:
    head = {
        "open": b'{"event_id":"',
        "event_id": event_ids(rows, seed),
        "user": b'","user_id":"u',
        "user_high": _THREE[rows["user"] // 10_000],
        "user_low": _FOUR[rows["user"] % 10_000],
        "session": _SESSION_IDS[version],
        "session_id": _hexadecimal(scramble(rows["session"], draw_key(seed, Stream.SESSION_IDS))),
    }
    # in 32 bits: the codes are bytes, whose products would wrap around
    first_code = rows["zone" if version == 1 else "client"].astype(np.int32)
    tail = (first_code * len(EVENT_TYPE_NAMES) + rows["event_type"]) * _SEQUENCES + rows["sequence"]
    if version == 1:
        head |= {"time": b'","timestamp":"'} | _iso_pieces(rows["time_ms"] + _ZONE_MINUTES[rows["zone"]] * 60_000)
        tails = _V1_TAILS.take(pa.array(tail))
    else:
        head |= {"time": b'","event_timestamp":'} | _epoch_pieces(rows["time_ms"])
        tails = _V2_TAILS.take(pa.array(tail))
    return pc.binary_join_element_wise(
        _fixed(_glue(head, len(rows))),
        tails,
        _ELAPSED.take(pa.array(rows["elapsed_s"])),
        _amounts(rows["cents"]),
        _PAGES.take(pa.array(rows["page"])),
        "",
    )


def _amounts(cents: npt.NDArray[np.uint32]) -> Any:
    bought = np.flatnonzero(cents)
    texts = [f',"purchase_amount_usd":{amount // 100}.{amount % 100:02d}' for amount in cents[bought].tolist()]
    place = np.zeros(len(cents), dtype=np.int64)
    place[bought] = 1 + np.arange(len(bought))
    return pa.array(["", *texts]).take(pa.array(place))


def _iso_pieces(local_ms: Ints) -> dict[str, Texts | bytes]:
    days, place = np.unique(local_ms // DAY_MS, return_inverse=True)
    dates = np.array([f"{_moment(int(day) * DAY_MS):%Y-%m-%d}T" for day in days], dtype="S11")
    of_day = local_ms % DAY_MS
    return {
        "date": dates[place],
        "hour": _TWO[of_day // HOUR_MS],
        "hour_end": b":",
        "minute": _TWO[of_day // 60_000 % 60],
        "minute_end": b":",
        "second": _TWO[of_day // 1_000 % 60],
        "second_end": b".",
        "millisecond": _THREE[of_day % 1_000],
    }


def _epoch_pieces(time_ms: Ints) -> dict[str, Texts | bytes]:
    leading, place = np.unique(time_ms // 10**8, return_inverse=True)
    return {
        "leading": np.array([f"{number:05d}" for number in leading.tolist()], dtype="S")[place],
        "middle": _FOUR[time_ms // 10**4 % 10**4],
        "trailing": _FOUR[time_ms % 10**4],
    }


def _glue(pieces: dict[str, Texts | bytes], count: int) -> Texts:
    widths = {name: len(piece) if isinstance(piece, bytes) else piece.dtype.itemsize for name, piece in pieces.items()}
    glued = np.empty(count, dtype=[(name, f"S{width}") for name, width in widths.items()])
    for name, piece in pieces.items():
        glued[name] = piece
    return glued.view(f"S{glued.dtype.itemsize}")


def _hexadecimal(numbers: UInts) -> Texts:
    octets = numbers.astype(">u8").view(np.uint8).reshape(len(numbers), 8)
    return _HEX[octets].view("S16").reshape(len(numbers))


def _fixed(texts: Texts) -> Any:
    width = texts.dtype.itemsize
    offsets = np.arange(len(texts) + 1, dtype=np.int32) * np.int32(width)
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(texts)))


@cache
def _verdicts() -> Any:
    return pa.array([_verdict(kind, version) for kind in KINDS for version in (1, 2)])


def _verdict(kind: str, version: int) -> str:
    verdict = {
        "kind": kind,
        "rules": expected_rules(kind, version),
        "reason": expected_reason(kind),
        "version": version,
    }
    return "," + json.dumps(verdict, separators=(",", ":")).strip("{}")


def _moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms // 1000, tz=UTC)
