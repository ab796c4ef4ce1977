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


@pytest.fixture
def build(tmp_path):
    """Return a function that lands the same files of a source for each format, judges their day, and returns the root.

    Files are lists of rows, or functions from format to such.
    """

    def run(*files, said="", names=None, forms=FORMATS, masked=False, layers=1):
        contracts = tmp_path / "contracts"
        contracts.mkdir()
        root = PipelineRoot(settings_for(tmp_path / "root", sources=contracts, tolerances=TOLERANT))
        for form in forms:
            columns = f"{COLUMNS}\n" if form == "csv" and not said.lstrip().startswith("columns:") else ""
            head = f"format: {form}\nschema_version: 1\n{columns}{said}\n"
            for source, section in {form: "", **({f"{form}_masked": MASKED} if masked else {})}.items():
                (contracts / f"{source}.yaml").write_text(f"source: {source}\n{head}{section}\n")
        for source in sorted(path.stem for path in contracts.iterdir()):
            form = source.partition("_")[0]
            for at, rows in enumerate(files):
                path = tmp_path / source / (names[at] if names else f"file{at}.{form}")
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content(form, rows(form) if callable(rows) else rows))
                root.land(path, source=source)
        assert not root.judge([DAY], layers=layers).failed
        return root

    return run


def rows_of(root, source, asset="validated_events", file="data.parquet"):
    """Return the rows of a source."""
    return [row for row in root.rows(asset, DAY, file) if row["source"] == source]


def published(root, source):
    """Return the published rows of a source by their page."""
    return {json.loads(row["attributes"] or "{}").get("page"): row for row in rows_of(root, source)}


def duplicates(root, source):
    """Return the number of rows that repeat an event."""
    return len(rows_of(root, source, "quarantined_events", "disposition=duplicate/data.parquet"))


def test_a_log_without_event_ids_just_works(build):
    """All rows are published, whatever the format, with ids of their own; features are built of them."""
    root = build([event(number) for number in range(20)], layers=2)
    for form in FORMATS:
        rows = rows_of(root, form)
        assert len(rows) == len({row["event_id"] for row in rows}) == 20
    assert len(root.rows("session_features", DAY)) == 20 * len(FORMATS)


def test_an_event_sent_again_otherwise_is_the_same(build):
    """Another order of columns, a further empty column, another spelling of the instant and of an integer id: no new event."""

    def first(form):
        return [event(number, user_id="1000", price=None if form == "parquet" else "") for number in range(5)]

    again = [
        {
            "extra": None if number else "",
            "page": str(number),
            "timestamp": TIME.format(number).replace("Z", "+00:00"),
            "event_type": "search",
            "session_id": f"s{number}",
            "user_id": "1000.0",
        }
        for number in range(5)
    ]
    root = build(first, again)
    for form in FORMATS:
        assert len(rows_of(root, form)) == 5
        assert duplicates(root, form) == 5


def test_texts_of_columns_that_nobody_reads_stay_apart(build):
    """007 and 7 are two events where no field says what they mean."""
    root = build([event(0, page="007"), event(0, page="7"), event(0, page="7")])
    for form in FORMATS:
        assert set(published(root, form)) == {"007", "7"}
        assert duplicates(root, form) == 1


def test_equal_lines_are_kept_where_the_contract_says_so(build):
    """Two equal lines of one file are two events; the same bytes under another name are no further ones."""
    rows = [event(0), event(0), event(1)]
    root = build(rows, rows, said="duplicates: keep", names=["a", "b"])
    for form in FORMATS:
        assert len(rows_of(root, form)) == 3
        assert duplicates(root, form) == 0


def test_doubles_of_a_data_frame_are_the_integers(build):
    """A Parquet column of doubles has the users of one of integers, also where doubles are written with an exponent."""
    ids = [1000, 1001, 1_234_567_890_123_456, 2**53]
    integers = [event(number, user_id=each, session_id=each) for number, each in enumerate(ids)]
    doubles = [event(number, user_id=float(each), session_id=float(each), page="b") for number, each in enumerate(ids)]
    rows = rows_of(build(integers, doubles, forms=["parquet"]), "parquet")
    assert len(rows) == 8
    assert len({row["user_id"] for row in rows}) == len({row["session_uuid"] for row in rows}) == 4


def test_null_markers_are_nobody_masked_or_not(build):
    """Rows with a marker are rejected for want of a user, and no user is made of them; good ones have one user each."""
    markers = ["NULL", "\\N", "nan", "(not set)", "", "\u00a0"]
    rows = [event(number) for number in range(10)]
    rows += [event(10 + at, user_id=text) for at, text in enumerate(markers)]
    rows += [event(20, user_id="7"), event(21, user_id="7.0")]
    root = build(rows, forms=["csv", "jsonl"], masked=True)
    for source in ("csv", "csv_masked", "jsonl", "jsonl_masked"):
        found = published(root, source)
        assert set(found) == {*map(str, range(10)), "20", "21"}
        assert found["20"]["user_id"] == found["21"]["user_id"]
        assert len({row["user_id"] for row in found.values()}) == 6
        rejected = rows_of(root, source, "quarantined_events", "disposition=rejected/data.parquet")
        assert {tuple(row["rules"]) for row in rejected} == {("user_ids_are_present",)}
        assert len(rejected) == len(markers)


def test_anonymous_rows_are_admitted_alone(build):
    """Each row without a user is one user, and one session where it has none; known users are who they were."""
    rows = [event(number) for number in range(10)]
    rows += [event(10 + number, user_id=None, session_id=None) for number in range(10)]
    rows += [event(20 + number, user_id="null") for number in range(5)]
    root = build(rows, said="ids: {anonymous: admit}", layers=2)
    features = {row["event_id"]: row for row in root.rows("session_features", DAY)}
    for form in FORMATS:
        found = published(root, form)
        assert len(found) == 25
        anonymous = [found[str(number)] for number in range(10, 25)]
        assert len({row["user_id"] for row in anonymous}) == 15
        assert all(row["user_id"].startswith("anon_") for row in anonymous)
        assert len({row["session_uuid"] for row in anonymous[:10]}) == 10
        sessions = {found[str(number)]["session_uuid"] for number in range(5)}
        assert {row["session_uuid"] for row in anonymous[10:]} == sessions
        assert all(found[str(number)]["user_id"].startswith("usr_") for number in range(10))
        assert all(features[row["event_id"]]["session_event_count"] == 1 for row in anonymous[:10])


def test_sessions_numbered_per_user_are_told_apart(build):
    """User and number together are the session; the first of two columns with an id is the user."""
    rows = [event(number, user_id=f"u{number % 2}", session_id="1", login=None) for number in range(10)]
    rows += [event(10, user_id="c", session_id="1", login="u1")]
    said = """
columns:
  user_id: {first_of: [login, user_id]}
  session_id: [user_id, session_id]
  timestamp: timestamp
  event_type: event_type
"""
    root = build(rows, said=said)
    for form in FORMATS:
        found = published(root, form)
        assert len({row["session_uuid"] for row in found.values()}) == 3
        assert {row["user_id"] for row in found.values()} == {found["0"]["user_id"], found["1"]["user_id"]}
        assert found["10"]["user_id"] == found["1"]["user_id"]


def test_a_file_needs_one_of_the_alternatives(build):
    """A file with either column is read; one with none is refused, and both names are said."""
    said = "columns: {user_id: {first_of: [login, uid]}, session_id: session_id, timestamp: timestamp, event_type: event_type}"

    def rows(name, first):
        return [
            {
                "session_id": "s",
                "timestamp": TIME.format(0),
                "event_type": "search",
                name: "u",
                "page": f"{first}{number}",
            }
            for number in range(3)
        ]

    forms = ["csv", "parquet"]
    root = build(rows("login", "a"), rows("uid", "b"), rows("other", "c"), said=said, forms=forms)
    for form in forms:
        found = published(root, form)
        assert set(found) == {f"{letter}{number}" for letter in "ab" for number in range(3)}
        assert len({row["user_id"] for row in found.values()}) == 1
    refused = [record for record in root.platform.ledger.records() if record.status == "rejected"]
    assert sorted(record.source for record in refused) == forms
    assert all("login or uid" in str(record) for record in refused)
