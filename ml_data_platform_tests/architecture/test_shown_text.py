"""Text of producers reaches people through one module of the command line, and one of Dagster's shell."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SCREEN = "screen.py"
PRINTERS = {"print", "echo", "secho", "print_exception", "print_exc", "stdout", "stderr"}
PLANTED = """
import sys, typer
from rich.console import Console
from rich import print as show
from rich.markup import escape
print("x")
typer.echo("x")
Console().print("x")
sys.stderr.write("x")
table.add_row(f"[{colour}]{name}[/]", "[red]x[/]")
screen.say("x")
"""


def _parsed(folder: Path) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(folder.rglob("*.py")):
        yield path.relative_to(folder).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def _other_ways(module: ast.Module) -> set[int]:
    """Return the lines on which something is printed, or given markup, by another way than `screen`."""
    found = set()
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.module in {"rich.console", "rich.markup", "rich"}:
            found |= {node.lineno} if {each.name for each in node.names} & {"Console", "print", "escape"} else set()
        elif (isinstance(node, ast.Name) and node.id in {"print", "Console"}) or (
            isinstance(node, ast.Attribute) and node.attr in PRINTERS
        ):
            found.add(node.lineno)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_row":
            texts = (each for argument in node.args for each in ast.walk(argument) if isinstance(each, ast.Constant))
            found |= {node.lineno for each in texts if isinstance(each.value, str) and each.value.endswith("[/]")}
    return found


def test_the_command_line_prints_through_one_module(checkout: Path) -> None:
    """No module of `cli` but `screen` prints, writes to a stream, or gives rich any markup."""
    found = {name: _other_ways(module) for name, module in _parsed(checkout / "ml_data_platform" / "cli")}
    assert found.pop(SCREEN)
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_other_ways_to_print_are_found() -> None:
    """Of planted lines each that prints otherwise is told, and the one that does not is not."""
    assert _other_ways(ast.parse(PLANTED)) == {3, 4, 5, 6, 7, 8, 9, 10}
