"""Dated rows become canonical events; what cannot be read is kept beside them."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from ml_data_platform.errors import ContractError
from ml_data_platform.events.parsing import mapping_query
from ml_data_platform.events.schemas import VALIDATED_EVENTS

INFERRED = "source: shop\nformat: jsonl"
V1 = {"event_id": "e", "user_id": "u", "session_id": "s", "event_type": "search", "timestamp": "2026-01-02T03:04:05Z"}
V2 = {
    "event_id": "e",
    "user_id": "u",
    "session_uuid": "s",
    "event_type": "search",
    "event_timestamp": 1_767_323_045_000,
}
REPORTS = (
    "unreadable_session_duration_seconds",
    "unreadable_purchase_amount_usd",
    "unreadable_sequence",
    "unreadable_label",
    "unknown_event_type",
    "nested_fields",
)


def reported(event):
    """Return what an event reports as wrong."""
    return {name: event[name] for name in REPORTS if event[name] is not None}


def test_columns_have_the_declared_names_types_and_order(rows, contract_of):
    """The frame starts with exactly the columns of the validated table, for one source and for several."""
    contracts = {name: contract_of(f"source: {name}\nformat: jsonl") for name in ("b", "a")}
    empty = "(SELECT NULL::VARCHAR AS source, NULL::VARCHAR AS source_file, 0::BIGINT AS source_row, NULL::TIMESTAMPTZ AS event_time, 1::SMALLINT AS schema_version, '{}' AS landed WHERE false)"
    rows.connection.execute("SET TimeZone = 'UTC'")
    schema = rows.connection.sql(mapping_query(contracts, empty)).to_arrow_table().schema
    expected = VALIDATED_EVENTS.columns
    assert [(name, schema.field(name).type) for name in schema.names[: len(expected)]] == [
        (field.name, field.type) for field in expected
    ]
    assert schema.names[len(expected) :] == [
        *("event_time", "landed", *REPORTS, "label_is_missing", "placeholder_id", "has_own_event_id")
    ]
    assert all(schema.field(name).type == pa.string() for name in ("landed", *REPORTS))
    assert schema.field("label_is_missing").type == pa.bool_()


def test_twins_of_both_versions_are_one_event(rows, contract_of):
    """The same event landed as version 1 and as version 2 differs in nothing but version, text and row."""
    extras = {"sequence": 3, "session_duration_seconds": 61.5, "purchase_amount_usd": "12.30", "page": "/a", "n": None}
    first, second = rows.map(contract_of(INFERRED), [{**V1, **extras}, {**V2, **extras}])
    for event, version in ((first, 1), (second, 2)):
        assert event.pop("schema_version") == version
        event.pop("landed")
        event.pop("source_row")
    assert first == second
    assert (first["sequence"], first["session_duration_seconds"], first["purchase_amount_usd"]) == (3, 61.5, 12.3)
    assert json.loads(first["attributes"]) == {"page": "/a", "n": None}
    assert first["event_id"] == "shop:e"
    assert reported(first) == {}


def test_fields_of_another_version_are_attributes(rows, contract_of):
    """A key that only version 2 knows is an unknown column of a version 1 row, and kept."""
    (event,) = rows.map(contract_of(INFERRED), [{**V1, "client_version": "9"}])
    assert event["client_version"] is None
    assert json.loads(event["attributes"]) == {"client_version": "9"}


def test_nothing_left_is_no_attributes(rows, contract_of):
    """A row whose columns are all taken by fields has NULL attributes."""
    assert rows.map(contract_of(INFERRED), [V2])[0]["attributes"] is None


UNREADABLE = [
    ("purchase_amount_usd", "NaN", {"unreadable_purchase_amount_usd": "NaN"}),
    ("purchase_amount_usd", "1e999", {"unreadable_purchase_amount_usd": "1e999"}),
    ("purchase_amount_usd", "12,50", {"unreadable_purchase_amount_usd": "12,50"}),
    ("purchase_amount_usd", "", {}),
    ("purchase_amount_usd", "  ", {}),
    ("purchase_amount_usd", None, {}),
    ("session_duration_seconds", "inf", {"unreadable_session_duration_seconds": "inf"}),
    ("session_duration_seconds", True, {"unreadable_session_duration_seconds": "true"}),
    ("session_duration_seconds", "x" * 999, {"unreadable_session_duration_seconds": "x" * 200}),
    ("session_duration_seconds", [1], {"nested_fields": "session_duration_seconds"}),
    ("sequence", 1.5, {"unreadable_sequence": "1.5"}),
    ("sequence", 2**63, {"unreadable_sequence": str(2**63)}),
    ("sequence", "0x10", {"unreadable_sequence": "0x10"}),
    ("user_id", {"id": "u"}, {"nested_fields": "user_id"}),
    ("user_id", "[u", {}),
    ("user_id", '{"id": 1}', {}),
    ("client_version", [], {"nested_fields": "client_version"}),
    ("event_type", "wishlist", {"unknown_event_type": "wishlist"}),
    ("event_type", "Purchase", {"unknown_event_type": "Purchase"}),
    ("event_type", None, {}),
]


def test_what_cannot_be_read_is_reported_and_null(rows, contract_of):
    """A value that is present but unreadable is NULL and named with its text; an absent one is only NULL."""
    events = rows.map(contract_of(INFERRED), [{**V2, field: landed} for field, landed, _ in UNREADABLE])
    for event, (field, landed, report) in zip(events, UNREADABLE, strict=True):
        assert reported(event) == report, (field, landed)
        if field != "event_type" and (report or landed is None):
            assert event[field] is None, (field, landed)


def test_unknown_types_keep_their_text_and_absent_ones_are_null(rows, contract_of):
    """The closed-set rule sees the landed type; the presence rule sees NULL."""
    events = rows.map(contract_of(INFERRED), [{**V2, "event_type": kind} for kind in ("wish", None, " ", "other")])
    assert [event["event_type"] for event in events] == ["wish", None, None, "other"]


def test_types_are_mapped_or_take_the_default(rows, contract_of):
    """A mapped value becomes its canonical type, even a canonical name; the rest and absent ones the default."""
    contract = contract_of(INFERRED + "\nevent_type: {mapping: {VIEW: page_view, other: search}, default: other}")
    kinds = ("VIEW", "other", "purchase", "view", None)
    events = rows.map(contract, [{**V2, "event_type": kind} for kind in kinds])
    assert [event["event_type"] for event in events] == ["page_view", "search", "purchase", "other", "other"]
    assert [reported(event) for event in events] == [{}] * len(kinds)


def test_blank_ids_are_absent(rows, contract_of):
    """A blank user, session or event id identifies nothing and nobody."""
    contract = contract_of(INFERRED + "\ncolumns: {event_id: event_id}")
    (event,) = rows.map(contract, [{**V2, "user_id": " ", "session_uuid": "", "event_id": "\t"}])
    assert (event["user_id"], event["session_uuid"], event["event_id"]) == (None, None, None)


def test_numbers_and_texts_of_one_id_are_one_user(rows, contract_of):
    """An id written as a JSON number and as a JSON text is the same id; leading zeros make another."""
    numbers = rows.map(contract_of(INFERRED), [{**V2, "user_id": user} for user in (7, "7", "07")])
    assert numbers[0]["user_id"] == numbers[1]["user_id"] != numbers[2]["user_id"]


def test_sources_share_users_only_by_a_shared_domain(rows, contract_of):
    """The same producer id in two sources is two users, unless their contracts name one domain; sessions never mix."""
    texts = ("source: a", "source: b", "source: c\nuser_id_domain: a")
    first, second, third = (rows.map(contract_of(text + "\nformat: jsonl"), [V2])[0] for text in texts)
    assert first["user_id"] == third["user_id"] != second["user_id"]
    assert len({event["session_uuid"] for event in (first, second, third)}) == 3
    assert {event["event_id"] for event in (first, second, third)} == {"a:e", "b:e", "c:e"}


def test_declared_labels_are_read_or_missed(rows, contract_of):
    """A declared label is 0 or 1, else unreadable; without one the row says so; undeclared it is an attribute."""
    contract = contract_of(INFERRED + "\nlabel: bought")
    events = rows.map(contract, [{**V2, "bought": 1}, {**V2, "bought": "0"}, {**V2, "bought": "yes"}, V2])
    assert [event["label"] for event in events] == [1, 0, None, None]
    assert [event["label_is_missing"] for event in events] == [False, False, False, True]
    assert reported(events[2]) == {"unreadable_label": "yes"}
    assert [event["attributes"] for event in events] == [None] * 4
    (undeclared,) = rows.map(contract_of(INFERRED), [{**V2, "label": 1}])
    assert (undeclared["label"], undeclared["label_is_missing"]) == (None, False)
    assert json.loads(undeclared["attributes"]) == {"label": 1}


def test_discarded_columns_are_not_kept(rows, contract_of):
    """With `discard`, unknown columns are in no table but the raw one."""
    (event,) = rows.map(contract_of(INFERRED + "\nunknown_columns: discard"), [{**V2, "page": "/"}])
    assert event["attributes"] is None


def test_identity_columns_make_the_id_of_an_event_without_one(rows, contract_of):
    """Rows that agree in the identity columns are one event, whatever else they say."""
    contract = contract_of(INFERRED + "\ncolumns: {event_id: null}\nidentity: [user_id, page]")
    landed = [{**V2, "page": 1}, {**V2, "page": 1, "client_version": "2"}, {**V2, "page": 2}, V2]
    ids = [event["event_id"] for event in rows.map(contract, landed)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_nested_columns_are_taken_out_of_attributes(rows, contract_of):
    """A field below an object is read by its dotted path; its siblings are kept, and nothing is made up."""
    contract = contract_of(INFERRED + "\ncolumns: {user_id: who.id, client_version: app.build.version}")
    landed = [
        {**V2, "who": {"id": "u", "name": "n"}, "app": {"build": {"version": "1", "os": "x"}}},
        {**V2, "who": {"id": "u"}},
        {**V2, "who": "somebody", "app": {"build": None}},
    ]
    events = rows.map(contract, landed)
    assert [event["user_id"] is None for event in events] == [False, False, True]
    assert [event["client_version"] for event in events] == ["1", None, None]
    assert [json.loads(event["attributes"]) for event in events] == [
        {"user_id": "u", "who": {"name": "n"}, "app": {"build": {"os": "x"}}},
        {"user_id": "u", "who": {}},
        {"user_id": "u", "who": "somebody", "app": {"build": None}},
    ]


def test_flat_keys_with_dots_are_taken_out_of_attributes(rows, contract_of):
    """A key that holds a dot is named as it is, comes before the member of an object, and does not stay behind."""
    contract = contract_of(INFERRED + "\ncolumns: {user_id: user.id, client_version: app.build.version}")
    bare = {name: value for name, value in V2.items() if name != "user_id"}
    landed = [
        {**bare, "user.id": "u", "app.build.version": "1", "user.name": "n"},
        {**bare, "user.id": "u", "user": {"id": "other", "name": "n"}, "app": {"build.version": "2", "os": "x"}},
        {**bare, "user.id": None, "user": {"id": "u"}},
        {**bare, "user": '{"id": "u", "name": "n"}'},
    ]
    events = rows.map(contract, landed)
    assert len({event["user_id"] for event in events}) == 1
    assert events[0]["user_id"] is not None
    assert [event["client_version"] for event in events] == ["1", "2", None, None]
    assert [json.loads(event["attributes"]) for event in events] == [
        {"user.name": "n"},
        {"user": {"name": "n"}, "app": {"os": "x"}},
        {"user": {}},
        {"user": '{"id": "u", "name": "n"}'},
    ]


def test_a_flat_key_and_a_nested_one_are_one_event(rows, contract_of):
    """Without event ids the same values under a flat key and within an object are the same event."""
    contract = contract_of(INFERRED + "\nschema_version: 2\ncolumns: {event_id: null, client_version: app.version}")
    bare = {name: value for name, value in V2.items() if name != "event_id"}
    landed = [{**bare, "app.version": "1"}, {**bare, "app": {"version": "1"}}, {**bare, "app.version": "2"}]
    ids = [event["event_id"] for event in rows.map(contract, landed)]
    assert ids[0] == ids[1] != ids[2]


def test_times_and_versions_are_found_under_flat_keys_and_in_text(rows, contract_of):
    """Rows are dated, and their version told, by columns wherever these stand."""
    contract = contract_of(INFERRED + "\ncolumns: {event_timestamp: meta.at, timestamp: meta.time}")
    text = "2026-01-02T03:04:05Z"
    landed = [{"meta.at": 1_767_323_045_000}, {"meta": '{"at": 1767323045000}'}, {"meta.time": text}, {"meta.at": None}]
    found = rows.route(contract, landed)
    assert [row["schema_version"] for row in found] == [2, 2, 1, 2]
    assert [row["undated_reason"] for row in found] == [None, None, None, "event_time_missing"]


def test_csv_cells_are_texts(rows, contract_of):
    """A CSV cell that looks like JSON is a text; an empty one is absent; unknown columns are kept with their names."""
    contract = contract_of(
        "source: clicks\nformat: csv\nschema_version: 2\n"
        "columns: {user_id: user.id, session_uuid: s, event_timestamp: at}\nevent_type: {default: page_view}"
    )
    landed = {"user.id": "[1]", "s": "{", "at": "1767323045000", "x.y": "1", "z": None}
    (event,) = rows.map(contract, [landed])
    assert event["user_id"] is not None
    assert event["session_uuid"] is not None
    assert reported(event) == {}
    assert json.loads(event["attributes"]) == {"x.y": "1", "z": None}


def test_each_source_is_mapped_by_its_own_contract(rows, contract_of):
    """One query maps several sources, and leaves out rows of sources that it was not given."""
    contracts = {
        "a": contract_of("source: a\nformat: jsonl\nevent_type: {mapping: {x: search}}"),
        "b": contract_of("source: b\nformat: jsonl\nevent_type: {mapping: {x: purchase}}"),
    }
    landed = json.dumps({**V2, "event_type": "x"})
    values = ", ".join(
        f"('{source}', 'f', 0::BIGINT, TIMESTAMPTZ '2026-01-02 00:00:00+00', 2::SMALLINT, '{landed}')"
        for source in "cba"
    )
    relation = (
        f"(SELECT * FROM (VALUES {values}) AS t(source, source_file, source_row, event_time, schema_version, landed))"
    )
    events = rows.fetch(mapping_query(contracts, relation))
    assert {(event["source"], event["event_type"]) for event in events} == {("a", "search"), ("b", "purchase")}


def test_no_contracts_are_refused():
    """A platform without sources has nothing to map."""
    with pytest.raises(ContractError):
        mapping_query({}, "raw_events")


def test_a_decimal_comma_is_read_where_the_contract_says_so(rows, contract_of):
    """With a decimal comma a point is none, and nothing may part thousands; integers and texts are as ever."""
    text = (
        "source: shop\nformat: csv\nschema_version: 2\ncsv: {delimiter: ';', decimal: ','}\ncolumns: {user_id: u,"
        " session_uuid: s, event_type: t, event_timestamp: at, purchase_amount_usd: eur, sequence: n, client_version: v}"
    )
    landed = {"u": "u", "s": "s", "t": "purchase", "at": "1767323045000", "n": "7", "v": "1,5"}
    texts = ["12,50", "12", "-0,5", "12.50", "1.234,50", "1,2,3", ","]
    found = rows.map(contract_of(text), [{**landed, "eur": text} for text in texts])
    assert [event["purchase_amount_usd"] for event in found] == [12.5, 12.0, -0.5, None, None, None, None]
    assert [event["unreadable_purchase_amount_usd"] for event in found] == [None, None, None, *texts[3:]]
    assert {(event["sequence"], event["client_version"]) for event in found} == {(7, "1,5")}


@pytest.mark.parametrize(
    ("marks", "texts"),
    [
        (
            "thousands: ','",
            {"2,439.50": 2439.5, "1,234": 1234, "1,00,000": 100_000, "-1,234.": -1234, "7": 7, "0.5": 0.5, "1e3": 1000},
        ),
        ("thousands: '.', decimal: ','", {"1.234,50": 1234.5, "12.345": 12345, "12,5": 12.5, "-0,5": -0.5}),
        ("thousands: ' ', decimal: ','", {"1 234,50": 1234.5, "12 345": 12345, "12,5": 12.5}),
    ],
)
def test_thousands_may_be_parted_where_the_contract_says_so(rows, contract_of, marks, texts):
    """Grouped and plain numbers are read alike; what is grouped otherwise than a number is unreadable."""
    wrong = ["1,5.0", "1.5,0.0", "1,,234", "1..234", "1 23", "1,234,5", "1.234.5"]
    text = (
        f"source: shop\nformat: csv\nschema_version: 2\ncsv: {{delimiter: ';', {marks}}}\ncolumns: {{user_id: u,"
        " session_uuid: s, event_type: t, event_timestamp: at, purchase_amount_usd: eur, client_version: v}"
    )
    landed = {"u": "u", "s": "s", "t": "purchase", "at": "1767323045000", "v": "1,234.5"}
    found = rows.map(contract_of(text), [{**landed, "eur": text} for text in [*texts, *wrong]])
    assert [event["purchase_amount_usd"] for event in found] == [*texts.values(), *[None] * len(wrong)]
    assert {event["client_version"] for event in found} == {"1,234.5"}
