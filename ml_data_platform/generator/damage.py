"""Damage to a single line: one named fault, nothing else wrong with it.

Belongs here: what each kind of fault looks like in the text, in several variants. Does not belong here:
which rows are damaged (``planting``).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

Row = dict[str, Any]
_ABSENT = object()
_BLANKS = (_ABSENT, None, "", "   ")
_CALENDAR_ERRORS = ("yesterday", "2023-02-29T12:00:00.000Z", "2024-13-01T00:00:00.000Z", "2024-04-31T25:61:00.000Z")
_NOT_OBJECTS = ('["not", "an", "object"]', "ERROR 502 upstream timed out", '"event"', "{'event_id': 'quoted wrongly'}")
_FUTURE_YEAR = 2090


def damage(kind: str, line: str, luck: int) -> str:
    """Return a clean line with the fault of ``kind`` planted into it.

    Args:
        kind: A broken or undated kind.
        line: The clean line, with or without its line feed.
        luck: Selects the variant of the fault, 0 or more.

    Returns:
        The damaged line without a line feed; never blank.
    """
    if kind == "malformed_row":
        return _malformed(line.rstrip("\n"), luck)
    row: Row = json.loads(line)
    _FAULTS[kind](row, luck)
    return json.dumps(row, separators=(",", ":"))


def _malformed(line: str, luck: int) -> str:
    if luck % 3 == 0:
        return _NOT_OBJECTS[luck // 3 % len(_NOT_OBJECTS)]
    return line[: 1 + luck // 3 % (len(line) - 1)]


def _replace(row: Row, field: str, variants: tuple[Any, ...], luck: int) -> None:
    value = variants[luck % len(variants)]
    if value is _ABSENT:
        row.pop(field, None)
    else:
        row[field] = value


def _plant(field: str, *variants: Any) -> Callable[[Row, int], None]:
    return lambda row, luck: _replace(row, field, variants, luck)


def _session_field(row: Row) -> str:
    return "session_uuid" if "session_uuid" in row else "session_id"


def _time_field(row: Row) -> str:
    return "event_timestamp" if "event_timestamp" in row else "timestamp"


def _nest_text(row: Row, luck: int) -> None:
    del luck
    if "session_uuid" in row:
        row["client_version"] = {"major": 3, "minor": 1}
    else:
        row["user_id"] = {"id": row["user_id"]}


def _take_for_milliseconds(row: Row, luck: int) -> None:
    """Write the time as if its seconds since 1970 were milliseconds: some day of January 1970."""
    del luck
    if "event_timestamp" in row:
        row["event_timestamp"] //= 1000
    else:
        seconds = int(datetime.fromisoformat(row["timestamp"]).timestamp())
        moment = datetime.fromtimestamp(seconds // 1000, tz=UTC)
        row["timestamp"] = f"{moment:%Y-%m-%dT%H:%M:%S}.{seconds % 1000:03d}Z"


def _put_off(row: Row, luck: int) -> None:
    moment = datetime(_FUTURE_YEAR, 1 + luck % 12, 1 + luck // 12 % 28, luck // 336 % 24, tzinfo=UTC)
    if "event_timestamp" in row:
        row["event_timestamp"] = int(moment.timestamp()) * 1000
    else:
        row["timestamp"] = f"{moment:%Y-%m-%dT%H:%M:%S}.000Z"


_FAULTS: dict[str, Callable[[Row, int], None]] = {
    "user_ids_are_present": _plant("user_id", *_BLANKS),
    "session_uuids_are_present": lambda row, luck: _replace(row, _session_field(row), _BLANKS, luck),
    "event_types_are_present": _plant("event_type", *_BLANKS),
    "event_types_are_known": _plant("event_type", "teleport", "refund_requested", "hover"),
    "session_durations_are_in_range": _plant("session_duration_seconds", -5, 90_000, 86_401),
    "purchase_amounts_are_in_range": _plant("purchase_amount_usd", -1, 50_001, -0.01, 50_000.01),
    "session_durations_are_numbers": _plant("session_duration_seconds", "abc", "NaN", "12 min", "inf"),
    "purchase_amounts_are_numbers": _plant("purchase_amount_usd", "12,50", "NaN", "free"),
    "sequences_are_integers": _plant("sequence", "x", "third", 2.5, "0x10"),
    "text_fields_are_scalars": _nest_text,
    "event_ids_are_present": _plant("event_id", *_BLANKS),
    "event_time_missing": lambda row, luck: _replace(row, _time_field(row), (_ABSENT, None), luck),
    "event_time_unreadable": lambda row, luck: _replace(row, _time_field(row), _CALENDAR_ERRORS, luck),
    "event_time_before_start_date": _take_for_milliseconds,
    "event_time_in_the_future": _put_off,
}
