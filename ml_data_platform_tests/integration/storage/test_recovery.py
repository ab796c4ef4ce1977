"""What a crash left is finished or removed, and a clean root costs next to nothing."""

from __future__ import annotations

import threading
from datetime import date, timedelta

import pytest

from ml_data_platform.storage.layout import LOCKS_FOLDER, TEMP_FOLDER, Layout
from ml_data_platform.storage.local_objects import LocalObjectStore
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.storage_tables import (
    DAY,
    PARTED,
    SINGLE,
    assert_whole,
    files_below,
    present,
    publish,
    view_keys,
    write_files,
)
from ml_data_platform_tests.waiting import PATIENCE_SECONDS, watched_locks


@pytest.fixture
def store(objects):
    """A store under an empty root."""
    return TableStore(objects, present)


@pytest.fixture
def local_store(tmp_path):
    """A store under an empty root that is a folder."""
    return TableStore(tmp_path / "root", present)


def test_an_empty_root_needs_no_recovery(store):
    """Recovery of a root that does not exist finds nothing and makes nothing."""
    assert store.recover().partitions_checked == 0
    assert store.objects.names("_store") == []


def test_views_behind_their_head_are_repaired(store):
    """A file that is missing, of an older generation, or edited in place by replacement comes back."""
    publish(store, PARTED, 1, expected=0)
    view = view_keys(PARTED)[0]
    older = store.objects.read_bytes(view)
    publish(store, PARTED, 2, expected=1)
    for damage in (None, older, b"edited"):
        store.objects.delete(view)
        if damage is not None:
            store.objects.put_if_absent(view, damage)
        assert store.recover().views_repaired == 1
        assert_whole(store, PARTED, {2})
        assert store.recover().views_repaired == 0


def test_scratch_of_the_living_stays_and_of_the_dead_goes(local_store):
    """A folder whose lock is held survives any recovery; one whose owner is gone does not."""
    store = local_store
    with store.scratch() as alive:
        (alive / "work").write_text("x")
        dead = store.objects.root / TEMP_FOLDER / ("d" * 32)
        dead.mkdir()
        (dead / "half_written").write_text("x")
        dead.with_name(f"{dead.name}.lock").touch()
        dead.with_name(f"{'e' * 32}.lock").touch()
        assert store.recover().folders_removed == 2
        assert files_below(store.objects.root / TEMP_FOLDER) == sorted([f"{alive.name}/work", f"{alive.name}.lock"])
    assert list((store.objects.root / TEMP_FOLDER).iterdir()) == []


def assert_all_shown(store):
    """Check that both tables' views are there again."""
    assert store.objects.list("data") == sorted([*view_keys(PARTED), *view_keys(SINGLE)])
    assert store.recover().broken == ()


def test_one_broken_partition_is_listed_and_holds_no_other_up(store):
    """An object that is gone cannot be shown again: it is named, and the next asset is repaired."""
    publish(store, PARTED, 1, expected=0)
    publish(store, SINGLE, 1, expected=0)
    for table in (PARTED, SINGLE):
        store.objects.delete(view_keys(table)[0])
    head = store.head(PARTED.name, DAY)
    store.objects.delete(Layout.object_key(PARTED.name, head.files[0].sha256))
    recovery = store.recover()
    assert recovery.views_repaired == 1
    (line,) = recovery.broken
    assert line.startswith(f"{PARTED.name} {DAY}: The stored file _store/{PARTED.name}/objects/")
    # Running the partition again is the remedy that the message names.
    publish(store, PARTED, 1, expected=1)
    assert_all_shown(store)


def test_recovery_of_a_clean_root_reads_one_record_per_partition_and_takes_no_lock(local_store, monkeypatch):
    """The cost is one small file and a few stats per partition, whatever its history; nothing is written."""
    store = local_store
    days = [date(2026, 1, 1) + timedelta(days=number) for number in range(30)]
    for expected in range(3):
        for day in days:
            with store.scratch() as scratch:
                facts = {"inputs": {"n": str(expected)}, "code_version": "1", "expected_generation": expected}
                store.commit(store.stage(SINGLE, day, write_files(scratch, SINGLE, 1), **facts), run_id="r")
    reads, locks = [], []
    read, lock = LocalObjectStore.read_bytes, LocalObjectStore.lock
    monkeypatch.setattr(LocalObjectStore, "read_bytes", lambda self, key: reads.append(key) or read(self, key))
    monkeypatch.setattr(LocalObjectStore, "lock", lambda self, key, **how: locks.append(key) or lock(self, key, **how))
    assert TableStore(store.objects.root, present).recover().partitions_checked == 30
    assert (len(reads), locks) == (30, [])
    assert len(files_below(store.objects.root / LOCKS_FOLDER)) == 31


def test_a_slow_projection_cannot_bring_an_older_generation_back(tmp_path, monkeypatch):
    """A writer held up just before it shows its generation does not overwrite the newer one of another.

    The other writer reaches its commit point meanwhile, and shows its generation after: the lock decides.
    """
    slow, fast = TableStore(tmp_path, present), TableStore(tmp_path, present)
    about_to_show, go_on = threading.Event(), threading.Event()
    real = slow.objects.project

    def held_up(object_key, view_key, **facts):
        about_to_show.set()
        assert go_on.wait(PATIENCE_SECONDS)
        return real(object_key, view_key, **facts)

    monkeypatch.setattr(slow.objects, "project", held_up)
    first = threading.Thread(target=publish, args=(slow, SINGLE, 1), kwargs={"expected": 0})
    second = threading.Thread(target=publish, args=(fast, SINGLE, 2), kwargs={"expected": 1})
    with watched_locks() as waiting:
        first.start()
        assert about_to_show.wait(PATIENCE_SECONDS)
        second.start()
        # Without the lock the second writer ends here, and the first then shows its older generation.
        waiting.until_it_waits_or_ends(second)
        assert fast.head(SINGLE.name, DAY).generation == 2
        go_on.set()
        first.join(PATIENCE_SECONDS)
        second.join(PATIENCE_SECONDS)
    assert_whole(fast, SINGLE, {2})
