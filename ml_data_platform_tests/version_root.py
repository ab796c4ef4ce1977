"""Roots with versions: cut as a user does, read back by tools that the platform does not control."""

from __future__ import annotations

import hashlib
import os
from contextlib import chdir
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow.parquet as pq

from ml_data_platform.datasets.dataset_versions import Cut, cut_version
from ml_data_platform.datasets.dvc_files import Remote
from ml_data_platform.datasets.repository import VersionsRepository
from ml_data_platform.datasets.selection import Request
from ml_data_platform.stages.settled_days import unsettled_days
from ml_data_platform_tests.pipeline_root import PipelineRoot


def repository_of(root: PipelineRoot) -> VersionsRepository:
    """Return the repository of versions of a root, where the settings have it by default."""
    return VersionsRepository(root.folder / "versions", Remote(str(root.folder / "versions_remote")))


def cut(root: PipelineRoot, request: Request | None = None, **choices: Any) -> Cut:
    """Cut a version at the root's instant."""
    return cut_version(
        repository_of(root),
        root.platform.store,
        request or Request(),
        now=root.now,
        unsettled=unsettled_days(root.platform),
        **choices,
    )


def dvc(folder: Path, command: str, *arguments: str) -> None:
    """Call DVC's own command line in a folder, which must end well; in this process, as its start costs a second."""
    from dvc.cli import main

    with chdir(folder), mock.patch.dict(os.environ, {"DVC_NO_ANALYTICS": "true"}):
        assert main([command, "--quiet", *arguments]) == 0


def remote_objects(root: PipelineRoot) -> dict[str, Path]:
    """Return the objects of the remote by their MD5, as DVC lays them out; listings end in ``.dir``."""
    top = root.folder / "versions_remote" / "files" / "md5"
    return {f"{path.parent.name}{path.name}": path for path in top.glob("??/*")}


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below a folder, by path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def view_hashes(root: PipelineRoot, *assets: str) -> dict[str, str]:
    """Return the SHA-256 of the files of some assets as the view shows them, by path below ``data``."""
    hashes = file_hashes(root.folder / "data")
    return {path: digest for path, digest in hashes.items() if path.split("/")[0] in assets}


def view_rows(root: PipelineRoot, asset: str) -> list[dict[str, Any]]:
    """Return all rows of an asset as the view shows them."""
    return [row for path in sorted((root.folder / "data" / asset).rglob("*.parquet")) for row in _rows(path)]


def _rows(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.ParquetFile(path).read().to_pylist()
    return rows
