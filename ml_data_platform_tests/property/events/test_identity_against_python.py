"""Rows without event ids are one event exactly when plain Python finds their values equal."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from ml_data_platform.events.contracts import parse_contract
from ml_data_platform.events.parsing import mapping_query, member_names_query, routing_query
from ml_data_platform_tests.examples import tried

JSON = parse_contract("source: shop\nformat: jsonl\nschema_version: 1\nevent_type: {default: other}", file="shop.yaml")
CSV = parse_contract(
    """
source: shop
format: csv
csv: {decimal: ","}
schema_version: 1
columns: {user_id: u, session_id: s, event_type: kind, timestamp: at, purchase_amount_usd: price, sequence: n}
event_type: {mapping: {view: page_view}, default: other}
""",
    file="shop.yaml",
)
WIDE = {"start_date": dt.date(2026, 1, 1), "latest": dt.datetime(2027, 1, 1, tzinfo=dt.UTC)}
# One list per way of writing; texts of one place mean the same.
TIMES = [
    ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05+00:00", "2026-01-02 04:04:05.000+01:00"],
    ["2026-01-02T03:04:06Z"],
]
IDS = [["7", "7.0", "7.00"], ["007"], ["", "NULL", "\\N", " ", "(not set)"], ["u"]]
AMOUNTS = [["12,5", "12,50", "+012,5"], ["12", "12,0"], ["", "  "], ["0", "-0,0"], ["12.5"], ["much"]]
NUMBERS = [["1", "01", "+1"], ["2"], ["", " "], ["1,5"]]
EXTRAS = [["7"], ["07"], [""], [" "], ["x"], ["null"]]
KINDS = [["view"], ["VIEW"], [""]]

GROUPS = {
    "at": TIMES,
    "u": IDS,
    "s": IDS,
    "kind": KINDS,
    "price": AMOUNTS,
    "n": NUMBERS,
    "page": EXTRAS,
    "ref": EXTRAS,
    "Unnamed: 0": [["1"], ["2"]],
    "__index_level_0__": [["5"], ["6"]],
}
NEEDED = ("at", "u", "s", "kind")


@st.composite
def rows_written_twice(draw):
    """Rows as (which meaning each cell has, the cells in some order): each meaning is written twice, as is nearly the same."""
    found = []
    for _ in range(draw(st.integers(1, 8))):
        names = [name for name in GROUPS if name in NEEDED or draw(st.booleans())]
        meaning = {name: draw(st.integers(0, len(GROUPS[name]) - 1)) for name in names}
        other = draw(st.sampled_from(names))
        for changed in (meaning, meaning, {**meaning, other: draw(st.integers(0, len(GROUPS[other]) - 1))}):
            cells = {name: draw(st.sampled_from(GROUPS[name][changed[name]])) for name in draw(st.permutations(names))}
            found.append((changed, cells))
    return found


EMPTY = {"u": 2, "s": 2, "price": 2, "n": 2, "page": 2, "ref": 2, "kind": 2}


def event_ids(duck, contract, rows):
    """Return the event ids of landed JSON texts, in their order: the same whether all names of members are known or not."""
    table = pa.table(
        {
            "source_row": pa.array(range(len(rows)), pa.int64()),
            "landed": rows,
            "defect": pa.nulls(len(rows), pa.string()),
        }
    )
    duck.register("identified", table)
    raw = f"(SELECT 'shop' AS source, 'f' AS source_file, * FROM ({routing_query(contract, 'identified', **WIDE)}))"
    names = [name for _, name in duck.execute(member_names_query({"shop": contract}, raw)).fetchall()]
    assert set(names) == {name for row in rows for name in json.loads(row)}
    found = []
    for known in (None, {"shop": names}):
        query = f"SELECT event_id FROM ({mapping_query({'shop': contract}, raw, known)}) ORDER BY source_row"
        found.append([row[0] for row in duck.execute(query).fetchall()])
    assert found[0] == found[1]
    return found[0]


def same_parts(found, expected):
    """Whether two lists put the same places together."""
    return [found.index(each) for each in found] == [expected.index(each) for each in expected]


@given(landed=rows_written_twice())
@tried(60)
def test_cells_identify_by_what_they_mean(duck, landed):
    """However times, ids and numbers are written and columns are ordered; positions of rows tell nothing apart."""
    texts, meanings = [], []
    for meaning, cells in landed:
        texts.append(json.dumps(cells))
        told = {name: at for name, at in meaning.items() if name not in ("Unnamed: 0", "__index_level_0__")}
        meanings.append({name: at for name, at in told.items() if EMPTY.get(name) != at})
    assert same_parts(event_ids(duck, CSV, texts), meanings)


members = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from(["", "0", "1", "true", "null", "{}", "[]", '"', "1:a,", "-,"]),
    st.just([1, {"b": 2}]),
)


def text_of(value):
    """Return the text that a member lands as; None where it says nothing."""
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


@given(
    rows=st.lists(
        st.dictionaries(st.sampled_from(["a", "b", "a.b", "", "1:a,", "landed", "é"]), members, max_size=5),
        min_size=2,
        max_size=20,
    )
)
@tried(60)
def test_members_identify_by_name_and_text(duck, rows):
    """Unmapped members are compared by name and text; absent, null and empty are one, in whatever order they stand."""
    known = {"user_id": "u", "session_id": "s", "timestamp": "2026-01-02T03:04:05Z"}
    texts = [json.dumps({**row, **known} if at % 2 else {**known, **row}) for at, row in enumerate(rows)]
    # The empty name is that of the column in which data frames write positions.
    meanings = [{k: text_of(v) for k, v in row.items() if k and text_of(v) is not None} for row in rows]
    assert same_parts(event_ids(duck, JSON, texts), meanings)


@given(
    amounts=st.lists(
        st.one_of(st.floats(-1e6, 1e6, allow_nan=False), st.decimals(-1000, 1000, places=2), st.integers(-5, 5)),
        min_size=2,
        max_size=20,
    )
)
@tried(60)
def test_amounts_identify_as_the_numbers_that_they_are(duck, amounts):
    """Two spellings of one double are one event, two doubles are two."""
    known = {"user_id": "u", "session_id": "s", "timestamp": "2026-01-02T03:04:05Z"}
    texts = [json.dumps({**known, "purchase_amount_usd": str(amount)}) for amount in amounts]
    assert same_parts(event_ids(duck, JSON, texts), [float(Decimal(str(amount))) for amount in amounts])


def test_a_version_tells_no_events_apart(duck):
    """The same event without an id, landed as version 1 and as version 2, is one event."""
    both = parse_contract("source: shop\nformat: jsonl\nevent_type: {default: other}", file="shop.yaml")
    first = {"user_id": "u", "session_id": "s", "timestamp": "2026-01-02T03:04:05Z", "page": "/"}
    second = {"page": "/", "user_id": "u", "session_uuid": "s", "event_timestamp": 1_767_323_045_000}
    one, other, third = event_ids(duck, both, [json.dumps(row) for row in (first, second, {**second, "page": "/b"})])
    assert one == other != third


def test_nested_columns_that_are_mapped_leave_nothing(duck):
    """An object whose members are all mapped says the same as none."""
    nested = parse_contract(
        "source: shop\nformat: jsonl\nschema_version: 1\nevent_type: {default: other}\n"
        "columns: {user_id: who.id, session_id: who.session}",
        file="shop.yaml",
    )
    who = {"id": "u", "session": "s"}
    rows = [
        {"who": who},
        {"who": {**who, "id": "u.0", "session": "s"}},
        {"who": {**who, "plan": "x"}},
        {"who": who, "x": {}},
    ]
    found = event_ids(duck, nested, [json.dumps({**row, "timestamp": "2026-01-02T03:04:05Z"}) for row in rows])
    assert len(set(found)) == 4
    assert (
        found[0] == event_ids(duck, nested, [json.dumps({"timestamp": "2026-01-02T03:04:05Z", "who": who, "x": ""})])[0]
    )
