"""The ledger only grows, and says which record of a content is current."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ml_data_platform.errors import PlatformError, RecordError, StorageKeyError
from ml_data_platform.storage.ledger import Failure, Ledger, LedgerRecord
from ml_data_platform.storage.local_objects import LocalObjectStore

FIRST = LedgerRecord(
    source="demo_shop",
    sha256="a" * 64,
    routing_hash="1" * 64,
    contract_hash="c" * 64,
    name="events.jsonl",
    size_bytes=10,
    status="landed",
    reason=None,
    rows=3,
    rows_per_day={"2026-01-02": 2},
    undated={"malformed_row": 1},
    min_event_time="2026-01-02T00:00:00+00:00",
    max_event_time="2026-01-02T01:00:00+00:00",
    ingested_at="2026-01-03T00:00:00.5+00:00",
    fragment="b" * 64,
    undated_fragment=None,
    key_id=None,
)


@pytest.fixture
def ledger(tmp_path):
    """A ledger under an empty root."""
    return Ledger(LocalObjectStore(tmp_path))


def test_the_first_record_of_a_content_and_routing_stays(ledger):
    """Landing the same bytes again under the same routing changes nothing, also not the time."""
    assert ledger.append(FIRST)
    assert not ledger.append(replace(FIRST, ingested_at="2027-01-01T00:00:00+00:00", name="again.jsonl"))
    assert ledger.record("demo_shop", FIRST.sha256, FIRST.routing_hash) == FIRST
    assert ledger.records() == (FIRST,)
    assert ledger.record("demo_shop", FIRST.sha256, "9" * 64) is None


def test_the_record_ingested_last_is_current_unless_a_routing_is_asked_for(ledger):
    """Instants are compared as instants, not as text; ties go to the greater routing hash."""
    # Later than FIRST as text, half an hour earlier as an instant.
    earlier = replace(FIRST, routing_hash="2" * 64, ingested_at="2026-01-03T00:30:00+01:00")
    tied = replace(FIRST, routing_hash="3" * 64, ingested_at="2026-01-03T01:00:00.500+01:00")
    other = replace(FIRST, source="other_shop")
    for record in (earlier, tied, FIRST, other):
        ledger.append(record)
    assert ledger.records() == (tied, other)
    assert ledger.records({"demo_shop": "2" * 64}) == (earlier, other)
    assert ledger.records({"demo_shop": "8" * 64, "nobody": "1" * 64}) == (tied, other)


def test_names_and_failures_are_kept_once_each(ledger):
    """Any text is a file name, also hostile and undecodable; the same failure is one record."""
    names = ["a.csv", "../../etc/passwd", "späte \udcff.csv", "x" * 4000]
    for name in names:
        assert ledger.note_name(FIRST, name, "2026-01-03T00:00:00+00:00")
        assert not ledger.note_name(FIRST, name, "2026-01-04T00:00:00+00:00")
    assert ledger.names("demo_shop", FIRST.sha256) == tuple(sorted(names))
    assert ledger.names("demo_shop", "f" * 64) == ()
    for at in ("2026-01-03T00:00:00+00:00", "2026-01-04T00:00:00+00:00"):
        ledger.note_failure("demo_shop", "landing/x.csv", "unreadable", at)
    assert ledger.failures() == (Failure("demo_shop", "landing/x.csv", "unreadable", "2026-01-03T00:00:00+00:00"),)
    assert ledger.records() == ()


@pytest.mark.parametrize("source", ["../x", "Demo", "", "a/b", "demo\n", "_failures"])
def test_sources_that_are_no_plain_names_are_refused(ledger, source):
    """No source can write outside its folder of the ledger."""
    with pytest.raises(StorageKeyError):
        ledger.append(replace(FIRST, source=source))
    with pytest.raises(StorageKeyError):
        ledger.note_failure(source, "x", "y", "2026-01-03T00:00:00+00:00")


def test_a_contradicting_record_is_not_written_and_a_damaged_one_is_named(ledger):
    """Rows that do not add up are refused before writing; a cut file raises with its path, not silence."""
    with pytest.raises(PlatformError):
        ledger.append(replace(FIRST, rows=4))
    assert ledger.records() == ()
    ledger.append(FIRST)
    path = Path(ledger.objects.uri(FIRST.key))
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data[:-5])
    with pytest.raises(RecordError, match=FIRST.sha256[:20]):
        ledger.records()
    path.write_bytes(data.replace(b"demo_shop", b"other_one"))
    with pytest.raises(RecordError):
        ledger.records()


def test_foreign_files_in_the_ledger_are_ignored(ledger):
    """Folders with other names and files of other kinds are no records."""
    ledger.append(FIRST)
    folder = Path(ledger.objects.uri("ledger/demo_shop"))
    (folder / "notes.txt").write_text("x")
    (folder.parent / "Not A Source").mkdir()
    (folder.parent / "README").write_text("x")
    assert ledger.records() == (FIRST,)
