"""A disk that fails at any call leaves the old generation or the new one, and no litter."""

from __future__ import annotations

import errno
import os
from datetime import timedelta

import pytest

from ml_data_platform.datasets.snapshots import write_snapshot
from ml_data_platform.errors import CommitStateUnknownError, VerificationError
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.faults.storage.writer_process import do_nothing
from ml_data_platform_tests.storage_tables import DAY, PARTED, assert_whole, files_below, present, publish, write_files


def _failing(real, nth, code):
    """Return a stand-in that fails at its ``nth`` call, and the calls made to it."""
    calls = []

    def call(*args, **kwargs):
        calls.append(args)
        if len(calls) == nth:
            raise OSError(code, os.strerror(code))
        return real(*args, **kwargs)

    return call, calls


def _commit(root):
    """Publish generation 2 over 1; return how it ended: an outcome, ``unknown`` or the error's number."""
    try:
        return publish(TableStore(root, present), PARTED, 2, expected=1)
    except CommitStateUnknownError:
        return "unknown"
    except OSError as error:
        return error.errno


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
@pytest.mark.parametrize("function", ["fsync", "link", "replace", "mkdir"])
def test_an_error_of_any_call_is_raised_and_a_retry_ends_whole(tmp_path, monkeypatch, function, code):
    """Each call of one kind fails in turn: the error reaches the caller and nothing half-done is visible.

    What the view shows may lag behind the log until the retry or a recovery; scratch is gone at once.
    Only a log record that was written and could not be flushed leaves the commit's state unknown.
    """
    monkeypatch.setattr(os, "fsync", do_nothing)
    ends, struck = [], True
    while struck:
        root = tmp_path / str(len(ends))
        root.mkdir()
        store = TableStore(root, present)
        publish(store, PARTED, 1, expected=0)
        with monkeypatch.context() as patch:
            failing, calls = _failing(getattr(os, function), len(ends) + 1, code)
            patch.setattr(os, function, failing)
            ends.append(_commit(root))
            struck = len(calls) >= len(ends)
        assert files_below(root / "_store" / "tmp") == []
        assert store.recover().broken == ()
        assert_whole(store, PARTED, {1, 2})
        publish(store, PARTED, 2, expected=1)
        assert assert_whole(store, PARTED, {2}).generation == 2
        assert len(store.log.history(PARTED.name, DAY)) == 2
    # A folder that exists may be refused once more without harm; every other error is the caller's.
    assert set(ends[:-1]) <= {code, "unknown"} | ({"committed"} if function == "mkdir" else set())
    assert ends[-1] == "committed"
    assert len(ends) > len(PARTED.files)
    assert ends.count("unknown") == (1 if function == "fsync" else 0)


def test_a_file_whose_flush_failed_is_discarded(tmp_path, monkeypatch):
    """The staged file is gone after a failed fsync, so that no retry can publish pages that were lost."""
    store = TableStore(tmp_path, present)
    with store.scratch() as scratch:
        files = write_files(scratch, PARTED, 1)
        monkeypatch.setattr(os, "fsync", _failing(os.fsync, 2, errno.EIO)[0])
        facts = {"inputs": {}, "code_version": "1", "expected_generation": 0}
        with pytest.raises(OSError, match="Input/output"):
            store.stage(PARTED, DAY, files, **facts)
        assert [path.exists() for path in files.values()] == [True, False]
        with pytest.raises(VerificationError):
            store.stage(PARTED, DAY, files, **facts)


def test_a_folder_that_cannot_be_listed_is_not_taken_for_empty(tmp_path, monkeypatch):
    """Snapshots that cannot be read protect all: the collector gives up and removes nothing."""
    store = TableStore(tmp_path, present)
    for generation in (1, 2):
        publish(store, PARTED, generation, expected=generation - 1)
    before = files_below(tmp_path / "_store" / PARTED.name)
    snapshots = tmp_path / "_store" / "snapshots"
    write_snapshot(
        store,
        {"partitions": {}, "x": [file.sha256 for file in store.log.read(PARTED.name, DAY, 1).files]},
        tmp_path / "n",
    )
    real = os.scandir

    def scandir(path):
        if str(path) == str(snapshots):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path)

    facts = {"keep_last": 1, "older_than": timedelta(0), "now": present() + timedelta(days=1)}
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        with pytest.raises(OSError, match="Input/output"):
            store.collect(**facts)
    assert files_below(tmp_path / "_store" / PARTED.name) == before
    store.collect(**facts)
    assert files_below(tmp_path / "_store" / PARTED.name) == before
