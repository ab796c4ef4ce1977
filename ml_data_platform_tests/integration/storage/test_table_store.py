"""Staging, committing, pinning and collecting, on a disk and in a bucket alike."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_data_platform.datasets.snapshots import write_snapshot
from ml_data_platform.errors import (
    CommitConflictError,
    MissingPartitionError,
    SchemaMismatchError,
    SettingsError,
    StageFailedError,
    VerificationError,
)
from ml_data_platform.storage import view_files
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.storage_tables import (
    DAY,
    PARTED,
    SINGLE,
    assert_whole,
    present,
    publish,
    stage,
    view_keys,
    write_files,
)


@pytest.fixture
def store(objects):
    """A store under an empty root."""
    return TableStore(objects, present)


@pytest.mark.parametrize("table", [SINGLE, PARTED])
def test_a_commit_shows_the_whole_partition_read_only(store, table):
    """After a commit log, objects and view agree, and no local file of it can be written to by accident."""
    assert publish(store, table, 1, expected=0) == "committed"
    assert_whole(store, table, {1})
    local = [store.objects.root / key for key in view_keys(table)] if hasattr(store.objects, "root") else []
    for path in [*local, *store.ref(table.name, [DAY]).paths()]:
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o444


def test_the_same_result_of_the_same_inputs_commits_nothing_but_repairs_the_view(store):
    """A second run on the new head writes no record, and a view file that was lost comes back."""
    publish(store, SINGLE, 1, expected=0)
    store.objects.delete(Layout.view_key(SINGLE.name, DAY, "data.parquet"))
    assert publish(store, SINGLE, 1, expected=1, run_id="another") == "unchanged"
    assert assert_whole(store, SINGLE, {1}).generation == 1


def test_the_same_bytes_of_other_inputs_are_a_new_record_on_the_same_object(store):
    """Lineage moves on, the object and the content hash stay, so that nothing downstream is dirty."""
    with store.scratch() as scratch:
        first = store.commit(stage(store, scratch, SINGLE, 1, expected=0, inputs={"a": "1"}), run_id="r").record
        second = store.commit(stage(store, scratch, SINGLE, 1, expected=1, inputs={"a": "2"}), run_id="r").record
    assert (first.generation, second.generation) == (1, 2)
    assert first.content == second.content
    assert len(store.objects.list(Layout.objects_folder(SINGLE.name))) == 1


def test_a_writer_that_was_overtaken_with_stale_inputs_changes_nothing(store):
    """The conflict error names both generations; log and view stay with the faster writer."""
    publish(store, SINGLE, 1, expected=0)
    with pytest.raises(CommitConflictError) as caught:
        publish(store, SINGLE, 2, expected=0)
    assert (caught.value.expected, caught.value.got) == ("generation 0", "generation 1")
    assert assert_whole(store, SINGLE, {1}).generation == 1


def test_a_retry_recognises_its_own_commit_also_after_others_went_on(store):
    """Retrying a commit that reached the log repeats nothing and does not bring the old content back."""
    with store.scratch() as scratch:
        staged = stage(store, scratch, SINGLE, 1, expected=0)
        first = store.commit(staged, run_id="run")
        publish(store, SINGLE, 2, expected=1)
        again = store.commit(staged, run_id="run", inputs_are_current=lambda _: True)
    assert again == first
    assert assert_whole(store, SINGLE, {2}).generation == 2


def test_a_retry_of_an_overtaken_commit_is_told_that_it_was_overtaken(store):
    """The run that asks again, its first answer lost, hears what that said; another run hears that nothing was due."""
    publish(store, SINGLE, 1, expected=0)
    with store.scratch() as scratch:
        staged = stage(store, scratch, SINGLE, 2, expected=0)
        for run_id, outcome in (("ours", "rebased"), ("ours", "rebased"), ("later", "unchanged")):
            assert store.commit(staged, run_id=run_id, inputs_are_current=lambda _: True).outcome == outcome
    assert store.head(SINGLE.name, DAY).generation == 2


def test_a_writer_that_expects_a_generation_that_never_was_is_refused(store):
    """A log has no gaps: also inputs that are current cannot skip a generation."""
    with pytest.raises(CommitConflictError):
        publish(store, SINGLE, 1, expected=4)
    assert store.head(SINGLE.name, DAY) is None


def test_a_file_that_the_new_generation_lacks_leaves_the_view_and_a_foreign_one_stays(store):
    """With fewer files per partition the view shows just those, but never deletes what it did not write."""
    publish(store, PARTED, 1, expected=0)
    folder = Layout.view_folder(PARTED.name, DAY)
    store.objects.put_if_absent(f"{folder}/part=b/notes.txt", b"mine")
    fewer = replace(PARTED, files=PARTED.files[:1])
    publish(store, fewer, 2, expected=1)
    assert store.objects.list(folder) == [f"{folder}/part=a/data.parquet", f"{folder}/part=b/notes.txt"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns("row"), "row is missing"),
        (lambda t: t.append_column("extra", t["row"]), "extra is not declared"),
        (lambda t: t.set_column(0, "row", t["row"].cast(pa.int32())), "row is int32, declared int64"),
        (lambda t: t.select(["generation", "row"]), "columns are ordered"),
        (lambda t: t.replace_schema_metadata({}), "metadata ml_data_platform.table"),
        (lambda t: t.replace_schema_metadata({**SINGLE.metadata, "ml_data_platform.schema_version": "2"}), "'2'"),
    ],
)
def test_a_file_with_another_schema_is_never_staged(store, change, message):
    """Names, order, types and metadata are read back from the file; the error says stored versus declared."""
    with store.scratch() as scratch:
        paths = write_files(scratch, SINGLE, 1)
        (path,) = paths.values()
        pq.write_table(change(pq.read_table(path)), path)
        with pytest.raises(SchemaMismatchError, match=message):
            store.stage(SINGLE, DAY, paths, inputs={}, code_version="1", expected_generation=0)


def test_damaged_or_missing_files_are_never_staged(store):
    """A cut file and a missing one are verification errors; too few files are the stage's fault."""
    with store.scratch() as scratch:
        paths = write_files(scratch, PARTED, 1)
        first, second = paths.values()
        facts = {"inputs": {}, "code_version": "1", "expected_generation": 0}
        with pytest.raises(StageFailedError):
            store.stage(PARTED, DAY, {PARTED.files[0]: first}, **facts)
        first.write_bytes(first.read_bytes()[:-9])
        with pytest.raises(VerificationError):
            store.stage(PARTED, DAY, paths, **facts)
        second.unlink()
        with pytest.raises(VerificationError):
            store.stage(PARTED, DAY, dict(zip(PARTED.files, [second, second], strict=True)), **facts)


def test_an_object_with_other_bytes_under_its_name_stops_the_commit(store):
    """A truncated object that is there already is found, not trusted and not overwritten."""
    with store.scratch() as scratch:
        staged = stage(store, scratch, SINGLE, 1, expected=0)
        damaged = Layout.object_key(SINGLE.name, staged.files[0].sha256)
        store.objects.put_if_absent(damaged, b"PAR1")
        with pytest.raises(VerificationError):
            store.commit(staged, run_id="run")
    assert store.objects.read_bytes(damaged) == b"PAR1"
    assert store.head(SINGLE.name, DAY) is None


def test_a_reference_pins_generations_and_shows_absent_days(store):
    """Paths stay those of the pinned generation after a newer one; absent days are visible, others an error."""
    publish(store, PARTED, 1, expected=0)
    ref = store.ref(PARTED.name, ["2026-03-03", DAY, "2026-03-05"])
    before = ref.paths()
    publish(store, PARTED, 2, expected=1)
    assert ref.paths() == before == ref.paths(DAY)
    assert len(ref.paths(file="part=b/data.parquet")) == 1
    assert ref.absent == ("2026-03-03", "2026-03-05")
    assert ref.paths("2026-03-03") == []
    assert ref.content("2026-03-03") == "absent"
    assert ref.rows() == ref.rows(DAY) == 100
    with pytest.raises(MissingPartitionError):
        ref.paths("2026-03-06")
    with pytest.raises(MissingPartitionError):
        ref.paths(file="part=c/data.parquet")


def test_heads_ignore_foreign_files_and_folders(store):
    """Editors' and tools' leftovers in the log are no generations and no days."""
    publish(store, SINGLE, 1, expected=0)
    log = Layout.log_root(SINGLE.name)
    for name in (f"dt={DAY}/99999999.json.swp", f"dt={DAY}/readme", "dt=2026-99-99/00000001.json", "x/00000001.json"):
        store.objects.put_if_absent(f"{log}/{name}", b"{}")
    store.objects.put_if_absent(f"{log}/file", b"")
    assert [(day, head.generation) for day, head in store.heads(SINGLE.name).items()] == [(DAY, 1)]
    assert store.recover().broken == ()


def test_collection_keeps_what_is_young_recent_or_pinned_and_removes_the_rest(store, tmp_path):
    """Heads, the last N, young generations and snapshots' objects stay; old ones and old orphans go."""
    for generation in range(1, 7):
        publish(store, SINGLE, generation, expected=generation - 1)
    history = store.log.history(SINGLE.name, DAY)
    hashes = [record.files[0].sha256 for record in history]
    write_snapshot(store, {"x": hashes[1], "partitions": {}}, tmp_path / "notes")
    orphan = Layout.object_key(SINGLE.name, "0" * 64)
    store.objects.put_if_absent(orphan, b"litter of a crash")
    assert store.collect(keep_last=1).objects_kept == 7
    later = present() + timedelta(hours=25)
    done = store.collect(keep_last=2, now=later)
    kept = {key for key in hashes if store.objects.exists(Layout.object_key(SINGLE.name, key))}
    assert kept == {hashes[1], hashes[4], hashes[5]}
    assert (done.generations_expired, done.orphans_removed, done.objects_kept) == (3, 1, 3)
    assert_whole(store, SINGLE, {6})
    with pytest.raises(SettingsError):
        store.collect(keep_last=0)


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_without_hard_links_the_protocol_is_the_same(tmp_path, monkeypatch, code):
    """On a file system that refuses links objects are still put once, shown, recovered and unchanged."""

    def refuse(*_args, **_kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    store = TableStore(tmp_path, present)
    for generation in (1, 2, 3):
        assert publish(store, PARTED, generation, expected=generation - 1) == "committed"
        assert_whole(store, PARTED, {generation})
    assert publish(store, PARTED, 3, expected=3) == "unchanged"
    assert store.recover().views_repaired == 0
    view = store.objects.root / Layout.view_key(PARTED.name, DAY, PARTED.files[0])
    view.unlink()
    assert store.recover().views_repaired == 1
    assert_whole(store, PARTED, {3})
    assert store.objects.put_if_absent("raw/" + "0" * 64, b"1")
    assert not store.objects.put_if_absent("raw/" + "0" * 64, b"2")
    assert store.objects.read_bytes("raw/" + "0" * 64) == b"1"


def test_when_an_object_has_no_links_left_the_view_is_a_copy(tmp_path, monkeypatch):
    """Very many equal days share one object; past the file system's limit the view's file is copied."""
    store = TableStore(tmp_path, present)
    real = os.link

    def limited(source, target, **kwargs):
        if str(target).endswith("view"):
            raise OSError(errno.EMLINK, "Too many links")
        real(source, target, **kwargs)

    monkeypatch.setattr(os, "link", limited)
    publish(store, SINGLE, 1, expected=0)
    publish(store, SINGLE, 2, expected=1)
    assert_whole(store, SINGLE, {2})
    anew = TableStore(tmp_path, present)
    assert anew.recover().views_repaired == 0
    # Compared once, byte by byte, a copy is known by its state: a look costs no reading.
    monkeypatch.setattr(view_files, "file_sha256", refuse_to_read)
    assert store.recover().views_repaired == 0
    assert anew.recover().views_repaired == 0
    monkeypatch.undo()
    # Another file in its place is noticed, also one of the same size and age.
    view = tmp_path / "data" / SINGLE.name / f"dt={DAY}" / "data.parquet"
    other, state = view.with_name("other"), view.stat()
    other.write_bytes(bytes(state.st_size))
    os.utime(other, ns=(state.st_atime_ns, state.st_mtime_ns))
    other.replace(view)
    assert anew.recover().views_repaired == 1
    assert_whole(store, SINGLE, {2})


def refuse_to_read(path):
    """Stand in for the hashing of a file."""
    raise AssertionError(path)


def test_a_file_from_elsewhere_is_copied_not_linked(store, tmp_path):
    """A producer that writes on into its landed file cannot change the stored bytes."""
    landed = tmp_path / "landed.csv"
    landed.write_bytes(b"a,b\n")
    assert store.objects.put_if_absent(Layout.raw_key("1" * 64), landed)
    landed.write_bytes(b"changed")
    assert store.objects.read_bytes(Layout.raw_key("1" * 64)) == b"a,b\n"
