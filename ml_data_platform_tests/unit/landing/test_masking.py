"""Rows are masked by their contract's paths, and what stays keeps its exact text."""

from __future__ import annotations

import hashlib
import hmac
import json

import pyarrow as pa
import pytest

from ml_data_platform.errors import ContractError
from ml_data_platform.events.contracts import parse_contract
from ml_data_platform.events.masking_plan import masking_plan
from ml_data_platform.landing.chunks import CHUNK
from ml_data_platform.landing.masking import Masker, MaskingKeys
from ml_data_platform.landing.unparsed_values import masker_of

KEYS = MaskingKeys("key", b"s" * 32, b"f" * 32)
BASE = "source: shop\nformat: jsonl\nschema_version: 2\n"


def mask_of(text: str, domain: str = "shop") -> str:
    """Return the mask of a text by Python's own HMAC."""
    return "masked_" + hmac.new(b"s" * 32, f"value\0{domain}\0{text}".encode(), hashlib.sha256).hexdigest()[:32]


def masked(section: str, row: str, defect: str | None = None, base: str = BASE) -> str:
    """Return one row masked under a section."""
    plan = masking_plan(parse_contract(f"{base}pii: {section}", file="shop.yaml"))
    assert plan is not None
    chunk = pa.table([[1], [row], pa.array([defect], pa.string())], schema=CHUNK)
    return str(Masker(plan, KEYS).mask_chunk(chunk)["landed"][0].as_py())


@pytest.mark.parametrize(
    ("section", "row", "expected"),
    [
        ("{columns: {a: mask}}", '{"a":"x"}', {"a": mask_of("x")}),
        ("{columns: {a: mask}, domain: d}", '{"a":"x"}', {"a": mask_of("x", "d")}),
        ("{columns: {a: mask, b: mask}}", '{"a":17,"b":"17"}', {"a": mask_of("17"), "b": mask_of("17")}),
        ("{columns: {a: mask}}", '{"a":"\\u00e9\\n"}', {"a": mask_of("é\n")}),
        ("{columns: {a: mask}}", '{"a":null}', {"a": None}),
        ("{columns: {a: mask}}", '{"a":" "}', {"a": " "}),
        ("{columns: {a: mask}}", '{"a":true}', {"a": mask_of("true")}),
        ("{columns: {a: mask}}", '{"a":[1,{"b":2}]}', {"a": mask_of('[1,{"b":2}]')}),
        ("{columns: {a: mask}}", '{"\\u0061":"x"}', {"a": mask_of("x")}),
        ("{columns: {a.b: mask, a.c: keep}}", '{"a":{"b":"x","c":"y"}}', {"a": {"b": mask_of("x"), "c": "y"}}),
        ("{columns: {a.b: mask}}", '{"a":[{"b":"x"},"y"]}', {"a": [{"b": mask_of("x")}, mask_of("y")]}),
        ("{columns: {a.b: mask}}", '{"a":"x"}', {"a": mask_of("x")}),
        ("{columns: {a.b: mask}}", '{"a.b":"x"}', {"a.b": mask_of("x")}),
        (
            "{columns: {a.b: mask, a.c: keep}}",
            '{"a":"{\\"b\\":\\"x\\",\\"c\\":1}"}',
            {"a": f'{{"b":"{mask_of("x")}","c":1}}'},
        ),
        ("{columns: {a.b: mask}}", '{"a":"{\\"b\\":"}', {"a": mask_of('{"b":')}),
        ("{columns: {a: keep, a.b: mask}}", '{"a":"[{\\"b\\":\\"x\\"},1]"}', {"a": f'[{{"b":"{mask_of("x")}"}},1]'}),
        ("{columns: {a: mask}}", '{"a":"{\\"b\\":1}"}', {"a": mask_of('{"b":1}')}),
        ("{columns: {a.b: mask}, unnamed: keep}", '{"a":"x","z":"y"}', {"a": mask_of("x"), "z": "y"}),
        (
            "{columns: {a: keep, a.b: mask}}",
            '{"a":{"b":"x","c":{"b":"y"}}}',
            {"a": {"b": mask_of("x"), "c": {"b": "y"}}},
        ),
        ("{columns: {a: keep}, unnamed: drop}", '{"a":1,"z":2,"y":[3]}', {"a": 1}),
        ("{unnamed: drop}", '{"user_id":"u","event_type":{"z":1}}', {"user_id": "u", "event_type": {}}),
    ],
)
def test_values_are_masked_by_path(section, row, expected):
    """Each path's rule holds, in objects, arrays and flattened keys, and where another kind of value stands."""
    found = json.loads(masked(section, row))
    found.pop("_masked_row", None)
    assert found == expected


def test_what_stays_keeps_its_exact_text():
    """Numbers keep all digits, texts their escapes."""
    kept = '"a":1.10,"b":123456789012345678901234567890,"c":1e400,"d":"\\u00e9\\/","e":[1.0, {"f": -0}]'
    columns = ", ".join(f"{name}: keep" for name in "abcde")
    assert (
        masked(f"{{columns: {{{columns}, x: drop}}}}", f'{{{kept},"x":1}}', base=BASE + "identity: [a]\n")
        == f"{{{kept}}}"
    )


def test_unnamed_columns_are_masked_with_their_names():
    """Neither the name nor the value of what a contract does not name is left; equal ones are equal."""
    one, two = (json.loads(masked("{}", f'{{"user_id":"u","Ann":{{"Bob":{n}}}}}')) for n in (1, 1))
    assert one == two
    assert one.pop("user_id") == "u"
    ((name, value),) = one.items()
    assert name.startswith("masked_")
    assert value == mask_of('{"Bob":1}')


def test_rows_that_differ_in_dropped_values_stay_apart():
    """Where the whole row is the identity, a dropped value leaves a mask of the row."""
    without_ids = BASE + "columns: {event_id: null}\n"
    rows = {masked("{columns: {a: drop}}", f'{{"user_id":"u","a":{n}}}', base=without_ids) for n in (1, 2)}
    assert len(rows) == 2
    assert all("_masked_row" in row for row in rows)
    assert masked("{columns: {a: drop}}", '{"a":1}', base=BASE + "identity: [user_id]\n") == "{}"


def test_how_a_row_is_written_leaves_no_trace():
    """The trace of dropped values is the same in another order, beside other values, and where empty ones are added."""
    without_ids = BASE + "columns: {event_id: null}\n"
    rows = (
        '{"a":1,"b":{"x":1},"user_id":"u"}',
        '{"b":{"x":1},"user_id":"v","a":1}',
        '{"a":1,"c":null,"b":{"x":1},"d":""}',
    )
    section = "{columns: {a: drop, b: drop, c: drop, d: drop}}"
    keys = {json.loads(masked(section, row, base=without_ids))["_masked_row"] for row in rows}
    assert len(keys) == 1
    others = ('{"a":1}', '{"b":{"x":1}}', '{"a":1,"b":{"x":2}}', '{"a":{"x":1},"b":1}')
    assert len(keys | {json.loads(masked(section, row, base=without_ids))["_masked_row"] for row in others}) == 5


@pytest.mark.parametrize(
    "text", ['"NULL"', '"\\\\N"', '"nan"', '" undefined "', '"(not set)"', '"\\u00a0"', "null", '""']
)
def test_what_stands_for_no_id_is_no_person(text):
    """In a column of ids a null marker stays as it is, and so is absent; in any other column it is masked like a value."""
    found = masked("{columns: {user_id: mask, a: mask}}", f'{{"user_id":{text},"a":{text}}}')
    assert found.startswith(f'{{"user_id":{text},')
    if json.loads(text) and json.loads(text).strip():
        assert "masked_" in found


def test_one_integer_id_has_one_mask():
    """However it is written, an id is masked as the integer that mapping would take it for; other columns by their text."""
    section = "{columns: {user_id: mask, a: mask}}"
    written = ("1000", '"1000"', "1000.0", '"1000.0"', "1e3", "1.0E3")
    rows = [json.loads(masked(section, f'{{"user_id":{text},"a":{text}}}')) for text in written]
    assert {row["user_id"] for row in rows} == {mask_of("1000")}
    assert rows[3]["a"] == mask_of("1000.0")
    assert json.loads(masked(section, '{"user_id":"007"}'))["user_id"] == mask_of("007")


def test_sentinels_are_not_masked():
    """What a contract adds to the markers stays readable as absent."""
    base = BASE + "ids: {sentinels: [-1]}\n"
    assert masked("{columns: {user_id: mask}}", '{"user_id":-1}', base=base) == '{"user_id":-1}'
    assert "masked_" in masked("{columns: {user_id: mask}}", '{"user_id":-1}')


@pytest.mark.parametrize("defect", ["malformed_row", "wrong_field_count", "cut_off"])
def test_rows_with_a_defect_leave_their_size_only(defect):
    """Of a row in which personal data may stand anywhere, its size and a mask are left."""
    found = json.loads(masked("{}", '{"a":"x@y.z","_extra_fields":["1","2"]}', defect))
    assert found.pop("_unparsed").startswith("masked_")
    assert found == ({"fields": 3} if defect == "wrong_field_count" else {"characters": 39})


def test_nesting_that_cannot_be_looked_through_leaves_nothing():
    """A row of a hundred thousand levels is malformed, not kept, and no error."""
    row = '{"a":' + '{"a":' * 100_000 + "1" + "}" * 100_001
    assert "masked_" in masked("{columns: {a: keep, a.a.b: mask}}", row)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{column: {a: mask}}", "did you mean 'columns'"),
        ("{columns: {a: msak}}", "did you mean 'mask'"),
        ("{columns: {a: mask}, unamed: keep}", "did you mean 'unnamed'"),
        ("{columns: {a..b: mask}}", "a dotted path has an empty part"),
        ("{columns: {event_timestamp: mask}}", "cannot be masked: it is read as the event time"),
        ("{columns: {event_timestamp: drop}}", "cannot be dropped: it is read as the event time"),
        ("{columns: {user_id: drop}}", "cannot be dropped: it is read as user_id"),
        ("{columns: {event_type: mask}}", "cannot be masked: it is read as event_type"),
        ("{columns: {purchase_amount_usd: mask}}", "cannot be masked: it is read as purchase_amount_usd"),
        ("{columns: {a: mask, a.b: keep}}", "lies within a, of which nothing is left"),
    ],
)
def test_sections_that_contradict_themselves_are_refused(section, said):
    """Typos and columns that must stay readable are refused with the key, and the likely meaning."""
    with pytest.raises(ContractError) as caught:
        parse_contract(f"{BASE}pii: {section}", file="shop.yaml")
    assert said in str(caught.value)


def test_json_text_in_a_cell_is_masked_within():
    """Of a cell that holds JSON text the columns that are read stay, and all else in it is unnamed; other text is too."""
    columns = "columns: {user_id: p.user.id, session_uuid: s, event_timestamp: at}\nevent_type: {default: other}\n"
    base = f"source: shop\nformat: csv\nschema_version: 2\n{columns}"
    cell = json.dumps({"user": {"id": "u", "email": "x@y.z"}, "ip": "1.2.3.4", "n": [1]})
    row = json.dumps({"p": cell, "s": "s", "at": "1", "q": cell})
    found = json.loads(masked("{columns: {p.ip: drop}, unnamed: mask}", row, base=base))
    within = json.loads(found["p"])
    assert within["user"].pop("id") == "u"
    assert list(within["user"].values()) == [mask_of("x@y.z")]
    assert "1.2.3.4" not in found["p"]
    assert mask_of("[1]") in found["p"]
    assert cell not in found.values()
    for unnamed, left in (("mask", mask_of("x@y.z")), ("keep", "x@y.z"), ("drop", None)):
        plain = json.loads(masked(f"{{unnamed: {unnamed}}}", '{"p":"x@y.z","s":"s"}', base=base))
        assert plain.get("p") == left


READ = "columns: {user_id: user, event_type: kind, timestamp: at, purchase_amount_usd: order.total}\n"


def landed(section: str, *rows: object, base: str = f"source: shop\nformat: jsonl\nschema_version: 1\n{READ}") -> list:
    """Return rows masked as they land, parsed."""
    masker = masker_of(parse_contract(f"{base}pii: {section}", file="shop.yaml"), KEYS)
    assert masker is not None
    texts = [json.dumps(row) for row in rows]
    chunk = pa.table([list(range(len(rows))), texts, pa.nulls(len(rows), pa.string())], schema=CHUNK)
    return [json.loads(text) for text in masker.mask_chunk(chunk)["landed"].to_pylist()]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"at": "2026-06-01T10:00:00Z", "kind": "purchase"}, None),
        ({"at": "2026-06-01T10:00:00Z", "order": {"total": 1.5}}, None),
        ({"at": "2026-06-01T10:00:00Z", "order": {"total": "1.5"}}, None),
        ({"kind": "newsletter_signup", "at": None}, None),
        ({"at": "", "order": {"total": " "}}, None),
        ({"at": "ann@example.org"}, {"at": mask_of("ann@example.org")}),
        ({"at": "+15550198"}, {"at": mask_of("+15550198")}),
        ({"order": {"total": "call Ann"}}, {"order": {"total": mask_of("call Ann")}}),
        ({"order.total": "call Ann"}, {"order.total": mask_of("call Ann")}),
        ({"order": '{"total": "call Ann"}'}, {"order": f'{{"total":"{mask_of("call Ann")}"}}'}),
        ({"kind": "ann@example.org"}, {"kind": mask_of("ann@example.org")}),
        ({"kind": "5550198"}, {"kind": mask_of("5550198")}),
    ],
)
def test_what_does_not_parse_as_its_field_is_masked_too(row, expected):
    """A value stays where it is a time, a number or a type; in the same place any other text may be personal."""
    good = {"at": "2026-06-01T10:00:00Z", "kind": "page_view", "order": {"total": 3}}
    assert landed("{columns: {email: mask}}", good, row) == [good, row if expected is None else {**row, **expected}]


def test_parts_of_a_time_are_masked_where_they_make_none():
    """Date and time of day stand in two columns, and are a time together only."""
    base = "source: till\nformat: csv\nschema_version: 1\nevent_time: {time_column: clock}\n"
    base += "columns: {user_id: user, session_id: s, event_type: kind, timestamp: day}\n"
    good = {"day": "2026-06-01", "clock": "10:00:00"}
    rows = landed("{columns: {email: mask}}", good, {"day": "2026-06-01", "clock": "Ann"}, base=base)
    assert rows == [good, {"day": mask_of("2026-06-01", "till"), "clock": mask_of("Ann", "till")}]


def test_a_schema_version_that_is_none_is_masked():
    """A column that names the version holds one of few numbers."""
    base = "source: shop\nformat: jsonl\nschema_version: {column: v}\n"
    assert landed("{columns: {email: mask}}", {"v": 1}, {"v": "Ann"}, base=base) == [{"v": 1}, {"v": mask_of("Ann")}]
