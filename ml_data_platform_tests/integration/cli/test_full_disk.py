"""A full disk ends a command in one message; with room again, the same command goes on and all is whole."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.faults.lanes.errors import missing_small_disk

DISK_BYTES = 24 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    if reason := missing_small_disk():
        pytest.skip(reason)
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "mdp-full", str(folder)], check=True)
    try:
        yield folder
    finally:
        # This process holds the lock of an owner there until it ends.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, free_bytes: int) -> Path:
    """Take all of a disk but so many bytes; returns what takes it."""
    ballast, free = disk / "ballast", os.statvfs(disk)
    with ballast.open("wb") as stream:
        stream.write(bytes(free.f_bavail * free.f_frsize - free_bytes))
    return ballast


def test_each_command_ends_in_one_message_and_goes_on_with_room(tmp_path: Path, disk: Path) -> None:
    """Landing and building stop with what is full, how much is free and what to do; nothing is half-published."""
    cli = CommandLine(tmp_path)
    root, file = ("--root", disk / "root"), tmp_path / "events.jsonl"
    event = {"user_id": "u", "session_id": "s", "timestamp": "2026-06-01T10:00:00Z", "event_type": "page_view"}
    file.write_text("".join(json.dumps({**event, "event_id": f"e{number}"}) + "\n" for number in range(3)))
    cli.ok("init", *root)
    land = ("land", file, "--source", "demo_shop", "--historical", *root)

    for command, free_bytes in ((land, 8_192), (("backfill", *root), 16_384), (("backfill", *root), 600_000)):
        ballast = fill(disk, free_bytes)
        result = cli(*command)
        assert result.status == 1, result
        assert result.err.count("error:") == 1, result
        assert "disk is full" in result.err, result
        assert "free=" in result.err, result
        assert str(disk) in result.err, result
        assert "Make room there" in result.err, result
        cli.ok("verify", *root)
        ballast.unlink()
        if command is land:
            cli.ok(*land)
    cli.ok("backfill", *root)
    cli.ok("verify", *root)
    assert "nothing to do" in cli.ok("plan", *root).out
