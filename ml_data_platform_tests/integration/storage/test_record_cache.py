"""Records are read once; what is new, changed, damaged or gone is seen at once."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from ml_data_platform.errors import RecordError
from ml_data_platform.storage.ledger import Ledger
from ml_data_platform.storage.local_objects import LocalObjectStore
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.integration.storage.test_ledger import FIRST
from ml_data_platform_tests.storage_tables import DAY, SINGLE, present, stage


class CountingStore(LocalObjectStore):
    """Counts how often each key is read."""

    def __init__(self, root):
        super().__init__(root)
        self.reads = Counter()

    def read_bytes(self, key):
        self.reads[key] += 1
        return super().read_bytes(key)


@pytest.fixture
def objects(tmp_path):
    """A store that counts reads."""
    return CountingStore(tmp_path)


def test_the_ledger_reads_a_record_once(objects):
    """Asking again reads what other processes added, and nothing else."""
    ledger, elsewhere = Ledger(objects), Ledger(LocalObjectStore(objects.root))
    ledger.append(FIRST)
    assert [ledger.records(), ledger.records()] == [(FIRST,), (FIRST,)]
    second = replace(FIRST, sha256="d" * 64)
    elsewhere.append(second)
    assert [ledger.records(), ledger.records()] == [(FIRST, second), (FIRST, second)]
    assert objects.reads == {FIRST.key: 1, second.key: 1}


def test_the_ledger_notices_a_record_that_was_damaged_or_removed(objects):
    """A record that was read before is no excuse for one that cannot be read now."""
    ledger = Ledger(objects)
    ledger.append(FIRST)
    assert ledger.records() == (FIRST,)
    path = Path(objects.uri(FIRST.key))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-5])
    for _ in range(2):
        with pytest.raises(RecordError):
            ledger.records()
    path.unlink()
    assert ledger.records() == ()


def test_a_head_is_read_once_and_a_new_one_at_once(objects):
    """Also where another process publishes the new generation, and where a head is replaced in place."""
    store, elsewhere = TableStore(objects.root, present), TableStore(objects.root, present)
    store.log.objects = objects
    assert store.head(SINGLE.name, DAY) is None
    for generation in (1, 2):
        with elsewhere.scratch() as scratch:
            staged = stage(elsewhere, scratch, SINGLE, generation, expected=generation - 1)
            elsewhere.commit(staged, run_id=f"run {generation}")
        assert [store.head(SINGLE.name, DAY).generation for _ in range(3)] == [generation] * 3
        assert store.heads(SINGLE.name)[DAY].run_id == f"run {generation}"
    assert set(objects.reads.values()) == {1}
    (key,) = [each for each in objects.reads if each.endswith("2.json")]
    path = Path(objects.uri(key))
    other = path.with_name("other")
    other.write_bytes(replace(store.head(SINGLE.name, DAY), run_id="run 3").to_json())
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)
    assert store.head(SINGLE.name, DAY).run_id == "run 3"
