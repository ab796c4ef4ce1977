"""Ids from the landed file to the published event, in every format, masked and not."""

from __future__ import annotations

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_data_platform_tests.pipeline_root import PipelineRoot, day, settings_for

DAY = day(1)
TIME = "2026-03-02T12:00:0{}Z"
FORMATS = ("csv", "jsonl", "parquet")
MASKED = "pii: {columns: {user_id: mask, session_id: mask}, unnamed: keep}"
COLUMNS = "columns: {user_id: user_id, session_id: session_id, timestamp: timestamp, event_type: event_type}"


def event(number, **fields):
    """Return one event without an id of its own."""
    return {
        "user_id": f"u{number % 5}",
        "session_id": f"s{number % 5}",
        "timestamp": TIME.format(number % 10),
        "event_type": "search",
        "page": str(number),
        **fields,
    }


def content(form, rows):
    """Return a file of the rows, their columns in the first row's order."""
    if form == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    names = list(rows[0])
    if form == "csv":
        text = io.StringIO()
        csv.writer(text).writerows([names, *([row.get(name) for name in names] for row in rows)])
        return text.getvalue().encode()
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


TOLERANT = dict.fromkeys(
    (
        "user_ids_are_present",
        "session_uuids_are_present",
        "rejected_share_is_within_tolerance",
        "each_event_type_is_mostly_valid",
    ),
    1.0,
)


CASES: dict[str, dict[str, object]] = {}


def landed(case, *files, said="", names=None, forms=FORMATS, masked=False):
    """Let files of a case be landed in each format by a source of its own: lists of rows, or functions from format to such."""
    CASES[case] = {"files": files, "said": said, "names": names, "forms": forms, "masked": masked}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """All cases, landed and judged; their features are built."""
    folder = tmp_path_factory.mktemp("ids")
    (folder / "contracts").mkdir()
    root = PipelineRoot(settings_for(folder / "root", sources=folder / "contracts", tolerances=TOLERANT))
    landings = []
    for case, of in CASES.items():
        for form in of["forms"]:
            columns = f"{COLUMNS}\n" if form == "csv" and not of["said"].lstrip().startswith("columns:") else ""
            head = f"format: {form}\nschema_version: 1\n{columns}{of['said']}\n"
            for section in ("", MASKED) if of["masked"] else ("",):
                source = f"{case}_{form}{'_masked' if section else ''}"
                (folder / "contracts" / f"{source}.yaml").write_text(f"source: {source}\n{head}{section}\n")
                (folder / source).mkdir()
                for at, rows in enumerate(of["files"]):
                    path = folder / source / (of["names"][at] if of["names"] else f"file{at}.{form}")
                    path.write_bytes(content(form, rows(form) if callable(rows) else rows))
                    landings.append((source, path))
    for source, path in landings:
        root.land(path, source=source)
    assert not root.judge([DAY], layers=2).failed
    return root


def rows_of(root, source, asset="validated_events", file="data.parquet"):
    """Return the rows of a source."""
    return [row for row in root.rows(asset, DAY, file) if row["source"] == source]


def published(root, source):
    """Return the published rows of a source by their page."""
    return {json.loads(row["attributes"] or "{}").get("page"): row for row in rows_of(root, source)}


def duplicates(root, source):
    """Return the number of rows that repeat an event."""
    return len(rows_of(root, source, "quarantined_events", "disposition=duplicate/data.parquet"))


landed("plain", [event(number) for number in range(20)])


def test_a_log_without_event_ids_just_works(root):
    """All rows are published, whatever the format, with ids of their own; features are built of them."""
    for form in FORMATS:
        ids = {row["event_id"] for row in rows_of(root, f"plain_{form}")}
        assert len(rows_of(root, f"plain_{form}")) == len(ids) == 20
        assert ids <= {row["event_id"] for row in root.rows("session_features", DAY)}


landed(
    "again",
    lambda form: [event(number, user_id="1000", price=None if form == "parquet" else "") for number in range(5)],
    [
        {
            "extra": None if number else "",
            "page": str(number),
            "timestamp": TIME.format(number).replace("Z", "+00:00"),
            "event_type": "search",
            "session_id": f"s{number}",
            "user_id": "1000.0",
        }
        for number in range(5)
    ],
)


def test_an_event_sent_again_otherwise_is_the_same(root):
    """Another order of columns, a further empty column, another spelling of the instant and of an integer id: no new event."""
    for form in FORMATS:
        assert len(rows_of(root, f"again_{form}")) == 5
        assert duplicates(root, f"again_{form}") == 5


landed("texts", [event(0, page="007"), event(0, page="7"), event(0, page="7")])


def test_texts_of_columns_that_nobody_reads_stay_apart(root):
    """007 and 7 are two events where no field says what they mean."""
    for form in FORMATS:
        assert set(published(root, f"texts_{form}")) == {"007", "7"}
        assert duplicates(root, f"texts_{form}") == 1


landed("equal", *[[event(0), event(0), event(1)]] * 2, said="duplicates: keep", names=["a", "b"])


def test_equal_lines_are_kept_where_the_contract_says_so(root):
    """Two equal lines of one file are two events; the same bytes under another name are no further ones."""
    for form in FORMATS:
        assert len(rows_of(root, f"equal_{form}")) == 3
        assert duplicates(root, f"equal_{form}") == 0


IDS = [1000, 1001, 1_234_567_890_123_456, 2**53]
landed(
    "doubles",
    [event(number, user_id=each, session_id=each) for number, each in enumerate(IDS)],
    [event(number, user_id=float(each), session_id=float(each), page="b") for number, each in enumerate(IDS)],
    forms=["parquet"],
)


def test_doubles_of_a_data_frame_are_the_integers(root):
    """A Parquet column of doubles has the users of one of integers, also where doubles are written with an exponent."""
    rows = rows_of(root, "doubles_parquet")
    assert len(rows) == 8
    assert len({row["user_id"] for row in rows}) == len({row["session_uuid"] for row in rows}) == 4


MARKERS = ["NULL", "\\N", "nan", "(not set)", "", "\u00a0"]
landed(
    "markers",
    [
        *(event(number) for number in range(10)),
        *(event(10 + at, user_id=text) for at, text in enumerate(MARKERS)),
        event(20, user_id="7"),
        event(21, user_id="7.0"),
    ],
    forms=["csv", "jsonl"],
    masked=True,
)


@pytest.mark.parametrize("source", ["csv", "csv_masked", "jsonl", "jsonl_masked"])
def test_null_markers_are_nobody_masked_or_not(root, source):
    """Rows with a marker are rejected for want of a user, and no user is made of them; good ones have one user each."""
    found = published(root, f"markers_{source}")
    assert set(found) == {*map(str, range(10)), "20", "21"}
    assert found["20"]["user_id"] == found["21"]["user_id"]
    assert len({row["user_id"] for row in found.values()}) == 6
    rejected = rows_of(root, f"markers_{source}", "quarantined_events", "disposition=rejected/data.parquet")
    assert {tuple(row["rules"]) for row in rejected} == {("user_ids_are_present",)}
    assert len(rejected) == len(MARKERS)


landed(
    "anonymous",
    [
        *(event(number) for number in range(10)),
        *(event(10 + number, user_id=None, session_id=None) for number in range(10)),
        *(event(20 + number, user_id="null") for number in range(5)),
    ],
    said="ids: {anonymous: admit}",
)


def test_anonymous_rows_are_admitted_alone(root):
    """Each row without a user is one user, and one session where it has none; known users are who they were."""
    features = {row["event_id"]: row for row in root.rows("session_features", DAY)}
    for form in FORMATS:
        found = published(root, f"anonymous_{form}")
        assert len(found) == 25
        anonymous = [found[str(number)] for number in range(10, 25)]
        assert len({row["user_id"] for row in anonymous}) == 15
        assert all(row["user_id"].startswith("anon_") for row in anonymous)
        assert len({row["session_uuid"] for row in anonymous[:10]}) == 10
        sessions = {found[str(number)]["session_uuid"] for number in range(5)}
        assert {row["session_uuid"] for row in anonymous[10:]} == sessions
        assert all(found[str(number)]["user_id"].startswith("usr_") for number in range(10))
        assert all(features[row["event_id"]]["session_event_count"] == 1 for row in anonymous[:10])


landed(
    "numbered",
    [
        *(event(number, user_id=f"u{number % 2}", session_id="1", login=None) for number in range(10)),
        event(10, user_id="c", session_id="1", login="u1"),
    ],
    said="""
columns:
  user_id: {first_of: [login, user_id]}
  session_id: [user_id, session_id]
  timestamp: timestamp
  event_type: event_type
""",
)


def test_sessions_numbered_per_user_are_told_apart(root):
    """User and number together are the session; the first of two columns with an id is the user."""
    for form in FORMATS:
        found = published(root, f"numbered_{form}")
        assert len({row["session_uuid"] for row in found.values()}) == 3
        assert {row["user_id"] for row in found.values()} == {found["0"]["user_id"], found["1"]["user_id"]}
        assert found["10"]["user_id"] == found["1"]["user_id"]


landed(
    "alternatives",
    *(
        [
            {"session_id": "s", "timestamp": TIME.format(0), "event_type": "search", name: "u", "page": f"{first}{at}"}
            for at in range(3)
        ]
        for name, first in (("login", "a"), ("uid", "b"), ("other", "c"))
    ),
    said="columns: {user_id: {first_of: [login, uid]}, session_id: session_id, timestamp: timestamp, event_type: event_type}",
    forms=["csv", "parquet"],
)


def test_a_file_needs_one_of_the_alternatives(root):
    """A file with either column is read; one with none is refused, and both names are said."""
    sources = ["alternatives_csv", "alternatives_parquet"]
    for source in sources:
        found = published(root, source)
        assert set(found) == {f"{letter}{number}" for letter in "ab" for number in range(3)}
        assert len({row["user_id"] for row in found.values()}) == 1
    refused = [record for record in root.platform.ledger.records() if record.status == "rejected"]
    assert sorted(record.source for record in refused) == sources
    assert all("login or uid" in str(record) for record in refused)
