"""Stored records are read back as written, or refused by name."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ml_data_platform.errors import PlatformError, RecordError, StageFailedError
from ml_data_platform.events.lateness import Admission
from ml_data_platform.storage.commit_log import FileEntry, LogRecord
from ml_data_platform.storage.ledger import LedgerRecord

COMMIT = LogRecord(
    asset="raw_events",
    day="2026-01-02",
    generation=3,
    commit_id="c" * 64,
    files=(FileEntry("part=a/data.parquet", "a" * 64, 10, 2), FileEntry("part=b/data.parquet", "b" * 64, 20, 5)),
    inputs={"zeta": "1", "alpha": "2"},
    code_version="v1",
    schema_version=2,
    run_id="run-é",
    committed_at="2026-01-03T04:05:06.000007+00:00",
    verdict={"checks": [{"name": "x", "observed": 1.5, "passed": True}]},
)
LANDED = LedgerRecord(
    source="demo_shop",
    sha256="d" * 64,
    routing_hash="e" * 64,
    contract_hash="f" * 64,
    name="späte \udcff datei.csv",
    size_bytes=123,
    status="landed",
    reason=None,
    rows=7,
    rows_per_day={"2026-01-02": 4, "2026-01-03": 1},
    undated={"malformed_row": 2},
    min_event_time="2026-01-02T00:00:00+00:00",
    max_event_time="2026-01-03T23:59:59.999999+00:00",
    ingested_at="2026-01-04T00:00:00+00:00",
    fragment="1" * 64,
    undated_fragment=None,
    key_id="abcdef01",
)


@pytest.mark.parametrize(("record", "where"), [(COMMIT, "log.json"), (LANDED, LANDED.key)])
def test_records_survive_storage(record, where):
    """Reading back gives an equal record, and writing that gives the same bytes: sorted ASCII JSON."""
    data = record.to_json()
    again = type(record).from_json(data, where=where)
    assert again == record
    assert again.to_json() == data
    assert list(json.loads(data)) == sorted(json.loads(data))
    assert data.isascii()


def test_records_of_before_lateness_was_noted_are_read():
    """Fields that came later are absent where they say nothing, so older records keep their bytes and are read."""
    fields = json.loads(LANDED.to_json())
    assert not {"too_late", "admission", "event_time", "delays"} & set(fields)
    again = LedgerRecord.from_json(LANDED.to_json(), where=LANDED.key)
    assert (again.too_late, again.admission, again.event_time, again.delays, again.late) == ({}, None, None, {}, {})


NOTED = replace(
    LANDED,
    rows=10,
    too_late={"2026-01-01": 3},
    admission=Admission("clock", LANDED.ingested_at, LANDED.ingested_at, "2026-01-03", "2026-01-02"),
    event_time="2026-01-03T12:00:00+00:00",
    delays={"2026-01-01": "7.5 0:1 100:2"},
)


def test_what_was_noted_about_lateness_survives():
    """Bounds, counts and delays are read back as written; late are the rows of days before the bound."""
    again = LedgerRecord.from_json(NOTED.to_json(), where=NOTED.key)
    assert (again, again.late) == (NOTED, {"2026-01-01": 3, "2026-01-02": 4})


@pytest.mark.parametrize(
    "change",
    [
        {"too_late": {"2026-01-01": 4}},
        {"too_late": {"yesterday": 3}},
        {"too_late": {"2026-01-01": True}},
        {"too_late": []},
        {"admission": {}},
        {"admission": {"strategy": "clock"}},
        {"event_time": "noon"},
        {"unheard_of": 1},
    ],
)
def test_notes_that_contradict_themselves_are_refused(change):
    """Counts that do not add up, days and instants that are none, fields that nobody knows: an error with the file."""
    data = json.dumps({**json.loads(NOTED.to_json()), **change}).encode()
    with pytest.raises(RecordError, match=NOTED.sha256[:20]):
        LedgerRecord.from_json(data, where=NOTED.key)


FREE_TEXT = ("asset", "commit_id", "run_id", "code_version")
DAMAGE = [
    (name, value)
    for name in json.loads(COMMIT.to_json())
    for value in ("missing", -1.5, None, [], {"a": 1}, True, "../x")
    if not (name in FREE_TEXT and value == "../x") and not (name == "verdict" and value in (None, {"a": 1}))
]


@pytest.mark.parametrize(("name", "value"), DAMAGE)
def test_a_damaged_commit_record_is_refused_by_file_name(name, value):
    """A missing field, or one of another type, raises an error that names the file, never a bare one."""
    fields = json.loads(COMMIT.to_json())
    if value == "missing":
        del fields[name]
    else:
        fields[name] = value
    with pytest.raises(RecordError, match=r"00000003\.json"):
        LogRecord.from_json(json.dumps(fields).encode(), where="log/00000003.json")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'{"format":2}', b"\xff\xfe", COMMIT.to_json()[:-20]])
def test_bytes_that_are_no_record_are_refused_by_file_name(data):
    """Cut, foreign or newer records raise an error that names the file."""
    for kind in (LogRecord, LedgerRecord):
        with pytest.raises(RecordError, match=r"some/key\.json"):
            kind.from_json(data, where="some/key.json")


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 8},
        {"status": "fine"},
        {"rows_per_day": {"2026-02-30": 5}},
        {"rows_per_day": {"2026-01-02": True, "2026-01-03": 4}},
        {"ingested_at": "2026-01-04T00:00:00"},
        {"max_event_time": "yesterday"},
        {"fragment": "../../x"},
        {"source": "../x"},
        {"routing_hash": "short"},
    ],
)
def test_a_ledger_record_that_contradicts_itself_is_refused(change):
    """Rows that do not add up, days that are none, instants without offset: refused on reading too."""
    record = replace(LANDED, **change)
    with pytest.raises(PlatformError):
        LedgerRecord.from_json(record.to_json(), where=LANDED.key)


def test_a_verdict_that_json_cannot_hold_is_refused():
    """NaN has no JSON form; a record that other tools cannot read is never written."""
    with pytest.raises(StageFailedError):
        replace(COMMIT, verdict={"observed": float("nan")}).to_json()


def test_content_is_names_and_bytes_and_nothing_else():
    """Runs, inputs and order do not touch the content hash; a name or a byte does."""
    same = replace(COMMIT, run_id="x", inputs={}, generation=9, files=COMMIT.files[::-1], verdict=None)
    renamed = replace(COMMIT, files=(replace(COMMIT.files[0], name="part=c/data.parquet"), COMMIT.files[1]))
    swapped = replace(
        COMMIT,
        files=(replace(COMMIT.files[0], sha256="b" * 64), replace(COMMIT.files[1], sha256="a" * 64)),
    )
    assert same.content == COMMIT.content
    assert len({COMMIT.content, renamed.content, swapped.content}) == 3
    assert COMMIT.rows == 7
