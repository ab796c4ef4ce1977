"""The README says nothing that is not there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import typer.main

from ml_data_platform.cli import app
from ml_data_platform.events.planning import UPSTREAM
from ml_data_platform.settings import Settings


@pytest.fixture(scope="module")
def readme(checkout: Path) -> str:
    """The text."""
    return (checkout / "README.md").read_text(encoding="utf-8")


def _section(readme: str, title: str) -> str:
    return readme.partition(f"\n## {title}")[2].partition("\n## ")[0]


def _rows(section: str) -> dict[str, list[str]]:
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in cells}


def test_every_guarantee_is_proved_by_a_test_that_exists(readme: str, checkout: Path) -> None:
    """Each row names a test function that stands in the file named, and no row is without one."""
    section = _section(readme, "Guarantees")
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    named = re.findall(r"`([a-z0-9_/]+\.py)::(test_[a-z0-9_]+)`", section)
    assert len(named) == len(rows) > 10
    for path, name in named:
        tree = ast.parse((checkout / "ml_data_platform_tests" / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{path}::{name}"


def test_the_settings_are_all_settings(readme: str, tmp_path: Path) -> None:
    """Names and defaults are those of the class; none is missing."""
    rows = _rows(_section(readme, "Settings"))
    assert set(rows) == set(Settings.model_fields)
    defaults = Settings(root=tmp_path, landing=tmp_path)
    for name in set(rows) - {"root", "landing", "versions", "versions_remote"}:
        value = getattr(defaults, name)
        shown = "none" if value in (None, {}) else f"{value:g}" if isinstance(value, float) else str(value)
        assert rows[name][0].strip("`") == shown, name


def test_the_assets_are_all_assets(readme: str) -> None:
    """One line for each table of the flow."""
    assert set(_rows(_section(readme, "The assets"))) == {
        "landed_files",
        "quarantined_events",
        *UPSTREAM,
        "dataset_versions",
        "conversion_model",
    }


def test_the_commands_are_all_commands(readme: str) -> None:
    """The list of commands is that of the program, in its order."""
    listed = re.findall(r"^ml-data-platform ([a-z]+) {2,}", readme, flags=re.MULTILINE)
    assert listed == list(typer.main.get_command(app).commands)


def test_the_targets_of_make_exist(readme: str, checkout: Path) -> None:
    """Each `make …` of the README or the changelog has a target, and each target a rule."""
    makefile = (checkout / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    changelog = (checkout / "CHANGELOG.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`make ([a-z-]+)", readme + changelog))
    (declared,) = re.findall(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)
    assert named >= {"demo", "test", "dev", "lint"}
    assert named <= targets
    assert set(declared.split()) == targets


def test_the_places_to_change_exist(readme: str, checkout: Path) -> None:
    """Every path of the table leads somewhere, and every name in it is defined there."""
    section = _section(readme, "Where to change what")
    paths = re.findall(r"`(ml_data_platform/[^`]+)`", section)
    assert len(paths) > 8
    for path in paths:
        assert list(checkout.glob(path.replace("<asset>", "*"))), path
    assert "LABEL_HORIZON" in (checkout / "ml_data_platform" / "settings.py").read_text(encoding="utf-8")
    queries = checkout / "ml_data_platform" / "features" / "queries.py"
    assert "DEFINITION_VERSION =" in queries.read_text(encoding="utf-8")


def test_the_flow_is_drawn_once(readme: str, checkout: Path) -> None:
    """README and package show the same diagram."""
    source = (checkout / "ml_data_platform" / "__init__.py").read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source)) or ""
    diagram = [line.strip() for line in docstring.partition("::\n")[2].partition("\n\nRooms")[0].splitlines()]
    shown = [line.strip() for line in readme.partition("```\n")[2].partition("```")[0].splitlines()]
    assert [line for line in diagram if line] == [line for line in shown if line]
