"""A record below the ledger that is gone or damaged is named, is never read as if nothing were, and is made again."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from ml_data_platform.errors import RecordError
from ml_data_platform.events.planning import Status, plan
from ml_data_platform.landing.landing import LandedFile
from ml_data_platform.stages.flow import build
from ml_data_platform.stages.lost_records import give_up
from ml_data_platform.stages.retraction import retract_file
from ml_data_platform.stages.state import current_records, read_state
from ml_data_platform.stages.verification import verify
from ml_data_platform.storage.defects import Kind
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.ledger import Ledger
from ml_data_platform.storage.records import canonical_json
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.pipeline_root import PipelineRoot, day, settings_for, shop_lines

MASKED = """source: till
format: jsonl
schema_version: 1
columns: {event_id: id, user_id: user, session_id: visit, event_type: what, timestamp: at}
pii: {columns: {user: mask}, unnamed: keep}
"""
TILL = [
    {"id": f"t{number}", "user": f"u{number}", "visit": "v", "what": "other", "at": f"2026-03-02T09:0{number}:00Z"}
    for number in range(5)
]
DAYS = (day(1), day(2))


def land(folder: Path) -> PipelineRoot:
    """Return a root with a plain file of two days and an undated row, one of a day, and a masked one."""
    (folder.parent / "sources").mkdir()
    (folder.parent / "sources" / "till.yaml").write_text(MASKED)
    root = PipelineRoot(settings_for(folder, sources=folder.parent / "sources"))
    undated = {**shop_lines(day(1), 1)[0], "event_id": "u", "event_timestamp": "never"}
    root.drop("a.jsonl", [*shop_lines(day(1), 6), *shop_lines(day(2), 4), undated])
    root.drop("b.jsonl", shop_lines(day(2), 5, name="b"))
    root.drop("c.jsonl", TILL, source="till")
    return root


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> PipelineRoot:
    """That root, of which ``raw_events`` of both days is built; to be read only."""
    root = land(tmp_path_factory.mktemp("lost") / "root")
    build_all(root)
    return root


@pytest.fixture
def root(landed: PipelineRoot, tmp_path: Path) -> PipelineRoot:
    """A copy of it, to be changed."""
    return landed.copied(tmp_path / "root")


def build_all(root: PipelineRoot) -> None:
    """Build ``raw_events`` of both days, as a run does."""
    for of in DAYS:
        with root.platform.store.scratch() as scratch:
            for staged in build(root.platform, "raw_events", of, {}, scratch).tables.values():
                root.platform.store.commit(staged, run_id="test")


def key_of(root: PipelineRoot, name: str) -> str:
    """Return the key of the record of a landed file."""
    return next(record.key for record in root.platform.ledger.records() if record.name == name)


def blocked(root: PipelineRoot) -> dict[dt.date, tuple[str, ...]]:
    """Return the days of which ``raw_events`` is blocked, and why."""
    planned = plan(read_state(root.platform), DAYS, assets=["raw_events"])
    return {each.day: each.reasons for each in planned if each.status is Status.BLOCKED}


def found(root: PipelineRoot) -> set[tuple[Kind, str]]:
    """Return the defects that a verification finds."""
    return {(defect.kind, defect.key) for defect in verify(root.platform).defects}


def ledger_files(root: PipelineRoot) -> dict[str, bytes]:
    """Return the bytes of everything below the ledger."""
    objects = root.platform.store.objects
    return {key: objects.read_bytes(key) for key in objects.list("ledger")}


def flip(root: PipelineRoot, key: str) -> None:
    """Flip one bit of a file."""
    data = bytearray(root.platform.store.objects.read_bytes(key))
    data[len(data) // 2] ^= 1
    root.platform.store.objects.delete(key)
    root.platform.store.objects.put_if_absent(key, bytes(data))


@pytest.mark.parametrize("name", ["a.jsonl", "b.jsonl", "c.jsonl"])
def test_a_lost_record_is_named_blocks_its_days_and_is_made_again_as_it_was(root: PipelineRoot, name: str) -> None:
    """Of plain and masked files: no row is dropped, the plan says why, and the repair leads to the very same ledger."""
    assert verify(root.platform).defects == ()
    before, key = ledger_files(root), key_of(root, name)
    days = {dt.date.fromisoformat(of) for of in json.loads(before[key])["rows_per_day"]}
    root.platform.store.objects.delete(key)
    sha256 = key.rpartition("/")[2].partition(".")[0]
    assert found(root) == {(Kind.LEDGER_RECORD_LOST, key.partition(f".{key.split('.')[1]}")[0])}
    assert set(blocked(root)) == days
    assert all(sha256[:12] in why[0] and "verify --repair" in why[0] for why in blocked(root).values())
    with root.platform.store.scratch() as scratch, pytest.raises(RecordError, match=sha256[:12]):
        build(root.platform, "raw_events", min(days), {}, scratch)
    assert [each.is_repaired for each in verify(root.platform, is_repair=True).defects] == [True]
    assert (ledger_files(root), blocked(root), found(root)) == (before, {}, set())


def test_commands_end_with_1_where_a_record_is_lost_and_say_what_repairs_it(root: PipelineRoot) -> None:
    """``plan`` and ``backfill`` publish nothing of the day that lost rows, and name file and command."""
    cli, head = CommandLine(root.folder.parent), root.platform.store.head("raw_events", str(day(2)))
    root.platform.store.objects.delete(key_of(root, "b.jsonl"))
    of_root = ("--root", root.folder, "--sources", root.settings.sources, "--from", day(2), "--to", day(2))
    for command in ("plan", "backfill"):
        said = cli(command, *of_root)
        assert (said.status, "verify --repair" in said.text, "lost the record" in said.text) == (1, True, True), said
    assert root.platform.store.head("raw_events", str(day(2))) == head


def test_every_damaged_record_is_an_error_is_set_aside_and_made_again(root: PipelineRoot) -> None:
    """One flipped bit in each record but what bears witness to it: each is named, and is again as it was before."""
    retract_file(root.platform, "demo_shop", "b.jsonl", "not theirs")
    root.platform.ledger.note_failure("demo_shop", "x.csv", "unreadable", "2026-03-20T12:00:00+00:00")
    before = ledger_files(root)
    passing = {key for key in before if "_failures" in key or "_adopted" in key}
    damaged = {key for key in before if ".names/" not in key and "_twins" not in key}
    assert len(damaged) == len(passing) + 4
    for key in damaged:
        flip(root, key)
    with pytest.raises(RecordError, match="verify --repair"):
        current_records(root.platform)
    assert found(root) == {(Kind.LEDGER_RECORD_DAMAGED, key) for key in damaged}
    assert all(defect.is_repaired for defect in verify(root.platform, is_repair=True).defects)
    assert set(root.platform.store.objects.list("_store/damaged")) == {f"_store/damaged/{key}" for key in damaged}
    assert ledger_files(root) == {key: data for key, data in before.items() if key not in passing}
    assert found(root) == set()


def test_a_record_damaged_with_its_witness_is_named_as_lost(root: PipelineRoot) -> None:
    """Of a plain file the rows come back and the time of landing is lost; how a file was masked nobody can tell."""
    for name in ("a.jsonl", "c.jsonl"):
        key = key_of(root, name)
        witness = next(each for each in ledger_files(root) if f"{key.split('.')[0]}.names/" in each)
        flip(root, witness)
        root.platform.store.objects.delete(key)
    told = {
        defect.key.split("/")[1]: defect
        for defect in verify(root.platform, is_repair=True).defects
        if "names" not in defect.key
    }
    assert (told["demo_shop"].is_repaired, "is lost" in told["demo_shop"].detail) == (True, True)
    assert (told["till"].is_repaired, "land FILE --source till" in told["till"].detail) == (False, True)
    assert set(blocked(root)) == {day(1)}


def test_a_damaged_record_alone_leads_to_the_same_ledger(root: PipelineRoot) -> None:
    """A flipped record, and the flipped name of another one, are made again as they were; the rest is not touched."""
    before = ledger_files(root)
    name = next(key for key in before if ".names/" in key and key_of(root, "b.jsonl").split(".")[0] in key)
    flip(root, key_of(root, "a.jsonl"))
    flip(root, name)
    assert len(found(root)) == 2
    assert all(defect.is_repaired for defect in verify(root.platform, is_repair=True).defects)
    assert (ledger_files(root), found(root)) == (before, set())


def test_a_lost_decision_is_never_undone_in_silence(root: PipelineRoot) -> None:
    """The last decision is gone, or one before it: nobody plans without it, and its second copy restores it."""
    retract_file(root.platform, "demo_shop", "b.jsonl", "not theirs")
    (record,) = root.platform.ledger.decisions.of("demo_shop")
    before, objects = ledger_files(root), root.platform.store.objects
    assert (found(root), blocked(root)) == (set(), {})
    objects.delete(record.key)
    assert found(root) == {(Kind.DECISION_LOST, record.key)}
    with pytest.raises(RecordError, match="decision"):
        current_records(root.platform)
    assert all(defect.is_repaired for defect in verify(root.platform, is_repair=True).defects)
    assert (ledger_files(root), found(root)) == (before, set())


def test_what_a_killed_process_leaves_is_no_defect(root: PipelineRoot) -> None:
    """Kept bytes without a record, a record without its name, a decision without its second copy: all of them whole."""
    retract_file(root.platform, "demo_shop", "b.jsonl", "not theirs")
    objects = root.platform.store.objects
    record = next(each for each in root.platform.ledger.records() if each.name == "a.jsonl")
    for key in [*objects.list("ledger/_twins"), *objects.list(Layout.names_folder(record.source, record.sha256))]:
        objects.delete(key)
    path = root.folder / "raw" / ("0" * 64)
    path.write_bytes(b"")
    path.rename(path.with_name("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"))
    assert (verify(root.platform).defects, blocked(root)) == ((), {})


def test_with_kept_bytes_gone_too_the_file_is_named_as_lost_until_it_is_landed_again(root: PipelineRoot) -> None:
    """The repair says which file to land again; landing it brings back the record of before, the time of landing included."""
    before, key = ledger_files(root), key_of(root, "b.jsonl")
    raw = Layout.raw_key(json.loads(before[key])["sha256"])
    root.platform.store.objects.delete(key)
    root.platform.store.objects.delete(raw)
    (defect,) = verify(root.platform, is_repair=True).defects
    assert (defect.is_repaired, "ml-data-platform land FILE --source demo_shop" in defect.detail) == (False, True)
    assert set(blocked(root)) == {day(2)}
    later = root.at(root.now + dt.timedelta(days=1))
    assert later.drop("b.jsonl", shop_lines(day(2), 5, name="b")).outcome == "landed"
    assert (found(later), blocked(later)) == (set(), {})
    assert json.loads(ledger_files(later)[key])["rows"] == 5


def test_a_file_that_is_lost_for_good_can_be_given_up(root: PipelineRoot) -> None:
    """Who has no copy of a lost file retracts it by its hash: its days are due without it, and the root is whole."""
    key = key_of(root, "b.jsonl")
    sha256 = key.rpartition("/")[2].partition(".")[0]
    assert give_up(root.platform, "demo_shop", sha256[:12], "gone") is None, "it is not lost"
    root.platform.store.objects.delete(key)
    root.platform.store.objects.delete(Layout.raw_key(sha256))
    assert give_up(root.platform, "demo_shop", sha256[:7], "gone") is None
    assert give_up(root.platform, "demo_shop", sha256[:12], "gone") == sha256
    assert (found(root), blocked(root)) == (set(), {})
    build_all(root)
    assert root.platform.store.head("raw_events", str(day(2))).rows == 4


def test_a_record_whose_name_is_of_before_is_made_again_and_what_is_unknown_is_told(root: PipelineRoot) -> None:
    """Notes of before tell when and under which name a file was landed, and nothing of late rows."""
    objects, key = root.platform.store.objects, key_of(root, "a.jsonl")
    before = json.loads(objects.read_bytes(key))
    (name,) = objects.list(Layout.names_folder("demo_shop", before["sha256"]))
    noted = json.loads(objects.read_bytes(name))
    for each in (name, key, "ledger/_adopted.json"):
        objects.delete(each)
    objects.put_if_absent(name, canonical_json({"format": 1, "name": noted["name"], "seen_at": noted["seen_at"]}))
    (defect,) = verify(root.platform, is_repair=True).defects
    assert (defect.is_repaired, "late beyond the grace period" in defect.detail) == (True, True)
    after = json.loads(objects.read_bytes(key))
    assert {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} == {
        "admission",
        "delays",
        "digest",
    }


def test_a_file_that_was_retracted_or_read_anew_is_not_taken_for_lost(root: PipelineRoot) -> None:
    """What decisions and contracts take off a day is due there, and blocks nothing."""
    retract_file(root.platform, "demo_shop", "a.jsonl", "not theirs")
    assert (found(root), blocked(root)) == (set(), {})
    assert {each.status for each in plan(read_state(root.platform), DAYS, assets=["raw_events"])} == {Status.DIRTY}


def test_landing_is_never_mistaken_for_a_loss(root: PipelineRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between record and name, landing leaves a whole root, and the same file ends it later."""
    monkeypatch.setattr(Ledger, "note_name", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        root.drop("d.jsonl", shop_lines(day(2), 2, name="d"))
    assert verify(root.platform).defects == ()
    monkeypatch.undo()
    again: LandedFile = root.drop("d.jsonl", shop_lines(day(2), 2, name="d"))
    assert (again.outcome, verify(root.platform).defects) == ("known", ())
