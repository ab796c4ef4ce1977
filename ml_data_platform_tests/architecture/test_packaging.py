"""What a wheel holds, built without network from a copy of the tree."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def test_everything_that_is_read_at_run_time_is_inside(wheel: zipfile.ZipFile, checkout: Path) -> None:
    """Every file of the package, contracts and queries included; without them an installation fails at its first day."""
    package = checkout / "ml_data_platform"
    files = {
        path.relative_to(checkout).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {Path(name).suffix for name in files} >= {".py", ".sql", ".yaml"}
    assert files <= set(wheel.namelist())


def test_nothing_else_is_inside(wheel: zipfile.ZipFile) -> None:
    """No tests, no data, no caches."""
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"ml_data_platform", f"ml_data_platform-{version('ml-data-platform')}.dist-info"}
    assert not [name for name in wheel.namelist() if "__pycache__" in name]


def test_the_command_and_the_licence_are_declared(wheel: zipfile.ZipFile) -> None:
    """The installed command is the one that the documentation names."""
    names = {Path(name).name: name for name in wheel.namelist() if ".dist-info/" in name}
    assert "ml-data-platform = ml_data_platform.cli:main" in wheel.read(names["entry_points.txt"]).decode()
    assert "Apache License" in wheel.read(names["LICENSE"]).decode()


def test_every_dependency_is_locked(checkout: Path) -> None:
    """What pyproject.toml asks for, extras included, is pinned in the lock file."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[\[<>=!~ ;]", line)[0].lower().replace("_", "-") for line in wanted}
    lock = (checkout / "requirements.lock").read_text(encoding="utf-8")
    locked = {line.split("==")[0].lower().replace("_", "-") for line in lock.splitlines() if "==" in line}
    assert names - locked == set()


def test_caps_are_explained(checkout: Path) -> None:
    """Each upper bound of a dependency stands under a comment, or beside others of the same project."""
    lines = (checkout / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    first = lines.index("dependencies = [")
    explained = ""
    for line in lines[first + 1 : lines.index("]", first)]:
        if line.lstrip().startswith("#"):
            explained = line
        elif ",<" in line:
            assert explained, line
        else:
            explained = ""
