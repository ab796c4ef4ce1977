"""What lies in a landing folder is taken as it is named, and never from elsewhere."""

from __future__ import annotations

import os
import socket
import unicodedata
from pathlib import Path

import pytest

from ml_data_platform.settings import load_settings
from ml_data_platform.stages import landed_files
from ml_data_platform.stages.landed_files import describe, land_inbox, waiting_files
from ml_data_platform.stages.platform import Platform, open_platform
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.landed_shop_files import NOW

ODD_NAMES = (
    b"line\nfeed.jsonl",
    b"\x1b[2Jescape\x07\x7f.jsonl",
    "\N{RIGHT-TO-LEFT OVERRIDE}lnosj.exe".encode(),
    b"not utf-8 \xff\xfe.jsonl",
    b"-rf --help; $(id) `id` 'a\" %20 *.jsonl",
    b"Case.jsonl",
    b"case.jsonl",
    unicodedata.normalize("NFC", "caf\u00e9.jsonl").encode(),
    unicodedata.normalize("NFD", "caf\u00e9.jsonl").encode(),
    b"n" * 255,
)


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """A root whose landing folder is beside it."""
    settings = load_settings({}, tmp_path, root=tmp_path / "root", landing=tmp_path / "landing")
    return open_platform(settings, lambda: NOW)


def drop(path: Path | bytes, number: int = 0) -> None:
    """Write a file of one row that stood still for long."""
    name = os.fsencode(path)
    os.makedirs(os.path.dirname(name), exist_ok=True)  # noqa: PTH103, PTH120 - a name need not be text
    with open(name, "wb") as file:  # noqa: PTH123
        file.write(b'{"event_id": "%d", "event_timestamp": 1780315200000}\n' % number)
    os.utime(name, (1_780_000_000, 1_780_000_000))


def test_files_of_any_name_land_under_it_once(tmp_path: Path, platform: Platform) -> None:
    """Control and direction characters, bytes that are no text, case and forms of one letter: each is its own name."""
    folder = os.fsencode(tmp_path / "landing" / "demo_shop")
    for number, name in enumerate(ODD_NAMES):
        drop(folder + b"/" + name, number)
    landed = land_inbox(platform)
    assert {os.fsencode(file.name) for file in landed} == set(ODD_NAMES)
    assert {file.outcome for file in landed} == {"landed"}
    assert {os.fsencode(record.name) for record in platform.ledger.records()} == set(ODD_NAMES)
    assert land_inbox(platform) == []
    cli = CommandLine(tmp_path)
    for told in ("status", "quarantine list"):
        shown = cli.ok(*told.split(), "--root", tmp_path / "root")
        assert "\x1b" not in shown.out
        assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in shown.out
        cli.ok(*told.split(), "--json", "--root", tmp_path / "root")
    assert all(describe(file) for file in landed)


def test_a_folder_exchanged_for_a_link_leads_nowhere(
    tmp_path: Path, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the opening a folder becomes a link to another: nothing from there is kept or quoted."""
    inner, secret = tmp_path / "landing" / "demo_shop" / "inner", tmp_path / "secret"
    drop(inner / "a.jsonl")
    drop(secret / "a.jsonl", number=99)
    listed = waiting_files(platform)
    inner.rename(tmp_path / "moved")
    inner.symlink_to(secret)
    monkeypatch.setattr(landed_files, "waiting_files", lambda _: listed)
    (refused,) = land_inbox(platform)
    assert (refused.outcome, refused.record) == ("unreadable", None)
    assert "symbolic link" in refused.reason
    assert not (tmp_path / "root" / "raw").exists()
    monkeypatch.undo()
    later = open_platform(platform.settings, lambda: NOW.replace(year=NOW.year + 10))
    assert [file.path.name for _, file in waiting_files(later).files] == ["inner"], "a link is told, not followed"


def test_what_is_no_file_is_told_and_holds_up_nobody(tmp_path: Path, platform: Platform) -> None:
    """Sockets, FIFOs and links lie beside a good file; nothing waits for them, and the good one lands."""
    folder = tmp_path / "landing" / "demo_shop"
    drop(folder / "good.jsonl")
    os.mkfifo(folder / "fifo")
    (folder / "link").symlink_to("/etc/passwd")
    with socket.socket(socket.AF_UNIX) as listening:
        before = Path.cwd()
        os.chdir(folder)  # a socket's path is short
        try:
            listening.bind("socket")
        finally:
            os.chdir(before)
        later = open_platform(platform.settings, lambda: NOW.replace(year=NOW.year + 10))
        found = {file.name: file for file in land_inbox(later)}
    assert {name: file.outcome for name, file in found.items()} == {
        "fifo": "unreadable",
        "good.jsonl": "landed",
        "link": "unreadable",
        "socket": "unreadable",
    }
    assert "socket" in (found["socket"].reason or "")
