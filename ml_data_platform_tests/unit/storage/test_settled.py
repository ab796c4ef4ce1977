"""A folder is flushed when it has changed, once, and not for ever."""

from __future__ import annotations

import os

import pytest

from ml_data_platform.storage.durability import SETTLED_AFTER_SECONDS, Settled

CHANGED = 1_700_000_000


@pytest.fixture
def folder(tmp_path):
    """A folder that changed at a known time."""
    os.utime(tmp_path, (CHANGED, CHANGED))
    return tmp_path


def flushes_at(folder, *ages, change=None):
    """Return how often one process flushes a folder at each of some ages, in seconds, of its first change."""
    now, done, counts = [0.0], [], []
    settled = Settled(lambda: now[0])
    for age in ages:
        now[0] = CHANGED + age
        settled.settle(folder, done.append)
        counts.append(len(done))
        if change is not None:
            os.utime(folder, (change, change))
    return counts


def test_a_change_is_flushed_once(folder):
    """Looked at again, a folder that has not changed costs nothing."""
    assert flushes_at(folder, 5, 6, 60) == [1, 1, 1]


def test_a_change_of_just_now_is_flushed_until_it_is_known_to_be_the_last(folder):
    """A second change within the clock's tick bears the same time, and is not missed."""
    assert flushes_at(folder, 0, 0.5, 2, 3) == [1, 2, 3, 3]


def test_a_later_change_is_flushed_too(folder):
    """What counts is the time of the change that was flushed, not that one was."""
    assert flushes_at(folder, 5, 10, 11, change=CHANGED + 7) == [1, 2, 2]


def test_an_old_change_is_left_to_the_system(folder):
    """It has been written back long since; a change in the future, by another clock, has not."""
    assert flushes_at(folder, SETTLED_AFTER_SECONDS + 1) == [0]
    assert flushes_at(folder, -3600, -3500) == [1, 1]


def test_no_folder_is_no_error(tmp_path):
    """There is nothing to flush, also below a file."""
    (tmp_path / "file").touch()
    assert flushes_at(tmp_path / "absent", 5) == [0]
    assert flushes_at(tmp_path / "file" / "below", 5) == [0]
