"""Which code ran, and in which environment.

Belongs here: the identity of the package. Does not belong here: versions of stages, which the commit log records.
"""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from ml_data_platform.datasets.git import Git
from ml_data_platform.errors import VersionError

PACKAGE = "ml-data-platform"
LIBRARIES = ("duckdb", "dvc", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy", "skops")


@cache
def code_identity() -> dict[str, Any]:
    """Return the package's version, and where it runs from a git checkout, the commit and whether files differ from it."""
    folder = Path(__file__).resolve().parents[2]
    try:
        version = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        version = "not installed"
    identity: dict[str, Any] = {"package_version": version, "git_sha": None, "is_dirty": None}
    if not (folder / ".git").exists():
        return identity
    git = Git(folder)
    try:
        changes = git("status", "--porcelain", "--untracked-files=no", "--", "ml_data_platform")
        identity |= {"git_sha": git("rev-parse", "HEAD"), "is_dirty": bool(changes)}
    except VersionError:
        pass
    return identity


@cache
def environment() -> dict[str, str]:
    """Return the versions of Python, the system and the libraries that results may depend on."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "none"
    return found
