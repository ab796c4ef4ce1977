"""Generated JSON lines of mixed versions are dated and mapped as plain Python does it."""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
import hmac
import json
import math
import re
import uuid

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from ml_data_platform.events.contracts import parse_contract
from ml_data_platform.events.parsing import mapping_query, routing_query
from ml_data_platform_tests.examples import tried

CONTRACT = parse_contract(
    """
source: shop
format: jsonl
event_time: {epoch_unit: ms}
event_type: {mapping: {VIEW: page_view}}
columns: {event_id: event_id}
label: bought
""",
    file="shop.yaml",
)
START, LATEST = dt.date(2026, 1, 1), dt.datetime(2026, 2, 1, tzinfo=dt.UTC)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
NUMBER = r"[+-]?[0-9]{1,19}(\.[0-9]*)?([eE]\+?[0-9]{1,2})?"
KINDS = {"page_view", "add_to_cart", "purchase", "search", "other"}
V1_FIELDS = {"event_id", "user_id", "session_id", "event_type", "timestamp"}
V2_FIELDS = {"event_id", "user_id", "session_uuid", "event_type", "event_timestamp", "client_version"}
LABELS = {"0": 0, "1": 1, "false": 0, "true": 1}
SHARED = {"sequence", "session_duration_seconds", "purchase_amount_usd", "bought"}

texts = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        ["", " ", "\t\n", "\u00a0", "{", "[1]", '{"a":1}', "'", "null", "NaN", " Undefined ", "7.0", "7", "07.0"]
    ),
)
nested = st.one_of(
    st.lists(st.integers(0, 9), max_size=2), st.dictionaries(st.text(max_size=2), st.integers(0, 9), max_size=1)
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(10**20), 10**20), texts, nested)
numbers = st.one_of(
    scalars,
    st.floats(-1e6, 1e6, allow_nan=False),
    st.from_regex(r"[+-]?[0-9]{1,4}(\.[0-9]{0,3})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)
millis = st.integers(1_767_225_590_000, 1_769_904_010_000)


def iso(count):
    """Return the text of version 1 for milliseconds since the epoch."""
    return (EPOCH + dt.timedelta(milliseconds=count)).isoformat()


rows = st.fixed_dictionaries(
    {},
    optional={
        "event_id": scalars,
        "user_id": scalars,
        "session_id": scalars,
        "session_uuid": scalars,
        "event_type": st.one_of(st.sampled_from(sorted(KINDS)), st.just("VIEW"), scalars),
        "timestamp": st.one_of(millis.map(iso), millis.map(iso), scalars),
        "event_timestamp": st.one_of(millis, millis, millis.map(str), scalars),
        "sequence": numbers,
        "session_duration_seconds": numbers,
        "purchase_amount_usd": numbers,
        "client_version": scalars,
        "bought": st.one_of(st.sampled_from([0, 1, "0", "1"]), scalars),
        "page": scalars,
        "label": scalars,
        "a/b~c": scalars,
    },
)


def as_text(value):
    """Return the text that a JSON scalar stands for; floats are compared as numbers only."""
    if value is None or isinstance(value, (list, dict)):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else repr(value)


def present(value):
    """Return the text of a value, None where blank."""
    text = as_text(value)
    return text if text is not None and text.strip(" \t\n\r\f\v") else None


NO_IDS = {"null", "nan", "none", "undefined", "-", "--", "na", "nat", "nil", "\\n", "n/a"}


def identified(value):
    """Return the id that a value writes, None where it stands for none."""
    text = as_text(value)
    if text is None or not text.strip() or text.strip().lower() in NO_IDS:
        return None
    return text[:-2] if re.fullmatch(r"-?[1-9][0-9]*\.0|0\.0", text) else text


def dated(row):
    """Return (version, event time, reason) by Python's calendar."""
    version = 2 if row.keys() & {"session_uuid", "event_timestamp"} else 1
    landed = row.get("event_timestamp" if version == 2 else "timestamp")
    if landed is None or (isinstance(landed, str) and not present(landed)):
        return version, None, "event_time_missing"
    text = as_text(landed)
    try:
        if version == 2:
            count = decimal.Decimal(re.fullmatch(NUMBER, text, re.ASCII)[0])
            at = EPOCH + dt.timedelta(microseconds=int((count * 1_000).to_integral_value(decimal.ROUND_FLOOR)))
        else:
            at = dt.datetime.fromisoformat(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*", text, re.ASCII)[0])
    except (TypeError, ValueError):
        return version, None, "event_time_unreadable"
    except OverflowError:
        return version, None, "out of Python's range"
    if at < dt.datetime.combine(START, dt.time(), dt.UTC):
        return version, None, "event_time_before_start_date"
    return (version, None, "event_time_in_the_future") if at > LATEST else (version, at, None)


def number(value):
    """Return (float, unreadable text)."""
    text = present(value)
    if text is None:
        return None, False
    if re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", text, re.ASCII) and math.isfinite(float(text)):
        return float(text), False
    return None, True


def integer(value):
    """Return (int, unreadable text)."""
    text = present(value)
    if text is None:
        return None, False
    if re.fullmatch(r"[+-]?[0-9]{1,19}", text) and -(2**63) <= int(text) < 2**63:
        return int(text), False
    return None, True


def user_id(secret, text):
    """Return the user id that Python's hmac makes."""
    return "usr_" + hmac.new(secret, b"shop\0" + text.encode(), hashlib.sha256).hexdigest()[:16]


def mapped(row, version, secret):
    """Return the canonical columns that do not come from provenance."""
    fields = (V2_FIELDS if version == 2 else V1_FIELDS) | SHARED
    session = identified(row.get("session_uuid" if version == 2 else "session_id"))
    kind = present(row.get("event_type"))
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, "ml-data-platform:shop")
    sequence, sequence_fails = integer(row.get("sequence"))
    duration, duration_fails = number(row.get("session_duration_seconds"))
    amount, amount_fails = number(row.get("purchase_amount_usd"))
    bought = present(row.get("bought"))
    event_id, user = identified(row.get("event_id")), identified(row.get("user_id"))
    return {
        "event_id": event_id and f"shop:{event_id}",
        "user_id": user and user_id(secret, user),
        "session_uuid": session and str(uuid.uuid5(namespace, session)),
        "event_type": "page_view" if kind == "VIEW" else kind,
        "sequence": sequence,
        "session_duration_seconds": duration,
        "purchase_amount_usd": amount,
        "client_version": present(row.get("client_version")) if version == 2 else None,
        "label": LABELS.get(bought),
        "attributes": {key: value for key, value in row.items() if key not in fields} or None,
        "fails": (
            sequence_fails,
            duration_fails,
            amount_fails,
            bought is not None and bought not in LABELS,
            kind is not None and kind not in {*KINDS, "VIEW"},
        ),
        "nested_fields": {key for key in row.keys() & fields if isinstance(row[key], (list, dict))},
        "label_is_missing": bought is None,
    }


def found_of(event):
    """Return what the query found, in the oracle's shape."""
    same = (
        "event_id",
        "user_id",
        "session_uuid",
        "event_type",
        "sequence",
        "session_duration_seconds",
        "purchase_amount_usd",
        "client_version",
        "label",
        "label_is_missing",
    )
    reports = (
        "unreadable_sequence",
        "unreadable_session_duration_seconds",
        "unreadable_purchase_amount_usd",
        "unreadable_label",
        "unknown_event_type",
    )
    return {
        **{name: event[name] for name in same},
        "attributes": event["attributes"] and json.loads(event["attributes"]),
        "fails": tuple(event[name] is not None for name in reports),
        "nested_fields": set((event["nested_fields"] or "").split(", ")) - {""},
    }


@given(landed=st.lists(rows, min_size=1, max_size=25))
@example(landed=[{"event_timestamp": text} for text in ("0.", "1767225600000.", "1767225600000.25", "1.7672256e12")])
@tried(60)
def test_rows_are_dated_and_mapped_as_python_does_it(duck, id_secret, landed):
    """For any mix of versions, defects, blanks and nesting, both queries equal the oracle row by row."""
    table = pa.table(
        {
            "source_row": pa.array(range(len(landed)), pa.int64()),
            "landed": pa.array([json.dumps(row, ensure_ascii=False) for row in landed], pa.string()),
            "defect": pa.nulls(len(landed), pa.string()),
        }
    )
    duck.register("landed_under_test", table)
    routed = routing_query(CONTRACT, "landed_under_test", start_date=START, latest=LATEST)
    dates = duck.sql(f"SELECT * FROM ({routed}) ORDER BY source_row").to_arrow_table().to_pylist()
    for row, date in zip(landed, dates, strict=True):
        version, at, reason = dated(row)
        if reason == "out of Python's range":
            assert date["undated_reason"] is not None
            continue
        assert (date["schema_version"], date["event_time"], date["undated_reason"]) == (version, at, reason)
    raw = f"(SELECT 'shop' AS source, 'f' AS source_file, * FROM ({routed}))"
    query = f"SELECT * FROM ({mapping_query({'shop': CONTRACT}, raw)}) ORDER BY source_row"
    for row, event in zip(landed, duck.sql(query).to_arrow_table().to_pylist(), strict=True):
        assert found_of(event) == mapped(row, event["schema_version"], id_secret)


@given(
    event=st.fixed_dictionaries({"event_id": texts, "user_id": texts, "event_type": texts}),
    session=texts,
    at=millis,
    extras=st.fixed_dictionaries({}, optional={"sequence": numbers, "purchase_amount_usd": numbers, "page": scalars}),
)
@tried(60)
def test_twins_of_both_versions_are_one_event(duck, event, session, at, extras):
    """Whatever an event holds, landing it as version 1 or as version 2 gives the same canonical event."""
    twins = [
        {**event, "session_id": session, "timestamp": iso(at), **extras},
        {**event, "session_uuid": session, "event_timestamp": at, **extras},
    ]
    landed = [json.dumps(twin, ensure_ascii=False) for twin in twins]
    duck.register("twins", pa.table({"source_row": [1, 2], "landed": landed, "defect": pa.nulls(2, pa.string())}))
    wide = {"start_date": dt.date(2025, 1, 1), "latest": dt.datetime(2027, 1, 1, tzinfo=dt.UTC)}
    routed = routing_query(CONTRACT, "twins", **wide)
    raw = f"(SELECT 'shop' AS source, 'f' AS source_file, * FROM ({routed}))"
    query = (
        f"SELECT * EXCLUDE (landed, source_row) FROM ({mapping_query({'shop': CONTRACT}, raw)}) ORDER BY schema_version"
    )
    first, second = duck.sql(query).to_arrow_table().to_pylist()
    assert (first.pop("schema_version"), second.pop("schema_version")) == (1, 2)
    assert first == second
    assert first["event_timestamp"] == EPOCH + dt.timedelta(milliseconds=at)
