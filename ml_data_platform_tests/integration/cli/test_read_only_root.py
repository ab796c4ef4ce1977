"""A root that can only be read: what looks works, what writes ends in one message."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_data_platform_tests.command_line import CommandLine


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[CommandLine]:
    """A built root below a mount that can only be read, and a file to land."""
    cli = CommandLine(tmp_path)
    event = {"user_id": "u", "session_id": "s", "timestamp": "2026-06-01T10:00:00Z", "event_type": "page_view"}
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({**event, "event_id": name}) + "\nno event\n")
    cli("land", "a.jsonl", "--source", "demo_shop", "--historical", "--root", "root")
    cli.ok("backfill", "--root", "root")
    place = tmp_path / "place"
    place.mkdir()
    try:
        subprocess.run(["mount", "--bind", str(tmp_path / "root"), str(place)], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"nothing can be mounted here (needs root): {error}")
    try:
        assert not os.access(place, os.W_OK)
        yield cli
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_what_looks_works_and_what_writes_ends_in_one_message(read_only: CommandLine) -> None:
    """`plan`, `status`, `verify` and the quarantine are read; landing, building and collecting say what to do."""
    for command in (["plan"], ["status"], ["verify"], ["quarantine", "list"], ["version", "list"]):
        result = read_only(*command, "--root", "place")
        assert "error:" not in result.err, result
        assert result.status == 0, result
    for command in (["land", "b.jsonl", "--source", "demo_shop"], ["backfill"], ["gc"]):
        result = read_only(*command, "--root", "place")
        assert result.status == 1, result
        assert result.err.count("error:") == 1, result
        assert "can only be read" in result.err, result
        assert "Mount it writable" in result.err, result
