"""Versions of a root that another user owns, or that can only be read: they are read; what git would not do is said."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_data_platform.errors import SystemFaultError
from ml_data_platform.storage.scratch import place_to_write
from ml_data_platform_tests.bound_user import run_bound
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.integration.datasets.conftest import TwoVersions

ANOTHER = 65_534
SCRIPT = """
import json, sys
from pathlib import Path
from ml_data_platform.datasets.load_dataset import load_dataset
from ml_data_platform_tests.command_line import CommandLine
root, commands = sys.argv[1], json.loads(sys.argv[2])
cli = CommandLine(Path.cwd())
results = [cli(*command, "--root", root) for command in commands]
print(json.dumps([len(load_dataset(root=root).to_arrow()), [[each.status, each.text] for each in results]]))
"""
PROGRAMS = {
    "core.fsmonitor": "touch {mark}",
    "core.hooksPath": "{hooks}",
    "core.pager": "touch {mark}",
    "core.sshCommand": "touch {mark}",
    "diff.external": "touch {mark}",
    "diff.all.textconv": "touch {mark};",
    "filter.all.smudge": "touch {mark}",
    "filter.all.clean": "touch {mark}",
    "gpg.program": "touch {mark}",
    "uploadpack.packObjectsHook": "touch {mark}",
}
"""What a repository may name to be run."""


@pytest.fixture
def foreign(two_versions: TwoVersions, tmp_path: Path) -> Path:
    """A copy of the root that belongs to somebody else, whose repository names programs."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    root = tmp_path / "root"
    shutil.copytree(two_versions.root.folder, root, symlinks=True)
    hook = tmp_path / "hooks" / "reference-transaction"
    hook.parent.mkdir()
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    for name, value in PROGRAMS.items():
        said = value.format(mark=tmp_path / "ran", hooks=hook.parent)
        subprocess.run(["git", "-C", str(root / "versions"), "config", name, said], check=True)
    (root / "versions" / ".git" / "info" / "attributes").write_text("* diff=all filter=all\n")
    for path in (root, *root.rglob("*")):
        path.chmod(path.stat().st_mode & 0o700 | 0o055 if path.is_dir() else 0o644)
        os.chown(path, ANOTHER, ANOTHER)
    return root


def test_versions_of_another_user_are_read_and_none_of_its_programs_runs(
    foreign: Path, two_versions: TwoVersions, tmp_path: Path
) -> None:
    """Tables, a comparison, an origin and the rows come out; a checkout, which is left to git, says what to do."""
    first, second = two_versions.first.manifest.tag, two_versions.second.manifest.tag
    commands = [
        ["version", "list"],
        ["version", "show", first],
        ["version", "diff", first, second],
        ["trace", second],
        ["version", "verify", second],
        ["version", "checkout", first, "--to", tmp_path / "checkout"],
    ]
    done = run_bound("-c", SCRIPT, foreign, json.dumps(commands, default=str))
    assert done.returncode == 0, done.stderr
    rows, results = json.loads(done.stdout)
    assert rows == two_versions.second.manifest.datasets[0].rows
    *read, (status, text) = results
    assert [each for each in read if each[0] != 0] == []
    assert status == 1
    assert "belongs to another user" in text
    assert "safe.directory" in text
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def read_only(two_versions: TwoVersions, tmp_path: Path) -> Iterator[Path]:
    """The root below a mount that can only be read."""
    place = tmp_path / "place"
    place.mkdir()
    try:
        subprocess.run(["mount", "--bind", str(two_versions.root.folder), str(place)], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"nothing can be mounted here (needs root): {error}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_versions_are_looked_at_where_nothing_can_be_written(read_only: Path, two_versions: TwoVersions) -> None:
    """Also what needs room to compare, or DVC to ask the remote; `verify` finds a whole root whole."""
    first, second = two_versions.first.manifest.tag, two_versions.second.manifest.tag
    cli = CommandLine(read_only.parent)
    for command in (["show", first], ["diff", first, second], ["verify", second]):
        cli.ok("version", *command, "--root", read_only)
    assert "all is whole" in cli.ok("verify", "--root", read_only).text


def test_a_temporary_folder_of_somebody_else_is_not_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name can be guessed: what lies there already, of another user, writable by others or a link, is refused."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    closed = Path("/proc/sys")
    own = place_to_write(closed)
    assert (own.parent, own.stat().st_mode & 0o777) == (tmp_path, 0o700)
    own.chmod(0o777)
    with pytest.raises(SystemFaultError, match="TMPDIR"):
        place_to_write(closed)
    own.rmdir()
    own.symlink_to(tmp_path)
    with pytest.raises(SystemFaultError, match="TMPDIR"):
        place_to_write(closed)
