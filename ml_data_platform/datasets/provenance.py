"""Which code ran, and in which environment.

Belongs here: the identity of the package. Does not belong here: versions of stages, which the commit log records.
"""

from __future__ import annotations

import hashlib
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
    """Return the package's version, a hash of its files, and in a git checkout the commit and whether files differ from it."""
    package = Path(__file__).resolve().parents[1]
    folder = package.parent
    try:
        version = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        version = "not installed"
    identity: dict[str, Any] = {
        "package_version": version,
        "files_sha256": files_hash(package),
        "git_sha": None,
        "is_dirty": None,
    }
    if not (folder / ".git").exists():
        return identity
    git = Git(folder)
    try:
        changes = git("status", "--porcelain", "--untracked-files=no", "--", "ml_data_platform")
        identity |= {"git_sha": git("rev-parse", "HEAD"), "is_dirty": bool(changes)}
    except VersionError:
        pass
    return identity


def files_hash(package: Path) -> str:
    """Return a hash over names and bytes of a package's code and data files: two edits of one commit are two codes."""
    digest = hashlib.sha256()
    paths = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    for path in sorted(paths, key=lambda path: path.relative_to(package).as_posix()):
        name, content = path.relative_to(package).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{content} {name}\n".encode())
    return digest.hexdigest()


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
