"""Text of producers reaches people through one module of the command line, and one of Dagster's shell."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SCREEN = "screen.py"
PRINTERS = {"print", "echo", "secho", "print_exception", "print_exc", "stdout", "stderr"}
SHELL = "shown_text.py"
ESCAPES = {"plain", "bounded", "shown_text.described", "shown_text.facts"}
RESULTS = {"AssetCheckResult", "AssetCheckEvaluation", "MaterializeResult", "AssetMaterialization", "Output", "Failure"}
LEVELS = {"debug", "info", "warning", "error"}
REVIEWED = {
    ("assets/dataset_versions.py", "_shown(cut, opened.settings)"): "escapes what it returns",
    ("assets/dataset_versions.py", "_shown(cut, settings)"): "escapes what it returns",
    ("assets/dataset_versions.py", "step"): "a word of ours",
    ("assets/dataset_versions.py", "done"): "a number",
    ("assets/dataset_versions.py", "total"): "a number",
    ("assets/landed_files.py", "done"): "a number",
    ("assets/landed_files.py", "total"): "a number",
    ("checks.py", "result.description"): "of a result that was escaped",
    ("checks.py", "result.metadata"): "of a result that was escaped",
    ("command_runs.py", "result.metadata"): "of a result that was escaped",
    ("daily.py", "asset"): "a name of ours",
    ("daily.py", "context.partition_key"): "a day",
    ("daily.py", "{'error': REFUSED}"): "a word of ours",
    ("daily.py", "{'error': type(error).__name__}"): "the name of a class",
    ("io_manager.py", "metadata"): "the name of a class, and a key of the store",
    ("replay.py", "facts"): "escaped above",
    ("sensors.py", "said"): "a number",
    ("replay.py", "step.done"): "a number",
    ("replay.py", "step.total"): "a number",
    ("replay.py", "step.run.day"): "a day",
    ("replay.py", "{'error': type(error).__name__}"): "the name of a class",
    ("replay.py", "'\\n'.join(map(plain, [*failed, *blocked][:SHOWN_DAYS]))"): "lines that are escaped",
}
PLANTED_IN_SHELL = """
dg.MetadataValue.md(f"- {name}")
dg.AssetCheckResult(description=f"file {name}", metadata=shown_text.facts({}))
dg.MaterializeResult(metadata={"file": name})
context.log.info("%s", name)
context.log.info(f"{name}")
dg.SensorResult(skip_reason=f"waiting: {name}")
dg.AssetCheckResult(description=shown_text.described(name), metadata=shown_text.facts({"file": name}))
context.log.info("landed %s", plain(name))
dg.SensorResult(skip_reason="nothing new")
"""
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


def _unescaped(module: ast.Module) -> dict[str, int]:
    """Return what reaches Dagster's UI or logs and is neither a constant nor escaped, with its line."""
    found: dict[str, int] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"dg.MetadataValue.md", "dg.MetadataValue.table"}:
            found[ast.unparse(node)] = node.lineno
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            given = [each.value for each in node.keywords if each.arg == "skip_reason"]
            if node.func.attr in RESULTS:
                given += [each.value for each in node.keywords if each.arg in {"description", "metadata"}]
                given += node.args[:1] if node.func.attr == "Failure" else []
            elif node.func.attr in LEVELS and ast.unparse(node.func.value).endswith("log"):
                given += node.args
            found |= {ast.unparse(each): each.lineno for each in given if not _is_harmless(each)}
    return found


def _is_harmless(node: ast.expr) -> bool:
    is_escaped = isinstance(node, ast.Call) and ast.unparse(node.func) in ESCAPES
    return is_escaped or isinstance(node, ast.Constant)


def test_dagster_is_given_escaped_text(checkout: Path) -> None:
    """Markdown and tables are made in one module; descriptions, metadata, logs and reasons hold escaped text alone."""
    found = {
        (name, text)
        for name, module in _parsed(checkout / "ml_data_platform" / "defs")
        if name != SHELL
        for text in _unescaped(module)
    }
    assert found - REVIEWED.keys() == set()


def test_unescaped_text_is_found() -> None:
    """Of planted lines each that shows a name as it is is told, and no other."""
    assert sorted(_unescaped(ast.parse(PLANTED_IN_SHELL)).values()) == [2, 3, 4, 5, 6, 7]
