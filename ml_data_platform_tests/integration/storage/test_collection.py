"""A collector never takes what a commit under way refers to, without sharing a lock with it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ml_data_platform.errors import CommitExpiredError
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.object_store import GRACE
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.storage_tables import DAY, SINGLE, assert_whole, present, publish, stage


def test_a_commit_that_takes_longer_than_half_the_grace_gives_up(objects):
    """What it published may be collected by then: nothing is recorded, and the next attempt goes through."""
    begun, late = present(), timedelta(0)
    store = TableStore(objects, lambda: begun + late)
    with store.scratch() as scratch:
        staged = stage(store, scratch, SINGLE, 1, expected=0)
        real = objects.put_object

        def slow(*args, **facts):
            nonlocal late
            late = GRACE / 2 + timedelta(seconds=1)
            return real(*args, **facts)

        objects.put_object = slow
        with pytest.raises(CommitExpiredError, match="took so long"):
            store.commit(staged, run_id="run")
        assert store.head(SINGLE.name, DAY) is None
        objects.put_object = real
        assert store.commit(staged, run_id="run").outcome == "committed"
    assert_whole(store, SINGLE, {1})


def test_an_old_object_that_a_commit_refers_to_again_is_young_for_the_collector(objects, medium, s3, monkeypatch):
    """Its bytes were litter for two days; a commit that finds them there makes them young before it is recorded."""
    store = TableStore(objects, present)
    with store.scratch() as scratch:
        staged = stage(store, scratch, SINGLE, 1, expected=0)
        file = staged.files[0]
        key = Layout.object_key(SINGLE.name, file.sha256)
        objects.put_if_absent(key, file.path.read_bytes())
        _age(objects, medium, key, days=2)
        (before,) = objects.stored(Layout.objects_folder(SINGLE.name)).values()
        assert before.is_older_than(GRACE, present())
        # The collector looks at the moment when the object is there and no record names it yet.
        real = store.log.append

        def look_first(record):
            assert TableStore(objects, present).log.head(SINGLE.name, DAY) is None
            (found,) = objects.stored(Layout.objects_folder(SINGLE.name)).values()
            assert not found.is_older_than(GRACE / 2, present())
            return real(record)

        store.log.append = look_first
        assert store.commit(staged, run_id="run").outcome == "committed"
    store.collect()
    assert_whole(store, SINGLE, {1})


def _age(objects, medium, key, *, days):
    """Let an object look as if it had been written days ago."""
    import os
    import time

    if medium == "local":
        then = time.time() - days * 86_400
        os.utime(objects.root / key, (then, then))
        return
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    bucket = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[objects.location.bucket]
    bucket.keys[f"{objects.location.prefix}/{key}"].last_modified -= timedelta(days=days)


def test_a_dry_run_names_what_the_real_one_removes(objects):
    """Both look alike; only the real one changes anything."""
    store = TableStore(objects, present)
    for generation in (1, 2, 3):
        publish(store, SINGLE, generation, expected=generation - 1)
    later = present() + 2 * GRACE
    told = store.collect(keep_last=1, now=later, is_dry_run=True)
    assert len(told.keys) == told.generations_expired == 2
    assert all(objects.exists(key) for key in told.keys)
    assert store.collect(keep_last=1, now=later).keys == told.keys
    assert not any(objects.exists(key) for key in told.keys)
    assert_whole(store, SINGLE, {3})
