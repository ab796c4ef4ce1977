"""Wrong arguments: exit status 2, a message that names the argument, and nothing written."""

from __future__ import annotations

import os

import pytest

from ml_data_platform_tests.command_line import CommandLine

WRONG = {
    "a month that does not exist": (["status", "--from", "2026-13-01"], "--from", "YYYY-MM-DD"),
    "a day that does not exist": (["plan", "--to", "2026-02-30"], "--to", "YYYY-MM-DD"),
    "a day in another notation": (["backfill", "--from", "1.6.2026"], "--from", "YYYY-MM-DD"),
    "a day with blanks": (["backfill", "--from", " 2026-06-01"], "--from", "YYYY-MM-DD"),
    "a range that ends before it begins": (
        ["status", "--from", "2026-06-03", "--to", "2026-06-01"],
        "--from and --to",
        "before",
    ),
    "a range without end": (["backfill", "--from", "2026-06-03", "--to", "9999-12-31"], "--from and --to", "at most"),
    "a file that does not exist": (["land", "missing.jsonl", "--source", "demo_shop"], "missing.jsonl", "not exist"),
    "files of nobody": (["land", "."], "--source", "whose files"),
    "a command that does not exist": (["bakfill"], "bakfill", "backfill"),
    "an option that does not exist": (["land", "--sorce", "globo"], "--sorce", "--source"),
    "a share above 1": (
        ["generate", "--out", "x", "--start", "2026-06-01", "--days", "1", "--poisoned-share", "2"],
        "--poisoned-share",
        "less than or equal to 1",
    ),
    "a share of no day": (
        ["generate", "--out", "x", "--start", "2026-06-01", "--days", "1", "--poisoned-share", "0.4"],
        "--poisoned-share",
        "--poisoned-day",
    ),
    "no days": (
        ["generate", "--out", "x", "--start", "2026-06-01", "--days", "0"],
        "--days",
        "greater than or equal to 1",
    ),
    "a missing option": (["generate", "--start", "2026-06-01"], "--out", "Missing"),
    "a demo backwards": (["demo", "--start", "2026-06-03", "--end", "2026-06-01"], "--start and --end", "before"),
    "a demo of days to come": (["demo", "--start", "9998-06-01", "--end", "9998-06-02"], "--end", "future"),
    "a port that does not exist": (["dev", "--port", "70000"], "--port", "65535"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments(cli: CommandLine, case: str) -> None:
    """The message names the argument and the way out; the folder stays as it was."""
    arguments, argument, hint = WRONG[case]
    result = cli(*arguments)
    assert result.status == 2
    assert argument in result.text
    assert hint in result.text
    assert "Traceback" not in result.text
    assert cli.tree() == []


@pytest.mark.parametrize("command", ["check pipe --source demo_shop", "check file --contract pipe", "infer pipe"])
def test_a_fifo_is_not_waited_for(cli: CommandLine, command: str) -> None:
    """Nobody may ever write to it."""
    os.mkfifo(cli.folder / "pipe")
    (cli.folder / "file").write_text("{}")
    result = cli("sources", *command.split())
    assert result.status == 2
    assert "no regular file" in result.text
