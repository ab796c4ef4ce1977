"""Of two daemons over one root one looks, and the other knows of it; the living are told from the dead."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_data_platform.defs import owners
from ml_data_platform.defs.owners import hold_owner_lock, is_alive, reap_locks, this_process
from ml_data_platform.defs.standby import other_daemon

NOW = dt.datetime(2026, 3, 20, 12, tzinfo=dt.UTC)
OTHER = """
import sys, datetime as dt, pathlib
from ml_data_platform.defs import owners, standby
home = pathlib.Path(sys.argv[1])
owners.hold_owner_lock(home)
print(owners.this_process(), standby.other_daemon(home, "s", 30, dt.datetime.fromisoformat(sys.argv[2])), flush=True)
input()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that looked at noon and lives; with its name."""
    command = [sys.executable, "-c", OTHER, str(tmp_path), NOW.isoformat()]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        name, seen = process.stdout.readline().split()
        assert seen == "None"
        yield process, name
        process.kill()


def test_the_second_daemon_stands_by_until_the_first_looks_no_more(
    tmp_path: Path, other: tuple[subprocess.Popen[str], str]
) -> None:
    """For three intervals after the other's look; then this one takes over, and holds others off in its turn."""
    for seconds in (0, 30, 89):
        assert other_daemon(tmp_path, "s", 30, NOW + dt.timedelta(seconds=seconds)) == other[1]
    assert other_daemon(tmp_path, "another sensor", 30, NOW) is None
    later = NOW + dt.timedelta(seconds=91)
    assert other_daemon(tmp_path, "s", 30, later) is None
    assert other_daemon(tmp_path, "s", 30, later) is None
    held = json.loads((tmp_path / "looking" / "s.json").read_text())
    assert held == {"owner": this_process(), "until": (later + dt.timedelta(seconds=90)).isoformat()}


def test_a_daemon_that_was_killed_holds_nobody_off(tmp_path: Path, other: tuple[subprocess.Popen[str], str]) -> None:
    """At once, not after three intervals."""
    other[0].kill()
    other[0].wait(300)
    assert other_daemon(tmp_path, "s", 30, NOW) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"owner": 3}', "null"])
def test_half_of_a_note_is_no_note(tmp_path: Path, content: str) -> None:
    """A crash while it was written holds nobody off for ever."""
    (tmp_path / "looking").mkdir()
    (tmp_path / "looking" / "s.json").write_text(content)
    assert other_daemon(tmp_path, "s", 30, NOW) is None


def test_a_process_under_another_host_name_lives_as_long_as_it_holds_its_lock(
    tmp_path: Path, other: tuple[subprocess.Popen[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root was moved, or the container renamed: process ids say nothing, the lock does."""
    monkeypatch.setattr("socket.gethostname", lambda: "renamed")
    assert is_alive(other[1], tmp_path)
    assert reap_locks(tmp_path) == 0
    other[0].kill()
    other[0].wait(300)
    assert not is_alive(other[1], tmp_path)
    assert is_alive("never-seen-host/1/x-1", tmp_path)


def test_locks_of_the_dead_are_removed_and_ours_is_kept(
    tmp_path: Path, other: tuple[subprocess.Popen[str], str]
) -> None:
    """Nothing piles up over the years."""
    hold_owner_lock(tmp_path)
    other[0].kill()
    other[0].wait(300)
    assert reap_locks(tmp_path) == 1
    assert len(list((tmp_path / "owners").iterdir())) == 1


def test_a_lock_that_was_reaped_before_it_was_held_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the making of the file and the lock a collector removes it: the owner notices, and can be found."""
    real, removed = owners.fcntl.flock, []

    def reap_first(descriptor: int, operation: int) -> None:
        if operation == owners.fcntl.LOCK_EX and not removed:
            removed.append(1)
            assert reap_locks(tmp_path) == 1
        real(descriptor, operation)

    monkeypatch.setattr(owners.fcntl, "flock", reap_first)
    hold_owner_lock(tmp_path)
    assert removed
    monkeypatch.setattr("socket.gethostname", lambda: "another-host")
    assert len(list((tmp_path / "owners").iterdir())) == 1
    assert reap_locks(tmp_path) == 0
