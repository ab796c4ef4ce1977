"""The tree: its layers, its names, its sizes, and what never stands in it."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ml_data_platform import errors
from ml_data_platform.errors import PlatformError
from ml_data_platform.events.planning import UPSTREAM

EMPTY_WORDS = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core", "tools", "stuff"}
MAX_LINES = 350
UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "joblib", "marshal", "shelve", "dill"}
PLACE_IN_THE_FLOW = ["landed_files", *UPSTREAM]
OF_VERSIONS = ["dataset_versions", "conversion_model"]


def _sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def _tracked(checkout: Path) -> list[Path]:
    """Return the files that belong to the project: those of git, or all of an unpacked archive."""
    listed = subprocess.run(["git", "-C", str(checkout), "ls-files", "-z"], capture_output=True, text=True, check=False)
    names = listed.stdout.split("\0") if listed.returncode == 0 else []
    found = [checkout / name for name in names if name] or [
        path for path in checkout.rglob("*") if not {part for part in path.parts if part.startswith(".")}
    ]
    return [path for path in found if path.is_file()]


def test_import_contracts_hold(checkout: Path) -> None:
    """The layers of pyproject.toml: the shell knows the core, never the other way round."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_no_room_is_named_after_nothing(checkout: Path) -> None:
    """A module is named after what it is about."""
    for folder in ("ml_data_platform", "ml_data_platform_tests"):
        for path in (checkout / folder).rglob("*"):
            assert path.stem not in EMPTY_WORDS, path


def test_source_files_can_be_read_in_one_go(checkout: Path) -> None:
    """No file of the package is longer than a reader's patience."""
    long = {path.name: lines for path in _sources(checkout / "ml_data_platform") if (lines := _lines(path)) > MAX_LINES}
    assert long == {}


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("name", [*PLACE_IN_THE_FLOW, *OF_VERSIONS])
def test_one_asset_is_one_file_of_its_name(checkout: Path, name: str) -> None:
    """Who looks for an asset finds its definition and its stage under its name."""
    definition = (checkout / "ml_data_platform" / "defs" / "assets" / f"{name}.py").read_text(encoding="utf-8")
    assert f"def {name}(" in definition
    room = "datasets" if name in OF_VERSIONS else "stages"
    assert (checkout / "ml_data_platform" / room / f"{name}.py").is_file()


def test_no_other_asset_files(checkout: Path) -> None:
    """The folder of assets is the list of assets."""
    folder = checkout / "ml_data_platform" / "defs" / "assets"
    assert {path.stem for path in folder.glob("*.py")} == {"__init__", *PLACE_IN_THE_FLOW, *OF_VERSIONS}


def test_every_module_says_what_belongs_in_it(checkout: Path) -> None:
    """A module's docstring draws its border; packages, assets and the entry point need only their name explained."""
    for path in _sources(checkout / "ml_data_platform"):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        assert text, path
        if path.name in {"__init__.py", "definitions.py"} or path.parent.name in {"assets", "stages"}:
            continue
        for part in ("Belongs here", "Does not"):
            assert part.lower() in " ".join(text.split()).lower(), path


def test_nothing_is_unpickled_and_yaml_is_read_safely(checkout: Path) -> None:
    """No module of the package can be made to run code by the bytes that it reads."""
    found = [
        (path.name, name)
        for path in _sources(checkout / "ml_data_platform")
        for name in _loaded_names(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


def _loaded_names(tree: ast.Module) -> Iterator[str]:
    unsafe_calls = {"load", "load_all", "unsafe_load", "full_load", "unsafe_load_all", "full_load_all"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in UNSAFE_MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in UNSAFE_MODULES:
            yield str(node.module)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if (
                isinstance(node.func.value, ast.Name)
                and node.func.value.id == "yaml"
                and node.func.attr in unsafe_calls
            ):
                yield f"yaml.{node.func.attr}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"eval", "exec"}:
            yield node.func.id


def test_the_clock_and_the_environment_are_arguments_of_the_core(checkout: Path) -> None:
    """The core asks neither: the same inputs, the same answer."""
    asked = re.compile(
        r"datetime\.now\(|dt\.datetime\.now|time\.time\(|date\.today\(|os\.environ\[[^]]*\](?! = )|os\.environ\.get\(|os\.getenv|utcnow\("
    )
    for room in ("events", "features", "training", "generator", "validation", "landing"):
        for path in _sources(checkout / "ml_data_platform" / room):
            assert not asked.search(path.read_text(encoding="utf-8")), path


def test_every_error_is_a_platform_error_and_says_so() -> None:
    """Who catches `PlatformError` catches them all; each ends in Error and has a docstring of its own."""
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, BaseException):
            assert issubclass(kind, PlatformError)
            assert name.endswith("Error")
            assert kind.__dict__.get("__doc__")


def test_errors_are_declared_in_one_place(checkout: Path) -> None:
    """No exception class of the platform hides in another module."""
    for path in _sources(checkout / "ml_data_platform"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name.endswith(("Error", "Exception")):
                assert path.name == "errors.py", f"{path}: {node.name}"


def test_bare_exceptions_are_not_raised(checkout: Path) -> None:
    """A caller can tell what happened from the class."""
    for path in _sources(checkout / "ml_data_platform"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
                assert node.exc.func.id not in {"Exception", "RuntimeError", "BaseException"}, path


def test_files_that_a_user_expects_are_there(checkout: Path) -> None:
    """Licence, changes, the two commands, the lock file, and what Dagster reads."""
    for name in (
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "Makefile",
        "requirements.lock",
        "dagster.yaml",
        "workspace.yaml",
        "dg.toml",
    ):
        assert (checkout / name).stat().st_size > 0, name


def test_pre_commit_checks_what_make_lint_checks(checkout: Path) -> None:
    """A commit that pre-commit lets through passes `make lint`: the same tools, from the same environment."""
    hooks = [
        hook
        for repository in yaml.safe_load((checkout / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
        for hook in repository["hooks"]
    ]
    lint = (checkout / "Makefile").read_text(encoding="utf-8").partition("\nlint:")[2].partition("\n\n")[0]
    tools = {tuple(line.split("/")[-1].split()[:2]) for line in lint.splitlines()[1:]}
    assert {tuple(hook["entry"].split("/")[-1].split()[:2]) for hook in hooks} == tools
    assert {hook["language"] for hook in hooks} == {"system"}


def test_no_file_names_a_place_that_only_one_machine_has(checkout: Path) -> None:
    """No absolute path of a developer's machine and no package index in the lock file or the project's own text."""
    places = re.compile(
        r"/(?:home|Users|root|work|opt)/[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+|--index-url|--find-links|file://"
    )
    exempt = {"LICENSE", Path(__file__).name}
    for path in _tracked(checkout):
        if path.name in exempt or path.suffix not in {".py", ".md", ".toml", ".yaml", ".lock", ".sql", ".cfg", ""}:
            continue
        found = places.search(path.read_text(encoding="utf-8"))
        assert found is None, f"{path}: {found.group() if found else ''}"


def test_the_lock_file_holds_versions_and_hashes_only(checkout: Path) -> None:
    """Every line pins one version that pip finds wherever it is configured to look, by the hashes of its files alone."""
    lines = (checkout / "requirements.lock").read_text(encoding="utf-8").splitlines()
    said = [line for line in lines if line and not line.lstrip().startswith("#")]
    pins = [line for line in said if not line.startswith(" ")]
    shape = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+(?: ; .+)? \\")
    assert [line for line in pins if not shape.fullmatch(line)] == []
    hashes = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")
    assert [line for line in said if line.startswith(" ") and not hashes.fullmatch(line)] == []
    following = [after for line, after in itertools.pairwise(said) if line in pins]
    assert len(following) == len(pins)
    assert all(map(hashes.fullmatch, following))
    assert not [line for line in lines if "://" in line or " @ " in line]
    assert "antlr4-python3-runtime==4.13.2" in {line.split(" ")[0] for line in pins}
