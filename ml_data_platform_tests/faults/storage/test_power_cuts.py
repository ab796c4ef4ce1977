"""What a power cut leaves of a commit, on a disk that keeps only what was flushed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from ml_data_platform_tests.faults.lanes import numbered
from ml_data_platform_tests.faults.lanes.flushes import flushing_functions
from ml_data_platform_tests.faults.lanes.lane import fault_folder
from ml_data_platform_tests.faults.lanes.power_model import DiedError, Disk, watched_disk
from ml_data_platform_tests.faults.lanes.scenarios import SCENARIOS


@pytest.fixture
def folder():
    """A folder on a disk that never gives an inode's number to another file."""
    with fault_folder() as path:
        yield path


def dying(name: str, part_of_path: str):
    """Return what ends a process after its last step of one kind on some path, when the next step follows."""
    met, real = [], getattr(os, name)

    def step(*arguments, **facts):
        done = real(*arguments, **facts)
        if any(part_of_path in str(argument) for argument in arguments):
            met.append(arguments)
        return done

    def before(_: str) -> None:
        if met:
            raise DiedError

    return step, before


@pytest.mark.parametrize(
    ("name", "step", "path"),
    [
        ("first_commit", "mkdir", "/objects"),
        ("first_commit", "mkdir", "/log/dt="),
        ("first_commit", "mkdir", "/data/single_table"),
        ("recommit", "link", "/objects/"),
        ("recommit", "link", "/log/"),
        ("as_read", "link", "/log/"),
        ("recommit", "replace", "/data/"),
    ],
)
def test_what_a_dead_process_did_not_flush_is_flushed_before_it_is_built_on(folder, monkeypatch, name, step, path):
    """A process dies between making a name and flushing it; who finds the name there and promises something keeps it.

    Nothing else would ever flush it: the name is lost at a power cut, and with it what was promised.
    """
    scenario, root = SCENARIOS[name], folder / "root"
    scenario.prepared.write(root)
    disk = Disk(root)
    with contextlib.closing(disk):
        stepping, before = dying(step, path)
        with monkeypatch.context() as patch:
            patch.setattr(os, step, stepping)
            with watched_disk(disk, before), pytest.raises(DiedError):
                scenario.act(root)
        with watched_disk(disk, lambda _: None):
            acknowledged = scenario.act(root)
        disk.image(None).write(folder / "after")
    scenario.check(folder / "after", acknowledged)
    assert numbered.numbers(Path(folder / "after"), scenario.table) == list(scenario.after)


@pytest.mark.parametrize("name", ["first_commit", "recommit", "nothing_new", "rebase", "multi_file"])
def test_a_commit_flushes_its_log_entry_once(folder, name):
    """Whoever has just flushed the log does not do so again to show it; only what another wrote is flushed."""
    scenario, root = SCENARIOS[name], folder / "root"
    scenario.prepared.write(root)
    found = flushing_functions(lambda: scenario.act(root))
    assert "sync_folder.put_if_absent" in found
    assert "sync_folder.project_head" not in found
