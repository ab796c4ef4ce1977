"""Versions, mixed in one file, under every kind of change and every mode for unknown columns; values by hand."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import uuid

import duckdb
import pytest

from ml_data_platform.errors import LandingError
from ml_data_platform.events.contracts import parse_contract
from ml_data_platform.events.ids import IdKey, bind_id_key
from ml_data_platform.events.parsing import mapping_query, routing_query
from ml_data_platform.events.registry_file import SHIPPED_REGISTRY
from ml_data_platform.landing.readers import read_chunks
from ml_data_platform_tests.schema_registries import ADDITIVE, BREAKING, registry_of

REGISTRIES = {"shipped": SHIPPED_REGISTRY, "additive": registry_of(ADDITIVE), "breaking": registry_of(BREAKING)}
REPORTS = ("unreadable_sequence", "unreadable_session_duration_seconds", "unreadable_purchase_amount_usd")
INSTANT = dt.datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=dt.UTC)
MILLIS = 1_767_323_045_678
USER_ID = "usr_" + hmac.new(b"secret", b"shop\0u", hashlib.sha256).hexdigest()[:16]
SESSION_UUID = str(uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, "ml-data-platform:shop"), "s"))

V1 = {
    "event_id": "a",
    "user_id": "u",
    "session_id": "s",
    "event_type": "purchase",
    "timestamp": "2026-01-02T04:04:05.678+01:00",
    "sequence": 7,
    "session_duration_seconds": 61.5,
    "purchase_amount_usd": "12.30",
}
V2 = {
    "event_id": "b",
    "user_id": "u",
    "session_uuid": "s",
    "event_type": "purchase",
    "event_timestamp": MILLIS,
    "sequence": 7,
    "session_duration_seconds": 61.5,
    "purchase_amount_usd": 12.3,
    "client_version": "4.2",
}
V3_ADDITIVE = {**V2, "event_id": "c", "country": "DE", "battery_percent": 80}
V3_BREAKING = {
    "event_id": "c",
    "actor_id": "u",
    "session_uuid": "s",
    "event_type": "purchase",
    "occurred_at": "2026-01-02T03:04:05.678Z",
    "sequence": "7",
    "purchase_amount_usd": 12.3,
    "client_version": "4.2",
    "country": "DE",
}
PAGE = {"page": "/a"}


def read(path, contract):
    """Return undated reason or mapped event per row of a file, in file order; the file may be refused."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    bind_id_key(connection, IdKey("test", b"secret"))
    found = {}
    for chunk in read_chunks(path, contract):
        connection.register("chunk", chunk)
        latest = dt.datetime(2026, 12, 31, tzinfo=dt.UTC)
        routing = routing_query(contract, "chunk", start_date=dt.date(2026, 1, 1), latest=latest)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE routed AS SELECT * FROM ({routing})")
        found.update(
            connection.execute("SELECT source_row, undated_reason FROM routed WHERE event_time IS NULL").fetchall()
        )
        raw = "(SELECT 'shop' AS source, 'f' AS source_file, * FROM routed WHERE event_time IS NOT NULL)"
        for event in connection.sql(mapping_query({"shop": contract}, raw)).to_arrow_table().to_pylist():
            found[event["source_row"]] = event
    return [found[number] for number in sorted(found)]


@pytest.fixture
def events_of(tmp_path):
    """Return a function from rows, registry, mode and contract keys to what becomes of each row."""

    def run(rows, registry="shipped", mode="evolve", keys=""):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        text = f"source: shop\nformat: jsonl\nunknown_columns: {mode}\n{keys}"
        return read(path, parse_contract(text, file="shop.yaml", registry=REGISTRIES[registry]))

    return run


def attributes(event):
    """Return an event's attributes as a dict; None when it has none."""
    return None if event["attributes"] is None else json.loads(event["attributes"])


@pytest.mark.parametrize(
    ("registry", "third", "durations"),
    [("additive", V3_ADDITIVE, [61.5, 61.5, 61.5]), ("breaking", V3_BREAKING, [None, None, None])],
)
def test_one_event_in_three_versions_mixed_in_one_file_is_the_same(events_of, registry, third, durations):
    """Each row's version is inferred, and versions 1 and 2, upcast, have the values of version 3 in every column."""
    events = events_of([V1, third, V2], registry)
    assert [event["schema_version"] for event in events] == [1, 3, 2]
    for event in events:
        assert (event["event_time"], event["user_id"], event["session_uuid"]) == (INSTANT, USER_ID, SESSION_UUID)
        assert (event["event_type"], event["sequence"], event["purchase_amount_usd"]) == ("purchase", 7, 12.3)
        assert [event[name] for name in REPORTS] == [None, None, None]
    assert [event["client_version"] for event in events] == [None, "4.2", "4.2"]
    assert [event["session_duration_seconds"] for event in events] == durations


MODES = {
    # registry, rows of versions 1, 2 and 3: attributes per row, or the columns that a frozen contract refuses
    ("shipped", "evolve"): [PAGE, PAGE],
    ("shipped", "discard"): [None, None],
    ("shipped", "freeze"): "page",
    ("additive", "evolve"): [PAGE, PAGE, {**PAGE, "country": "DE", "battery_percent": 80}],
    ("additive", "discard"): [None, None, {"country": "DE", "battery_percent": 80}],
    ("additive", "freeze"): "page",
    ("breaking", "evolve"): [
        {**PAGE, "session_duration_seconds": 61.5},
        {**PAGE, "session_duration_seconds": 61.5},
        {**PAGE, "country": "DE"},
    ],
    ("breaking", "discard"): [
        {"session_duration_seconds": 61.5},
        {"session_duration_seconds": 61.5},
        {"country": "DE"},
    ],
    ("breaking", "freeze"): "page",
}
THIRD = {"shipped": (), "additive": (V3_ADDITIVE,), "breaking": (V3_BREAKING,)}


@pytest.mark.parametrize(("registry", "mode"), MODES)
def test_columns_that_no_version_knows_follow_the_mode(events_of, registry, mode):
    """A page beside the fields is kept, refused or dropped; registered fields without a column of their own are kept."""
    expected = MODES[registry, mode]
    rows = [{**row, **PAGE} for row in (V1, V2, *THIRD[registry])]
    if mode == "freeze":
        with pytest.raises(LandingError) as found:
            events_of(rows, registry, mode)
        assert found.value.unknown == expected
        rows = [V1, V2, *THIRD[registry]]
        assert len(events_of(rows, registry, mode)) == len(rows)
    else:
        assert [attributes(event) for event in events_of(rows, registry, mode)] == expected


def test_a_version_is_unknown_columns_until_it_is_registered(events_of):
    """Rows of an additive version 3 are version 2 before, with what is new as attributes: nothing is lost meanwhile."""
    (before,) = events_of([V3_ADDITIVE], "shipped")
    (after,) = events_of([V3_ADDITIVE], "additive")
    assert (before.pop("schema_version"), after.pop("schema_version")) == (2, 3)
    assert before == after
    assert attributes(before) == {"country": "DE", "battery_percent": 80}


CHANGES = {
    # what a producer changes without a word: the row, what becomes of it, attributes with evolve
    "added": ({**V2, "page": "/a"}, {"event_type": "purchase"}, {"page": "/a"}),
    "renamed": (
        {("kind" if name == "event_type" else name): value for name, value in V2.items()},
        {"event_type": None},
        {"kind": "purchase"},
    ),
    "retyped": ({**V2, "sequence": "seven"}, {"sequence": None, "unreadable_sequence": "seven"}, None),
    "retyped time": ({**V2, "event_timestamp": "2026-01-02T03:04:05Z"}, "event_time_unreadable", None),
    "removed": ({name: value for name, value in V2.items() if name != "sequence"}, {"sequence": None}, None),
    "removed time": (
        {name: value for name, value in V2.items() if name != "event_timestamp"},
        "event_time_missing",
        None,
    ),
}


@pytest.mark.parametrize("mode", ["evolve", "freeze", "discard"])
@pytest.mark.parametrize("change", CHANGES)
def test_changes_that_nobody_registered(events_of, change, mode):
    """Additive ones follow the mode; breaking ones leave a reason that rejects the row, or it has no day."""
    row, expected, kept = CHANGES[change]
    if mode == "freeze" and kept is not None:
        with pytest.raises(LandingError, match="freezes them"):
            events_of([row], mode=mode)
        return
    (event,) = events_of([row], mode=mode)
    if isinstance(expected, str):
        assert event == expected
        return
    assert {name: event[name] for name in expected} == expected
    assert attributes(event) == (kept if mode == "evolve" else None)


def test_a_retired_version_is_refused_by_event_time(events_of):
    """Version 1 counts until the end of February, whenever it lands; its later rows have no day, and the others go on."""
    late = {**V1, "timestamp": "2026-02-28T23:59:59Z"}
    over = {**V1, "timestamp": "2026-03-01T00:00:00Z"}
    march = {**V2, "event_timestamp": MILLIS + 70 * 86_400_000}
    found = events_of([late, over, march], "breaking")
    assert found[1] == "schema_version_retired"
    assert [event["schema_version"] for event in (found[0], found[2])] == [1, 2]


@pytest.mark.parametrize(("bad", "report"), [("seven", "unreadable_sequence"), ("7.5", "unreadable_sequence")])
def test_a_retyped_value_that_the_column_cannot_hold_is_reported(events_of, bad, report):
    """A sequence that is text in version 3 must still be an integer to be the column's."""
    (event,) = events_of([{**V3_BREAKING, "sequence": bad}], "breaking")
    assert (event["sequence"], event[report]) == (None, bad)


def test_new_fields_stand_under_their_own_names(events_of):
    """A field that lands elsewhere, also inside an object, is kept under the field's name; a null is left out."""
    keys = "columns: {country: geo.land, battery_percent: power}"
    rows = [
        {**V2, "country": None, "geo": {"land": "DE", "city": "Kiel"}, "power": 80},
        {**V2, "geo": {"land": None}, "power": None},
    ]
    found = [attributes(event) for event in events_of(rows, "additive", keys=keys + "\nschema_version: 3")]
    assert found == [{"country": "DE", "geo": {"city": "Kiel"}, "battery_percent": 80}, {"geo": {}}]
    dropped = events_of(rows, "additive", "discard", keys + "\nschema_version: 3")
    assert [attributes(event) for event in dropped] == [{"country": "DE", "battery_percent": 80}, None]


CSV_KEYS = """source: shop
format: csv
schema_version: 3
columns: {actor_id: who, session_uuid: visit, event_type: what, occurred_at: at, sequence: nr, country: land}
"""


@pytest.mark.parametrize("mode", ["evolve", "freeze", "discard"])
def test_a_delimited_file_lacks_or_adds_columns(tmp_path, mode):
    """A file without a column that the version reads is refused by name in each mode; one with more follows the mode."""
    contract = parse_contract(CSV_KEYS + f"unknown_columns: {mode}", file="shop.yaml", registry=REGISTRIES["breaking"])
    path = tmp_path / "rows.csv"
    path.write_text("who,visit,what,at,nr\nu,s,purchase,2026-01-02T03:04:05.678Z,7\n")
    with pytest.raises(LandingError) as lacking:
        read(path, contract)
    assert lacking.value.missing == "land"
    path.write_text("who,visit,what,at,nr,land,page\nu,s,purchase,2026-01-02T03:04:05.678Z,7,DE,/a\n")
    if mode == "freeze":
        with pytest.raises(LandingError) as more:
            read(path, contract)
        assert more.value.unknown == "page"
        return
    (event,) = read(path, contract)
    assert (event["user_id"], event["event_time"], event["sequence"]) == (USER_ID, INSTANT, 7)
    assert attributes(event) == ({"country": "DE", "page": "/a"} if mode == "evolve" else {"country": "DE"})
