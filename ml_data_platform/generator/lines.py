"""Rows as lines of JSON, in row formats v1 and v2.

Belongs here: turning arrays into lines, a column at a time: a fixed-width head written as bytes, then
pieces looked up in small tables. Does not belong here: damage to single lines (``damage``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ml_data_platform.generator.damage import damage
from ml_data_platform.generator.draws import Stream, draw_key, scramble
from ml_data_platform.generator.kinds import FIRST_BROKEN, KINDS
from ml_data_platform.generator.sessions import (
    CLIENTS,
    EVENT_TYPE_NAMES,
    LENGTH_WEIGHTS,
    MAX_SESSION_MS,
    PAGES,
    ZONES,
    Rows,
)
from ml_data_platform.generator.text_columns import (
    FOUR_DIGITS,
    THREE_DIGITS,
    Texts,
    as_strings,
    epoch_pieces,
    glue,
    hexadecimal,
    iso_pieces,
)

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
    return hexadecimal(scramble(rows["number"], draw_key(seed, Stream.EVENT_IDS)))


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
        "user_high": THREE_DIGITS[rows["user"] // 10_000],
        "user_low": FOUR_DIGITS[rows["user"] % 10_000],
        "session": _SESSION_IDS[version],
        "session_id": hexadecimal(scramble(rows["session"], draw_key(seed, Stream.SESSION_IDS))),
    }
    # in 32 bits: the codes are bytes, whose products would wrap around
    first_code = rows["zone" if version == 1 else "client"].astype(np.int32)
    tail = (first_code * len(EVENT_TYPE_NAMES) + rows["event_type"]) * _SEQUENCES + rows["sequence"]
    if version == 1:
        head |= {"time": b'","timestamp":"'} | iso_pieces(rows["time_ms"] + _ZONE_MINUTES[rows["zone"]] * 60_000)
        tails = _V1_TAILS.take(pa.array(tail))
    else:
        head |= {"time": b'","event_timestamp":'} | epoch_pieces(rows["time_ms"])
        tails = _V2_TAILS.take(pa.array(tail))
    return pc.binary_join_element_wise(
        as_strings(glue(head, len(rows))),
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
