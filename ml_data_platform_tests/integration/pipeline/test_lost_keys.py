"""A lost key is refused: what only reads neither makes nor needs one, and nothing is built or landed with another."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest

from ml_data_platform.errors import RecordError, SettingsError
from ml_data_platform.events.planning import Status, plan
from ml_data_platform.stages.adoption import note_key_ids
from ml_data_platform.stages.root_keys import RootKeys
from ml_data_platform.stages.state import read_state
from ml_data_platform.stages.summary import summarise_landing
from ml_data_platform.stages.verification import verify
from ml_data_platform.stages.verified_keys import look_at_keys
from ml_data_platform.storage.defects import Kind
from ml_data_platform_tests.pipeline_root import START, PipelineRoot, settings_for, shop_lines

RECORD = "_store/key_ids/user_id/00000001.json"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> PipelineRoot:
    """One day, landed and built; to be copied."""
    root = PipelineRoot(settings_for(tmp_path_factory.mktemp("built") / "root"))
    root.drop("a.jsonl", shop_lines(START, 10))
    assert root.backfill([START]).is_successful
    return root


@pytest.fixture
def root(built: PipelineRoot, tmp_path: Path) -> PipelineRoot:
    """A copy of it."""
    return built.copied(tmp_path / "root")


def key_of(root: PipelineRoot) -> Path:
    """Return the file of the key of the user ids."""
    return root.folder / "secrets" / "user_id.key"


def put_key(root: PipelineRoot, text: bytes) -> None:
    """Put a key in the place of the root's, readable by its owner only."""
    key_of(root).unlink(missing_ok=True)
    key_of(root).touch(mode=0o600)
    key_of(root).write_bytes(text)


def tree(root: PipelineRoot) -> dict[str, bytes]:
    """Return every file of a root that is not scratch."""
    found = {path.relative_to(root.folder).as_posix(): path for path in root.folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith("_store/tmp")}


def defects(root: PipelineRoot, *, is_repair: bool = False) -> list[tuple[Kind, bool]]:
    """Return the kinds of defects that verification finds, and whether it repaired them."""
    found = verify(root.platform, is_repair=is_repair, further=[look_at_keys]).defects
    return [(defect.kind, defect.is_repaired) for defect in found]


def statuses(root: PipelineRoot) -> set[Status]:
    """Return what is to be done about the partitions of the day."""
    return {decision.status for decision in plan(read_state(root.platform), [START])}


def test_a_root_notes_the_id_of_the_key_that_it_made(root: PipelineRoot) -> None:
    """The record names the key by the beginning of its SHA-256; a root that is whole is whole."""
    secret = bytes.fromhex(key_of(root).read_text())
    noted = json.loads((root.folder / RECORD).read_bytes())
    assert (noted["name"], noted["key_id"]) == ("user_id", hashlib.sha256(secret).hexdigest()[:8])
    assert defects(root) == []
    assert root.backfill([START]).runs == 0


DAMAGES = {
    "missing": lambda _: None,
    "empty": lambda _: b"",
    "half": lambda text: text[:32],
    "cut_off": lambda text: text[:-2],
    "further digits": lambda text: text.rstrip() + b"00\n",
    "no hex": lambda text: b"z" + text[1:],
    "letter of another case": lambda text: re.sub(rb"[a-f]", lambda found: found[0].upper(), text, count=1),
    "one bit": lambda text: bytes([text[0] ^ 1]) + text[1:],
    "line feed": lambda text: text[:-1] + b"\x0b",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_key_that_is_lost_or_changed_is_refused_and_reading_goes_on(root: PipelineRoot, damage: str) -> None:
    """Nothing is built, landed or made; plan says that all is clean; status and verify name the key."""
    text = DAMAGES[damage](key_of(root).read_bytes())
    key_of(root).unlink()
    if text is not None:
        put_key(root, text)
    before = tree(root)
    assert statuses(root) == {Status.CLEAN}
    (fault,) = summarise_landing(root.platform).key_faults
    assert "user_id.key" in fault
    assert defects(root) == [(Kind.KEY_LOST, False)]
    with pytest.raises(SettingsError, match=r"key|Restore"):
        root.backfill([START])
    with pytest.raises(SettingsError):
        root.drop("b.jsonl", shop_lines(START, 5, name="b"))
    assert tree(root) == before


def test_a_run_of_a_day_is_refused_too(root: PipelineRoot) -> None:
    """The run of a sensor or of the UI ends in the same message, and publishes nothing under another key."""
    root.drop("b.jsonl", shop_lines(START, 5, name="b"))
    key_of(root).unlink()
    before = root.generations()
    with dg.DagsterInstance.ephemeral() as instance:
        result = root.at(root.now).run(START, ["raw_events", "validated_events"], instance)
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert failed.step_key == "validated_events"
    assert "user ids are made is lost" in str(failed.step_failure_data)
    now = root.generations()
    assert now["validated_events", START] == before["validated_events", START]
    assert not key_of(root).exists()


def as_of_before(root: PipelineRoot) -> None:
    """Take away what earlier code did not note."""
    shutil.rmtree(root.folder / "_store" / "key_ids")
    (root.folder / "ledger" / "_adopted.json").unlink(missing_ok=True)


def test_published_days_of_a_root_of_before_bear_witness(root: PipelineRoot) -> None:
    """Its key is noted by the next build or by `adopt`, never another one; verification does not cry over it."""
    as_of_before(root)
    assert statuses(root) == {Status.CLEAN}
    assert defects(root) == []
    assert not (root.folder / RECORD).exists()
    assert root.platform.keys.unnoted() == ["user_id"]
    assert [note_key_ids(root.platform, is_dry_run).count for is_dry_run in (True, False, False)] == [1, 1, 0]
    assert json.loads((root.folder / RECORD).read_bytes())["reason"] == "witnessed"
    as_of_before(root)
    assert root.backfill([START]).runs == 0
    assert (root.folder / RECORD).exists()


@pytest.mark.parametrize("text", [None, b"ab" * 32])
def test_another_key_than_published_days_witness_is_refused(root: PipelineRoot, text: bytes | None) -> None:
    """Also where no id was ever noted."""
    as_of_before(root)
    key_of(root).unlink()
    if text is not None:
        put_key(root, text)
    with pytest.raises(SettingsError, match=r"user ids are made is (lost|another)"):
        root.backfill([START])
    (problem,) = note_key_ids(root.platform, False).problems
    assert "keys new user_id" in problem
    assert not (root.folder / RECORD).exists()
    assert defects(root) == [(Kind.KEY_LOST, False)]


def test_what_only_landed_bears_witness_too(tmp_path: Path) -> None:
    """A root of which bytes and ledger were saved, and no key, does not begin with another one by itself."""
    root = PipelineRoot(settings_for(tmp_path / "root"))
    root.drop("a.jsonl", shop_lines(START, 10))
    as_of_before(root)
    text = key_of(root).read_bytes()
    key_of(root).unlink()
    with pytest.raises(SettingsError, match="is lost"):
        root.at(root.now).backfill([START])
    key_of(root).write_bytes(text)
    assert root.at(root.now).backfill([START]).is_successful


@pytest.mark.parametrize("number", range(6))
def test_a_changed_record_of_an_id_stops_builds_and_is_noted_again(root: PipelineRoot, number: int) -> None:
    """Each flipped bit is found; nothing is built until it is repaired from what published days say."""
    path = root.folder / RECORD
    data = bytearray(path.read_bytes())
    data[(number * 37) % (len(data) - 1)] ^= 1 << number
    path.unlink()
    path.write_bytes(data)
    assert statuses(root) == {Status.CLEAN}
    assert defects(root) == [(Kind.KEY_ID_DAMAGED, False)]
    with pytest.raises(RecordError, match="verify --repair"):
        root.backfill([START])
    assert defects(root, is_repair=True) == [(Kind.KEY_ID_DAMAGED, True)]
    assert defects(root) == []
    assert root.backfill([START]).runs == 0


def test_a_changed_record_is_not_taken_from_a_key_that_published_days_do_not_know(root: PipelineRoot) -> None:
    """Where the key is another one as well, the record stays for a person to decide."""
    (root.folder / RECORD).unlink()
    (root.folder / RECORD).write_bytes(b"{")
    put_key(root, b"ab" * 32)
    assert defects(root, is_repair=True) == [(Kind.KEY_ID_DAMAGED, False)]
    assert (root.folder / RECORD).read_bytes() == b"{"


def test_a_key_that_others_can_read_is_closed(root: PipelineRoot) -> None:
    """Its owner alone can read it after the repair."""
    key_of(root).chmod(0o640)
    assert defects(root) == [(Kind.KEY_EXPOSED, False)]
    assert defects(root, is_repair=True) == [(Kind.KEY_EXPOSED, True)]
    assert defects(root) == []


def test_a_new_key_is_made_knowingly(root: PipelineRoot) -> None:
    """Then every user gets another id, which is due to be built; the old file stays beside it."""
    old = key_of(root).read_bytes()
    users = {row["user_id"] for row in root.rows("validated_events", START)}
    made = root.platform.keys.make_new("user_id")
    again = root.at(root.now)
    assert again.platform.id_key.key_id == made
    assert Status.DIRTY in statuses(again)
    assert [path.read_bytes() for path in key_of(root).parent.glob("user_id.key.replaced-*")] == [old]
    assert again.backfill([START]).is_successful
    assert not users & {row["user_id"] for row in again.rows("validated_events", START)}
    assert defects(again) == []


def test_a_key_made_by_who_died_before_its_id_was_noted_is_the_roots(tmp_path: Path) -> None:
    """So is the one of those who begin a root at once: each of them has the same."""
    root = PipelineRoot(settings_for(tmp_path / "root"))
    keys = root.platform.keys
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: RootKeys(keys.settings, keys.store).require("user_id"), range(16)))
    assert len(found) == 1
    as_of_before(root)
    assert {keys.require("user_id")} == found
    assert [path.name for path in (root.folder / "_store" / "key_ids" / "user_id").iterdir()] == ["00000001.json"]


def test_half_a_key_does_not_begin_a_root(tmp_path: Path) -> None:
    """A key that nothing was made with must have its full length."""
    root = PipelineRoot(settings_for(tmp_path / "root"))
    key_of(root).parent.mkdir(parents=True)
    key_of(root).write_text("ab" * 16)
    with pytest.raises(SettingsError, match="64 hex digits"):
        root.backfill([START])
    key_of(root).write_text("ab" * 32)
    assert root.at(root.now).platform.id_key.key_id == hashlib.sha256(b"\xab" * 32).hexdigest()[:8]
