"""A writer that dies at any moment leaves the old generation or the new one, and nothing else."""

from __future__ import annotations

import os

import pytest

from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.faults.storage.writer_process import do_nothing, writers
from ml_data_platform_tests.storage_tables import DAY, PARTED, SINGLE, assert_whole, files_below, present, publish


@pytest.fixture(autouse=True)
def _unflushed(monkeypatch):
    """Leave flushing out of this process: the deaths are the writer's."""
    monkeypatch.setattr(os, "fsync", do_nothing)


def _recover_and_retry(root, table, old):
    """Check what a death left, retry the same commit; return whether the commit was reached, and repairs."""
    store = TableStore(root, present)
    history = store.log.history(table.name, DAY)
    recovery = store.recover()
    assert recovery.broken == ()
    assert not (root / "_store" / "tmp").exists() or files_below(root / "_store" / "tmp") == []
    reached = len(history) == old + 1
    assert reached or len(history) == old
    if history:
        assert assert_whole(store, table, {len(history)}).generation == len(history)
    else:
        assert not (root / "data").exists()
    outcome = publish(store, table, old + 1, expected=old, run_id="retry")
    assert outcome == ("unchanged" if reached else "committed")
    assert assert_whole(store, table, {old + 1}).generation == old + 1
    assert store.recover().views_repaired == 0
    assert len(store.objects.list(f"_store/{table.name}/objects")) == (old + 1) * len(table.files)
    return reached, recovery.views_repaired


@pytest.mark.parametrize(("table", "old"), [(SINGLE, 0), (PARTED, 1)])
def test_death_before_any_file_system_call_leaves_old_or_new(tmp_path, table, old):
    """SIGKILL before each file-system call of a commit in turn, the first of a root and a later one.

    The last step tried is the first that the writer survives, so every call was a place to die. Before
    the commit point it is always the old generation, from there on always the new one.
    """
    reached, repaired, died = [], 0, True
    with writers(1) as (writer,):
        while died:
            step = len(reached) + 1
            root = tmp_path / str(step)
            root.mkdir()
            if old:
                publish(TableStore(root, present), table, old, expected=0)
            order = {"root": root, "table": table.name, "generation": old + 1, "expected": old}
            died = writer.ask(do="commit_and_die", at_step=step, **order)["killed"]
            is_reached, repairs = _recover_and_retry(root, table, old)
            reached.append(is_reached)
            repaired += repairs
    assert reached == sorted(reached)
    assert reached.count(False) >= 10
    assert reached.count(True) >= 8
    assert repaired >= 1
