"""The same events, landed in every format, are the same canonical events."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import hmac
import io
import json
import uuid
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_data_platform.events.contracts import SourceContract, parse_contract
from ml_data_platform.events.ids import IdKey, bind_id_key
from ml_data_platform.events.parsing import mapping_query
from ml_data_platform.landing.landing import LandingTerms, land_file
from ml_data_platform.storage.duck import connect
from ml_data_platform.storage.table_store import TableStore

START, NOW = dt.date(2026, 6, 1), dt.datetime(2026, 6, 10, tzinfo=dt.UTC)
SECRET = b"formats"
AT = [dt.datetime(2026, 6, 2, 10, 0, 0, 123_456, tzinfo=dt.UTC), dt.datetime(2026, 6, 3, tzinfo=dt.UTC)]
BEYOND_FLOATS = [2**53 + 1, -(2**63) + 1]
COMMON = """
source: shop
schema_version: 2
event_time: {epoch_unit: us}
label: bought
columns:
  event_id: id
  user_id: user
  session_uuid: session
  event_type: kind
  event_timestamp: at
  sequence: n
  purchase_amount_usd: amount
"""
CSV = f"""\ufeffid,user,session,kind,at,n,amount,bought,page
e1,{BEYOND_FLOATS[0]},{BEYOND_FLOATS[1]},purchase,1780394400123456,3,12.30,1,"a ""q"", é"

e2,{BEYOND_FLOATS[1]},s,search,1780444800000000,,,0,
""".replace("\n", "\r\n")
JSONL = "\n".join(
    [
        (
            f'{{"id":"e1","user":{BEYOND_FLOATS[0]},"session":{BEYOND_FLOATS[1]},"kind":"purchase","at":1780394400123456,'
            '"n":3,"amount":"12.30","bought":true,"page":"a \\"q\\", \\u00e9"}'
        ),
        "",
        f'{{"id":"e2","user":"{BEYOND_FLOATS[1]}","session":"s","kind":"search","at":"1780444800000000","bought":0}}',
    ]
)


def parquet() -> bytes:
    """The events as typed columns."""
    columns = {
        "id": pa.array(["e1", "e2"]).dictionary_encode(),
        "user": pa.array(BEYOND_FLOATS, pa.int64()),
        "session": [str(BEYOND_FLOATS[1]), "s"],
        "kind": ["purchase", "search"],
        "at": pa.array(AT, pa.timestamp("us", "America/Sao_Paulo")),
        "n": pa.array([3, None], pa.int16()),
        "amount": pa.array([Decimal("12.30"), None], pa.decimal128(12, 2)),
        "bought": [True, False],
        "page": ['a "q", é', None],
    }
    target = io.BytesIO()
    pq.write_table(pa.table(columns), target)
    return target.getvalue()


CONTENTS = {"csv": CSV.encode(), "jsonl": JSONL.encode(), "parquet": parquet()}


def canonical(tmp_path: Path, content: bytes, contract: SourceContract) -> list[dict[str, object]]:
    """Land a file and return its canonical events, by row."""
    (tmp_path / "file").write_bytes(content)
    terms = LandingTerms(TableStore(tmp_path / "root", lambda: NOW), START, NOW, threads=1)
    landed = land_file(tmp_path / "file", contract, terms)
    assert (landed.outcome, dict(landed.record.undated)) == ("landed", {})
    fragment = terms.objects.local_path(
        f"_store/landed_files/objects/{landed.record.fragment[:2]}/{landed.record.fragment}.parquet"
    )
    raw = f"(SELECT '{contract.source}' AS source, 'f' AS source_file, * FROM read_parquet('{fragment}'))"
    with connect(tmp_path, threads=1) as engine:
        bind_id_key(engine, IdKey("k", SECRET))
        query = f"SELECT * FROM ({mapping_query({contract.source: contract}, raw)}) ORDER BY source_row"
        return engine.sql(query).to_arrow_table().to_pylist()


def user(text: object) -> str:
    """The user id by Python's hmac."""
    return "usr_" + hmac.new(SECRET, f"shop\0{text}".encode(), hashlib.sha256).hexdigest()[:16]


def session(text: object) -> str:
    """The session by Python's uuid5."""
    return str(uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, "ml-data-platform:shop"), str(text)))


@pytest.mark.parametrize("is_zipped", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("kind", sorted(CONTENTS))
def test_every_format_gives_the_same_events(tmp_path, kind, is_zipped):
    """Typed or as text, plain or gzip: the same instants, ids beyond 2^53, amounts, labels and types."""
    content = gzip.compress(CONTENTS[kind]) if is_zipped else CONTENTS[kind]
    contract = parse_contract(f"{COMMON}\nformat: {kind}", file="shop.yaml")
    events = canonical(tmp_path, content, contract)
    names = ["event_id", "user_id", "session_uuid", "event_type", "event_timestamp", "sequence", "purchase_amount_usd"]
    assert [[event[name] for name in [*names, "label"]] for event in events] == [
        ["shop:e1", user(BEYOND_FLOATS[0]), session(BEYOND_FLOATS[1]), "purchase", AT[0], 3, 12.3, 1],
        ["shop:e2", user(BEYOND_FLOATS[1]), session("s"), "search", AT[1], None, None, 0],
    ]
    assert json.loads(events[0]["attributes"]) == {"page": 'a "q", é'}
    reports = [name for name in events[0] if name.startswith(("unreadable", "unknown", "nested"))]
    assert all(event[name] is None for event in events for name in reports)


MIXED = {
    "session_id": ["s1", None, None],
    "session_uuid": [None, "s1", "s2"],
    "timestamp": ["2026-06-02T10:00:00.123456Z", None, None],
    "event_timestamp": [None, 1780394400123456, 1780444800000000],
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_versions_may_be_mixed_where_every_row_has_all_columns(tmp_path, kind):
    """A row is of the version whose markers have values; columns that are there for other rows tell nothing."""
    names = {**MIXED, "user_id": ["u"] * 3, "event_type": ["search"] * 3}
    if kind == "csv":
        cells = zip(
            *([("" if value is None else str(value)) for value in column] for column in names.values()), strict=True
        )
        content = "\n".join([",".join(names), *(",".join(row) for row in cells)]).encode()
    else:
        target = io.BytesIO()
        pq.write_table(pa.table(names), target)
        content = target.getvalue()
    columns = "columns: {" + ", ".join(f"{name}: {name}" for name in names) + "}"
    contract = parse_contract(f"source: shop\nformat: {kind}\nevent_time: {{epoch_unit: us}}\n{columns}", file="s.yaml")
    events = canonical(tmp_path, content, contract)
    assert [(event["schema_version"], event["event_timestamp"]) for event in events] == [
        (1, AT[0]),
        (2, AT[0]),
        (2, AT[1]),
    ]
    assert [event["session_uuid"] for event in events] == [session("s1"), session("s1"), session("s2")]


@pytest.mark.parametrize(
    ("column", "version", "zone"),
    [
        (pa.array(AT, pa.timestamp("ns", "UTC")), 2, "Asia/Tokyo"),
        (pa.array(AT, pa.timestamp("us", "UTC")), 1, "Asia/Tokyo"),
        (pa.array([at.replace(tzinfo=None) for at in AT], pa.timestamp("us")), 2, "UTC"),
        (pa.array([at.astimezone(dt.timezone(dt.timedelta(hours=9))).replace(tzinfo=None) for at in AT], pa.timestamp("us")), 1, "Asia/Tokyo"),
    ],
)  # fmt: skip
def test_typed_instants_need_no_unit(tmp_path, column, version, zone):
    """A timestamp of Parquet is an instant under every schema version; one without zone is local time of the contract."""
    time_field, session_field = (("timestamp", "session_id"), ("event_timestamp", "session_uuid"))[version - 1]
    target = io.BytesIO()
    pq.write_table(
        pa.table({"user_id": [1, 2], session_field: [1, 2], "event_type": ["search"] * 2, time_field: column}), target
    )
    text = f"source: shop\nformat: parquet\nschema_version: {version}\nevent_time: {{epoch_unit: s, zone: {zone}}}"
    events = canonical(tmp_path, target.getvalue(), parse_contract(text, file="s.yaml"))
    assert [event["event_timestamp"] for event in events] == AT


def test_typed_dates_and_times_are_joined(tmp_path):
    """Date and time of day may be typed columns of their own, local to the contract's zone."""
    columns = {
        "who": pa.StructArray.from_arrays([pa.array([2**53 + 1])], names=["id"]),
        "session_id": ["s"],
        "event_type": ["search"],
        "day": pa.array([dt.date(2026, 6, 2)]),
        "clock": pa.array([dt.time(7, 0, 0, 123_456)], pa.time64("us")),
    }
    target = io.BytesIO()
    pq.write_table(pa.table(columns), target)
    contract = parse_contract(
        "source: shop\nformat: parquet\nschema_version: 1\ncolumns: {timestamp: day, user_id: who.id}\n"
        "event_time: {time_column: clock, zone: America/Sao_Paulo}",
        file="s.yaml",
    )
    (event,) = canonical(tmp_path, target.getvalue(), contract)
    assert (event["event_timestamp"], event["user_id"]) == (AT[0], user(2**53 + 1))


def test_a_date_without_its_time_of_day_has_no_day(tmp_path):
    """Half an event time is none: the row is undated as missing, and one that is no time as unreadable."""
    contract = parse_contract(
        "source: shop\nformat: csv\nschema_version: 1\ncsv: {delimiter: ';'}\n"
        "columns: {user_id: u, session_id: u, event_type: k, timestamp: Date}\n"
        "event_time: {time_column: Time, format: '%d.%m.%Y %H:%M', zone: Europe/Berlin}",
        file="s.yaml",
    )
    rows = [
        "u;k;Date;Time",
        "1;search;02.06.2026;12:00",
        "1;search;02.06.2026;",
        "1;search;;12:00",
        "1;search;2.6.2026;24:00",
    ]
    (tmp_path / "file").write_text("\n".join(rows))
    terms = LandingTerms(TableStore(tmp_path / "root", lambda: NOW), START, NOW, threads=1)
    record = land_file(tmp_path / "file", contract, terms).record
    assert record.min_event_time == record.max_event_time == "2026-06-02T10:00:00+00:00"
    assert dict(record.undated) == {"event_time_missing": 2, "event_time_unreadable": 1}
