"""Two writers of one partition: every generation is one writer's, none is lost, the view keeps up."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest

from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.local_objects import LocalObjectStore
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.faults.storage.writer_process import writers
from ml_data_platform_tests.storage_tables import DAY, PARTED, assert_whole, generation_in, present, publish
from ml_data_platform_tests.waiting import PATIENCE_SECONDS, watched_locks

EACH = 25


@pytest.mark.parametrize("current", [True, False], ids=["inputs_current", "inputs_stale"])
def test_racing_writers_lose_and_mix_nothing(tmp_path, current):
    """The log holds exactly the acknowledged commits, without gaps, while a third process recovers.

    Each generation's files all say the number of one commit; overtaken commits are rebased when their
    inputs are current, and refused when not; the view ends at the head.
    """
    numbers = [list(range(1, EACH + 1)), list(range(1001, EACH + 1001))]
    with writers(3) as (one, two, recovering):
        for writer, mine in zip((one, two), numbers, strict=True):
            writer.order(do="race", root=tmp_path, table=PARTED.name, numbers=mine, current=current)
        recovering.order(do="reap", root=tmp_path, rounds=100, seed=7)
        outcomes = [writer.answer()["outcomes"] for writer in (one, two)]
        assert recovering.answer()["broken"] == []
    store = TableStore(tmp_path, present)
    history = store.log.history(PARTED.name, DAY)
    written = []
    for record in history:
        objects = [tmp_path / Layout.object_key(PARTED.name, file.sha256) for file in record.files]
        (number,) = {generation_in(path) for path in objects}
        assert record.inputs == {"upstream": str(number)}
        written.append(number)
    acknowledged = [
        number
        for mine, results in zip(numbers, outcomes, strict=True)
        for number, outcome in zip(mine, results, strict=True)
        if outcome != "conflict"
    ]
    assert sorted(written) == sorted(acknowledged)
    assert [record.generation for record in history] == list(range(1, len(history) + 1))
    assert_whole(store, PARTED, {written[-1]})
    met = [outcome for results in outcomes for outcome in results if outcome != "committed"]
    assert set(met) == {"rebased" if current else "conflict"}


def test_a_collector_waits_until_the_head_is_shown(tmp_path, monkeypatch):
    """What a commit is about to show is not collected, though a newer generation has replaced it meanwhile."""
    store, collected = TableStore(tmp_path, present), []

    def collect():
        facts = {"keep_last": 1, "older_than": timedelta(0), "now": present() + timedelta(days=1)}
        collected.append(TableStore(tmp_path, present).collect(**facts).generations_expired)

    newer = threading.Thread(target=lambda: publish(TableStore(tmp_path, present), PARTED, 2, expected=1))
    collector = threading.Thread(target=collect)
    real = LocalObjectStore.project

    def project(self, *arguments, **facts):
        if not newer.ident:
            newer.start()
            while store.head(PARTED.name, DAY).generation < 2:
                time.sleep(0.001)
            collector.start()
            # Without the lock it has collected when it ends here.
            waiting.until_it_waits_or_ends(collector)
        return real(self, *arguments, **facts)

    monkeypatch.setattr(LocalObjectStore, "project", project)
    with watched_locks() as waiting:
        assert publish(store, PARTED, 1, expected=0) == "committed"
        for thread in (newer, collector):
            thread.join(PATIENCE_SECONDS)
    assert collected == [2]
    assert_whole(store, PARTED, {2})
