"""What `--help` teaches."""

from __future__ import annotations

from typing import Any

import pytest
import typer.main

from ml_data_platform.cli import app
from ml_data_platform_tests.command_line import CommandLine

COMMANDS = (
    *(
        "init",
        "generate",
        "land",
        "backfill",
        "plan",
        "status",
        "replay",
        "retract",
        "reinstate",
        "train",
        "trace",
        "dev",
        "demo",
    ),
    *("verify", "gc", "adopt", "rebuild", "suites"),
    *("sources", "quarantine", "version", "keys", "history"),
)
OF_SOURCES = ("list", "show", "check", "infer", "diff")
OF_QUARANTINE = ("list", "show")
OF_VERSIONS = ("cut", "list", "show", "diff", "checkout", "verify")
OF_KEYS = ("list", "new", "accept")
GROUPS = {
    "sources": OF_SOURCES,
    "quarantine": OF_QUARANTINE,
    "version": OF_VERSIONS,
    "keys": OF_KEYS,
    "history": ("bind",),
}
LEAVES = (
    *(name for name in COMMANDS if name not in GROUPS),
    *(f"{group} {name}" for group, names in GROUPS.items() for name in names),
)
GROUP = typer.main.get_command(app)


def command_of(path: str) -> Any:
    """Return the command that one or two words name."""
    found: Any = GROUP
    for word in path.split():
        found = found.commands[word]
    return found


def test_commands_are_listed_in_the_order_in_which_a_newcomer_needs_them() -> None:
    """The list is the order of the day: set up, feed, build, look, open; and it is complete."""
    assert tuple(GROUP.commands) == COMMANDS
    assert {group: tuple(command_of(group).commands) for group in GROUPS} == GROUPS


@pytest.mark.parametrize("command", LEAVES)
def test_help_teaches(cli: CommandLine, command: str) -> None:
    """Each command's help says what it does, gives an example of itself and says what its exit status means."""
    text = cli.ok(*command.split(), "--help").text
    assert f"Example: ml-data-platform {command}" in text
    for status in ("Exit status:", "0 ", " 1 ", "2 wrong arguments"):
        assert status in text


@pytest.mark.parametrize("command", LEAVES)
def test_help_fits_a_terminal_of_80_columns(cli: CommandLine, command: str) -> None:
    """No line is wider than the terminal, and none is cut with an ellipsis."""
    lines = cli.ok(*command.split(), "--help").out.splitlines()
    assert max(len(line) for line in lines) <= 80
    assert not [line for line in lines if line.rstrip(" │").endswith("…") and "more_clicks" not in line]


@pytest.mark.parametrize("command", LEAVES)
def test_every_option_is_explained(command: str) -> None:
    """No option or argument is without a help text of its own."""
    unexplained = [each.name for each in command_of(command).params if not getattr(each, "help", None)]
    assert unexplained == []


@pytest.mark.parametrize("command", LEAVES)
def test_examples_name_options_that_exist(command: str) -> None:
    """Every option of an example is one of the command's: an example that cannot be typed teaches nothing."""
    known = {option for each in command_of(command).params for option in each.opts}
    examples = [line for line in str(command_of(command).epilog).splitlines() if "xample" in line or "…" in line]
    used = {word.rstrip(",") for line in examples for word in line.split() if word.startswith("--")}
    assert examples
    assert used <= known


def test_without_arguments_the_help_is_shown(cli: CommandLine) -> None:
    """A bare call lists the commands, and is not taken for success."""
    result = cli()
    assert result.status == 2
    assert all(command in result.text for command in COMMANDS)
    assert cli.tree() == []
