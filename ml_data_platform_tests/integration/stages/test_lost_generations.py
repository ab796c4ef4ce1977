"""A record of the commit log, or a snapshot, that is gone or damaged is found, noted, and built again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ml_data_platform.datasets.snapshots import pinned, write_snapshot
from ml_data_platform.datasets.verified_snapshots import look_at_snapshots
from ml_data_platform.errors import RecordError
from ml_data_platform.events.planning import Status, plan
from ml_data_platform.stages.lost_generations import lost_generations
from ml_data_platform.stages.retraction import reinstate_file, retract_file
from ml_data_platform.stages.state import read_state
from ml_data_platform.stages.verification import verify
from ml_data_platform.storage.defects import Kind
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.scrub import Scrub
from ml_data_platform_tests.integration.stages.test_lost_records import DAYS, build_all, flip, land
from ml_data_platform_tests.pipeline_root import PipelineRoot, day
from ml_data_platform_tests.version_root import repository_of

RAW = "raw_events"
OF = str(day(2))


@pytest.fixture(scope="module")
def thrice(tmp_path_factory: pytest.TempPathFactory) -> PipelineRoot:
    """A root of which ``raw_events`` of the second day has three generations; the third has the bytes of the first."""
    root = land(tmp_path_factory.mktemp("thrice") / "root")
    build_all(root)
    retract_file(root.platform, "demo_shop", "b.jsonl", "not theirs")
    build_all(root)
    reinstate_file(root.platform, "demo_shop", "b.jsonl", "theirs after all")
    build_all(root)
    assert [each.generation for each in root.platform.store.log.history(RAW, OF)] == [1, 2, 3]
    return root


@pytest.fixture
def root(thrice: PipelineRoot, tmp_path: Path) -> PipelineRoot:
    """A copy of it, to be changed."""
    return thrice.copied(tmp_path / "root")


def lose(root: PipelineRoot, *generations: int) -> None:
    """Remove records of the second day."""
    for generation in generations:
        root.platform.store.objects.delete(Layout.log_key(RAW, OF, generation))


def found(root: PipelineRoot) -> set[tuple[Kind, str]]:
    """Return the defects that a verification finds."""
    return {(defect.kind, defect.key) for defect in verify(root.platform).defects}


def assert_repaired_and_built(root: PipelineRoot, content: str) -> None:
    """Repair; all is green at once, and what is built then has the bytes of before."""
    assert verify(root.platform, is_repair=True).open == ()
    assert verify(root.platform).defects == ()
    assert "is lost" in " ".join(verify(root.platform).advice)
    build_all(root)
    assert verify(root.platform).defects == ()
    assert root.platform.store.head(RAW, OF).content == content
    assert {each.status for each in plan(read_state(root.platform), DAYS, assets=[RAW])} == {Status.CLEAN}


@pytest.mark.parametrize("generation", [1, 2, 3])
def test_a_damaged_record_of_the_log_is_set_aside_and_its_day_is_built_again(
    root: PipelineRoot, generation: int
) -> None:
    """The newest one stops who reads it; after the repair the one before it counts, and the day is due."""
    content, key = root.platform.store.head(RAW, OF).content, Layout.log_key(RAW, OF, generation)
    flip(root, key)
    assert found(root) == {(Kind.RECORD_DAMAGED, key)}
    if generation == 3:
        with pytest.raises(RecordError, match="verify --repair"):
            read_state(root.platform)
    assert_repaired_and_built(root, content)
    assert root.platform.store.objects.exists(Layout.damaged_key(key))


def test_a_record_that_is_gone_between_two_others_is_noted_as_lost(root: PipelineRoot) -> None:
    """A gap is named until it is repaired, and told as lost from then on."""
    content = root.platform.store.head(RAW, OF).content
    lose(root, 2)
    assert found(root) == {(Kind.LOG_GAP, Layout.log_key(RAW, OF, 2))}
    assert_repaired_and_built(root, content)
    assert verify(root.platform).counts["generations_lost"] == 1


def test_the_newest_record_is_missed_by_the_view_and_by_all_who_built_on_it(root: PipelineRoot) -> None:
    """The head goes back in silence: what is shown, what was pinned and what was built from it say that it did."""
    head = root.platform.store.head(RAW, OF)
    lose(root, 1)
    assert verify(root.platform, is_repair=True).open == ()
    lose(root, 3)
    missing = (Kind.LOG_GAP, Layout.log_key(RAW, OF, 3))
    assert found(root) == {missing}, "the view shows it"
    view = Layout.view_key(RAW, OF, head.files[0].name)
    root.platform.store.objects.delete(view)
    root.platform.store.recover()
    write_snapshot(root.platform.store, {"partitions": {RAW: {OF: pinned(head)}}}, root.folder / "notes")
    scrub = Scrub(root.platform.store.objects, root.platform.store.log)
    assert list(scrub.table(RAW)) == []
    scrub.lost[RAW].clear()
    assert [(each.kind, each.key) for each in lost_generations(scrub, [])] == [missing], "a version pins it"
    root.platform.store.objects.delete(root.platform.store.objects.list("_store/snapshots")[0])
    assert lost_generations(scrub, []) == []
    scrub.histories["validated_events"] = {OF: [replace(head, inputs={f"{RAW}/{OF}": head.content})]}
    assert [(each.kind, each.key) for each in lost_generations(scrub, [])] == [missing], "a table was built from it"


def test_a_whole_log_that_is_gone_is_built_again(root: PipelineRoot) -> None:
    """With all records of a day damaged nothing is published of it; it is due, and has the same bytes after."""
    content = root.platform.store.head(RAW, OF).content
    for generation in (1, 2, 3):
        flip(root, Layout.log_key(RAW, OF, generation))
    assert_repaired_and_built(root, content)
    assert root.platform.store.head(RAW, OF).generation == 1


def test_nothing_is_collected_while_a_snapshot_or_a_ledger_record_is_damaged(root: PipelineRoot) -> None:
    """What a flipped hash no longer names would be taken for litter: the collector refuses, and says what repairs it."""
    store = root.platform.store
    old = store.log.read(RAW, OF, 2)
    name = write_snapshot(store, {"partitions": {RAW: {OF: pinned(old)}}}, root.folder / "notes")
    facts = {"keep_last": 1, "older_than": timedelta(0), "now": root.now + timedelta(days=9000)}
    before = store.objects.list("_store")
    for key in (Layout.snapshot_key(name), next(iter(root.platform.ledger.record_keys("demo_shop")))):
        kept = store.objects.read_bytes(key)
        flip(root, key)
        with pytest.raises(RecordError, match="verify --repair"):
            store.collect(**facts)
        store.objects.delete(key)
        store.objects.put_if_absent(key, kept)
    assert store.objects.list("_store") == before
    store.collect(**facts)
    assert (verify(root.platform).defects, store.objects.exists(Layout.object_key(RAW, old.files[0].sha256))) == (
        (),
        True,
    )
    flip(root, Layout.snapshot_key(name))
    (defect,) = look_at_snapshots(store, repository_of(root), is_repair=False)
    assert (defect.kind, defect.key) == (Kind.SNAPSHOT_DAMAGED, Layout.snapshot_key(name))
