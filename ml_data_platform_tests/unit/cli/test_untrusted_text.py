"""Names and values of producers on the terminal: no control character of theirs is sent, no markup of theirs is read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from ml_data_platform.cli import screen
from ml_data_platform_tests.command_line import CommandLine

HOSTILE = "\x1b]0;TITLE\x07\x1b[2J[red]x[/] :smile: \u202e\x9b8m\nlanded 9 files"
SHOWN = "\\x1b]0;TITLE\\x07\\x1b[2J[red]x[/] :smile: \\u202e\\x9b8m\\nlanded 9 files"
COMMANDS = [
    ("land", "{file}", "--source", "softshop"),
    ("quarantine", "show", "--reason", "file"),
    ("status",),
    ("sources", "check", "{file}", "--source", "softshop"),
]


def test_every_way_to_print_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines, remarks, errors, tables and coloured cells show what is there, on one line, and read no markup."""
    with pytest.MonkeyPatch.context() as patch:
        for console in (screen._out, screen._err):
            patch.setattr(console, "_width", 400)
        table = Table(HOSTILE, title=HOSTILE)
        table.add_row(HOSTILE)
        table.add_row(screen.coloured((HOSTILE, "red"), HOSTILE))
        screen.show(table)
        for each in (screen.say, screen.note, screen.fail, screen.aside):
            each(HOSTILE)
        screen.say("x", tail=HOSTILE)
        screen.print_document(f"a: {HOSTILE}\n")
    shown = "".join(capsys.readouterr())
    assert all(each.isprintable() or each == "\n" for each in shown)
    assert shown.count(SHOWN) == 10
    assert shown.count("\nlanded") == 1, "a document keeps its lines"


def test_a_hostile_file_name_is_shown_by_all_commands(cli: CommandLine) -> None:
    """A file whose name holds control sequences: what commands print has none, and still says its name."""
    cli.ok("init")
    file = cli.folder / "\x1b]0;TITLE\a\x1b[2J\x1b[1;32mlanded 1 file\u202e\n[red].csv"
    file.write_text("a\x1b[2J,b\n1,2\n")
    found = {}
    for command in COMMANDS:
        result = cli(*(each.format(file=file) for each in command))
        found[command[0]] = result.text
        assert all(each.isprintable() or each == "\n" for each in result.out + result.err), command
    assert "\\x1b[2J\\x1b[1;32mlanded 1 file\\u202e\\n[red].csv" in found["land"].replace(" ", "").replace(
        "landed1file", "landed 1 file"
    )


@pytest.mark.parametrize("arguments", [["\x1b[2J"], ["status", "--from", "\x1b[2J"], ["status", "--\x1b[2J"]])
def test_wrong_arguments_are_quoted_harmlessly(cli: CommandLine, arguments: list[str]) -> None:
    """Usage errors, which quote what was given, hold no control character of it."""
    result = cli(*arguments)
    assert result.status == 2
    assert "\x1b" not in result.out + result.err
    assert "x1b[2J" in result.text


def test_warnings_logs_and_tracebacks_are_escaped(tmp_path: Path) -> None:
    """What libraries print on standard error, and an error that nobody foresaw, hold no control character."""
    program = (
        "import logging, warnings\n"
        "from ml_data_platform import cli\n"
        "def fails():\n"
        "    warnings.warn('warned \\x1b[2J', stacklevel=1)\n"
        "    logging.getLogger('library').warning('logged %s', '\\x1b[2J')\n"
        "    raise ValueError('unforeseen \\x1b[2J')\n"
        "cli.app = fails\n"
        "cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 1
    assert "\x1b" not in done.stderr
    for word in ("warned", "logged", "ValueError: unforeseen"):
        assert f"{word} \\x1b[2J" in done.stderr
