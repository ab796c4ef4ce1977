"""One row of every kind of damage, per format, with where it must end; written down by hand.

An oracle for the tests of bad input: nothing of the platform is asked. The files hold good rows too, so that what
surrounds a bad row is seen to be untouched.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import math
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

DAY = dt.date(2026, 3, 2)
NOON_MS = 1_772_452_800_000
"""2026-03-02T12:00:00Z in milliseconds."""
PUBLISHED = "published"
MALFORMED, MISSING, UNREADABLE = "malformed_row", "event_time_missing", "event_time_unreadable"
EARLY, FUTURE, WRONG_COUNT = "event_time_before_start_date", "event_time_in_the_future", "wrong_field_count"
SURROGATE = '"page":"\\ud800"'

Place = str | frozenset[str]
"""PUBLISHED, the reason of an undated row, or the rules that a rejected row breaks."""


@dataclass(frozen=True)
class BadRow:
    """One row.

    Attributes:
        kind: What is wrong with it.
        landed: The row as its format has it: a line, or values by column.
        place: Where it must end.
    """

    kind: str
    landed: bytes | dict[str, object]
    place: Place


def rejected(*rules: str) -> frozenset[str]:
    """Return the place of a row that breaks these rules."""
    return frozenset(rules)


def _line(**changes: object) -> bytes:
    event = {"event_id": "e", "user_id": "u", "session_uuid": "s", "event_type": "search", "event_timestamp": NOON_MS}
    return json.dumps({name: value for name, value in {**event, **changes}.items() if value is not ...}).encode()


def _raw(text: str) -> bytes:
    """A good line whose last member is this text."""
    return _line()[:-1] + b"," + text.encode() + b"}"


_SHARED: list[tuple[str, dict[str, object], Place]] = [
    ("user empty", {"user_id": ""}, rejected("user_ids_are_present")),
    ("user blank", {"user_id": " \t"}, rejected("user_ids_are_present")),
    ("session empty", {"session_uuid": ""}, rejected("session_uuids_are_present")),
    ("type empty", {"event_type": ""}, rejected("event_types_are_present")),
    ("type unknown", {"event_type": "purchse"}, rejected("event_types_are_known")),
    ("type in another case", {"event_type": "SEARCH"}, rejected("event_types_are_known")),
    ("type with control characters", {"event_type": "search\x07"}, rejected("event_types_are_known")),
    ("type right to left", {"event_type": "\u202esearch"}, rejected("event_types_are_known")),
    ("type of 100 kB", {"event_type": "x" * 100_000}, rejected("event_types_are_known")),
    ("id empty", {"event_id": ""}, rejected("event_ids_are_present")),
    ("id over-long", {"event_id": "x" * 300}, rejected("event_ids_are_short")),
    ("time empty", {"event_timestamp": ""}, MISSING),
    ("time no number", {"event_timestamp": "yesterday"}, UNREADABLE),
    ("time NaN as text", {"event_timestamp": "NaN"}, UNREADABLE),
    ("time with fraction", {"event_timestamp": f"{NOON_MS}.5"}, PUBLISHED),
    ("time ISO where an epoch is due", {"event_timestamp": "2026-03-02T12:00:00Z"}, UNREADABLE),
    ("time beyond all calendars", {"event_timestamp": "9" * 19}, UNREADABLE),
    ("time of 100 digits", {"event_timestamp": "9" * 100}, UNREADABLE),
    ("time in other digits", {"event_timestamp": "\u0661\u0667\u0667"}, UNREADABLE),
    ("time in seconds", {"event_timestamp": NOON_MS // 1_000}, EARLY),
    ("time negative", {"event_timestamp": -NOON_MS}, EARLY),
    ("time a millisecond before the start", {"event_timestamp": NOON_MS - 43_200_001}, EARLY),
    ("time in microseconds", {"event_timestamp": NOON_MS * 1_000}, FUTURE),
    ("time in the year 9999", {"event_timestamp": 253_402_300_799_000}, FUTURE),
    ("duration no number", {"session_duration_seconds": "12 min"}, rejected("session_durations_are_numbers")),
    ("duration hexadecimal", {"session_duration_seconds": "0x10"}, rejected("session_durations_are_numbers")),
    ("duration NaN", {"session_duration_seconds": "NaN"}, rejected("session_durations_are_numbers")),
    ("duration infinite", {"session_duration_seconds": "-inf"}, rejected("session_durations_are_numbers")),
    ("duration negative", {"session_duration_seconds": "-0.5"}, rejected("session_durations_are_in_range")),
    ("duration in milliseconds", {"session_duration_seconds": "600000"}, rejected("session_durations_are_in_range")),
    ("amount with comma", {"purchase_amount_usd": "12,50"}, rejected("purchase_amounts_are_numbers")),
    ("amount with unit", {"purchase_amount_usd": "12.50 USD"}, rejected("purchase_amounts_are_numbers")),
    ("amount infinite", {"purchase_amount_usd": "Infinity"}, rejected("purchase_amounts_are_numbers")),
    ("amount beyond doubles", {"purchase_amount_usd": "1e999"}, rejected("purchase_amounts_are_numbers")),
    ("amount negative", {"purchase_amount_usd": "-0.01"}, rejected("purchase_amounts_are_in_range")),
    ("amount huge", {"purchase_amount_usd": "1e300"}, rejected("purchase_amounts_are_in_range")),
    ("amount a cent too much", {"purchase_amount_usd": "50000.01"}, rejected("purchase_amounts_are_in_range")),
    ("sequence with fraction", {"sequence": "1.5"}, rejected("sequences_are_integers")),
    ("sequence beyond 64 bits", {"sequence": "9223372036854775808"}, rejected("sequences_are_integers")),
    ("two rules broken", {"user_id": "", "purchase_amount_usd": "-1"}, rejected("user_ids_are_present", "purchase_amounts_are_in_range")),
    ("client version of 100 kB", {"client_version": "x" * 100_000}, PUBLISHED),
    ("page with control characters", {"page": "a\x01\x1b[31m\x7f"}, PUBLISHED),
    ("page right to left", {"page": "\u202e\u200f\u2066exe.txt"}, PUBLISHED),
    ("page with quotes and SQL", {"page": "'; DROP TABLE raw_events; --\"\\"}, PUBLISHED),
]  # fmt: skip


def _own_id(number: int, changes: dict[str, object]) -> dict[str, object]:
    return {"event_id": f"e{number}", **changes}


def json_rows() -> list[BadRow]:
    """Return bad lines of JSON."""
    shared = [BadRow(kind, _line(**_own_id(at, changes)), place) for at, (kind, changes, place) in enumerate(_SHARED)]
    lines: list[tuple[str, bytes, Place]] = [
        ("user missing", _line(user_id=...), rejected("user_ids_are_present")),
        ("user null", _line(user_id=None), rejected("user_ids_are_present")),
        ("session missing", _line(session_uuid=...), rejected("session_uuids_are_present")),
        ("type missing", _line(event_type=...), rejected("event_types_are_present")),
        ("id missing", _line(event_id=...), rejected("event_ids_are_present")),
        ("time missing", _line(event_timestamp=...), MISSING),
        ("time null", _line(event_timestamp=None), MISSING),
        ("time a truth value", _line(event_timestamp=True), UNREADABLE),
        ("time an object", _line(event_timestamp={"at": NOON_MS}), UNREADABLE),
        ("time NaN", _line(event_timestamp=math.nan), MALFORMED),
        ("amount -Infinity", _line(purchase_amount_usd=-math.inf), MALFORMED),
        ("user an object", _line(user_id={"id": 1}), rejected("text_fields_are_scalars", "user_ids_are_present")),
        ("type a list", _line(event_type=["search"]), rejected("text_fields_are_scalars", "event_types_are_present")),
        ("amount a list", _line(purchase_amount_usd=[1], event_id="nested"), rejected("text_fields_are_scalars")),
        ("duplicate keys", _raw('"user_id":"v"'), MALFORMED),
        ("duplicate keys in disguise", _raw('"us\\u0065r_id":"v"'), MALFORMED),
        ("duplicate keys further in", _raw('"page":{"a":1,"a":2}').replace(b'"e"', b'"deep"'), PUBLISHED),
        ("half a line", _line()[:-5], MALFORMED),
        ("a list of an event", b"[" + _line() + b"]", PUBLISHED),
        ("a list of a number", b"[12]", MALFORMED),
        ("a number", b"12", MALFORMED),
        ("CSV", b"e,u,s,search,1772452800000", MALFORMED),
        ("bytes that are not UTF-8", _raw('"page":"?"').replace(b"?", b"\xff\xfe"), MALFORMED),
        ("a bare control character", _raw('"page":"?"').replace(b"?", b"\x01"), MALFORMED),
        ("NUL bytes", b"\x00" * 50, MALFORMED),
        ("half a surrogate pair", _raw(SURROGATE), MALFORMED),
        ("an escaped NUL", _raw('"page":"a\\u0000b"').replace(b'"e"', b'"nul"'), PUBLISHED),
        ("nested 5,000 deep", _raw('"page":' + "[" * 5_000 + "]" * 5_000).replace(b'"e"', b'"nest"'), PUBLISHED),
        ("a field of 10 MB", _line(page="x" * 10_000_000), MALFORMED),
        ("a number of 1,000 digits", _line(sequence=10**1_000, event_id="digits"), rejected("sequences_are_integers")),
    ]
    return [*shared, *(BadRow(*line) for line in lines)]


def json_content(rows: list[BadRow], good: int) -> bytes:
    """Return a file of the rows with good ones between and behind them; each good one stands before a bad one."""
    lines = []
    for number, row in enumerate(rows):
        lines += [_line(event_id=f"good{number}"), row.landed]
    lines += [_line(event_id=f"more{number}") for number in range(good)]
    return b"\n".join(lines) + b"\n"  # type: ignore[arg-type]


COLUMNS = (
    "event_id",
    "user_id",
    "session_uuid",
    "event_type",
    "event_timestamp",
    "sequence",
    "session_duration_seconds",
    "purchase_amount_usd",
    "client_version",
    "page",
)


def _cells(**changes: object) -> bytes:
    event = {"event_id": "e", "user_id": "u", "session_uuid": "s", "event_type": "search", "event_timestamp": NOON_MS}
    row = {**event, **changes}
    return b",".join(_cell(str(row.get(name, ""))) for name in COLUMNS)


def _cell(text: str) -> bytes:
    return ('"' + text.replace('"', '""') + '"' if set(text) & set(',"\r\n') else text).encode()


def csv_rows() -> list[BadRow]:
    """Return bad records of CSV."""
    shared = [BadRow(kind, _cells(**_own_id(at, changes)), place) for at, (kind, changes, place) in enumerate(_SHARED)]
    records: list[tuple[str, bytes, Place]] = [
        ("a cell too many", _cells() + b",", WRONG_COUNT),
        ("a cell too few", _cells().rsplit(b",", 1)[0], WRONG_COUNT),
        ("another delimiter", _cells().replace(b",", b";"), WRONG_COUNT),
        ("quotes that close too early", b'"e"x' + _cells()[1:], MALFORMED),
        ("bytes that are not UTF-8", _cells(page="?").replace(b"?", b"\xff\xfe"), MALFORMED),
        ("a NUL in a cell", _cells(event_id="nul", page="a\x00b"), PUBLISHED),
        ("a line end in a cell", _cells(event_id="line", page="a\r\nb"), PUBLISHED),
        ("a cell beyond the limit", _cells(page="x" * 131_073), MALFORMED),
        ("a cell of 10 MB", _cells(page="x" * 10_000_000), MALFORMED),
        ("JSON where a scalar is expected", _cells(event_id="json", event_type='{"a":1}'), rejected("event_types_are_known")),
        ("a header again", ",".join(COLUMNS).encode(), UNREADABLE),
    ]  # fmt: skip
    return [*shared, *(BadRow(*record) for record in records)]


def csv_content(rows: list[BadRow], good: int) -> bytes:
    """Return a file of the records, as `json_content` does."""
    records = [",".join(COLUMNS).encode()]
    for number, row in enumerate(rows):
        records += [_cells(event_id=f"good{number}"), row.landed]  # type: ignore[list-item]
    records += [_cells(event_id=f"more{number}") for number in range(good)]
    return b"\r\n".join(records) + b"\r\n"


def parquet_rows() -> list[BadRow]:
    """Return bad rows of typed columns."""
    noon = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
    rows: list[tuple[str, dict[str, object], Place]] = [
        ("user null", {"user_id": None}, rejected("user_ids_are_present")),
        ("type null", {"event_type": None}, rejected("event_types_are_present")),
        ("type unknown", {"event_type": "x\x00"}, rejected("event_types_are_known")),
        ("time null", {"event_timestamp": None}, MISSING),
        ("time early", {"event_timestamp": noon - dt.timedelta(days=1)}, EARLY),
        ("time in the year 9999", {"event_timestamp": noon.replace(year=9_999)}, FUTURE),
        ("amount NaN", {"purchase_amount_usd": math.nan}, rejected("purchase_amounts_are_numbers")),
        ("amount infinite", {"purchase_amount_usd": -math.inf}, rejected("purchase_amounts_are_numbers")),
        ("amount negative", {"purchase_amount_usd": -0.01}, rejected("purchase_amounts_are_in_range")),
        ("amount huge", {"purchase_amount_usd": 1e300}, rejected("purchase_amounts_are_in_range")),
        ("duration a struct", {"session_duration_seconds": {"s": 1}}, rejected("text_fields_are_scalars")),
        ("page of 10 MB", {"page": b"x" * 10_000_000}, MALFORMED),
        ("page not UTF-8", {"page": b"\xff\xfe"}, MALFORMED),
        ("page right to left", {"page": "\u202e\x01".encode()}, PUBLISHED),
    ]
    event: dict[str, object] = {"user_id": 7, "session_uuid": "s", "event_type": "search", "event_timestamp": noon}
    return [
        BadRow(kind, {"event_id": f"e{at}", **event, **changes}, place)
        for at, (kind, changes, place) in enumerate(rows)
    ]


def parquet_content(rows: list[BadRow], good: int) -> bytes:
    """Return a file of the rows, as `json_content` does."""
    fine: dict[str, object] = {
        "user_id": 7,
        "session_uuid": "s",
        "event_type": "search",
        "event_timestamp": dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC),
    }
    values: list[dict[str, object]] = []
    for number, row in enumerate(rows):
        values += [{"event_id": f"good{number}", **fine}, row.landed]  # type: ignore[list-item]
    values += [{"event_id": f"more{number}", **fine} for number in range(good)]
    types = {
        "event_id": pa.string(),
        "user_id": pa.int64(),
        "session_uuid": pa.string(),
        "event_type": pa.string(),
        "event_timestamp": pa.timestamp("ms", "UTC"),
        "purchase_amount_usd": pa.float64(),
        "session_duration_seconds": pa.struct({"s": pa.int64()}),
    }
    columns = {name: pa.array([value.get(name) for value in values], kind) for name, kind in types.items()}
    pages = pa.array([value.get("page") for value in values], pa.binary())
    columns["page"] = pa.StringArray.from_buffers(len(pages), *pages.buffers()[1:], *pages.buffers()[:1])
    target = io.BytesIO()
    pq.write_table(pa.table(columns), target)
    return target.getvalue()
