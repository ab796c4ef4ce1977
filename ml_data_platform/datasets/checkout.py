"""Restoring a version, here or on another machine, and proving that its bytes are what it names.

Belongs here: what needs nothing but the git repository and DVC's remote, and the check of both. Does not belong
here: the root's store, which another machine does not have.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_data_platform.datasets.dataset_versions import oids_of
from ml_data_platform.datasets.dvc_files import DvcFiles, Remote
from ml_data_platform.datasets.dvc_texts import listing_md5, tracking_text
from ml_data_platform.datasets.foreign_repository import manifest_in, private_folder, remote_in, require_honest_tree
from ml_data_platform.datasets.git import TRANSPORTS, Git
from ml_data_platform.datasets.manifest import FileFacts, Manifest
from ml_data_platform.datasets.manifest_fields import DATA
from ml_data_platform.datasets.repository import VersionsRepository, is_name_of_version, names_of_versions
from ml_data_platform.errors import CorruptVersionError, UnknownVersionError, VersionError
from ml_data_platform.storage.durability import file_sha256

Progress = Callable[[str], None]
_HEADS = "+refs/heads/*:refs/remotes/origin/*"


@dataclass(frozen=True)
class Checkout:
    """A restored version: its manifest, the folder that holds it, and how many files were compared byte by byte."""

    manifest: Manifest
    folder: Path
    files: int


def check_out(
    repository: str, tag: str, target: Path, *, remote: Remote | None = None, progress: Progress = lambda _: None
) -> Checkout:
    """Restore a version from git and DVC's remote alone, and compare every file with the manifest.

    It is put together in a hidden folder beside the target and renamed in the end: the target never holds half a
    version. A checkout that was stopped goes on from there.

    Args:
        repository: Path or URL of the git repository.
        tag: Full name of the version.
        target: A folder that does not exist, or is empty.
        remote: Use this remote instead of the one that the repository names.
        progress: Called with what is being done.

    Raises:
        UnknownVersionError: The repository has no such tag.
        VersionError: The target holds something already, or git or DVC failed.
        CorruptVersionError: The remote lacks objects or has other bytes; nothing is restored.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise VersionError(
            "the folder to restore into holds something already",
            remedy="Name a folder that does not exist.",
            folder=str(target),
        )
    partial = target.with_name(f".{target.name}.partial")
    private_folder(partial)
    progress(f"git: {repository}")
    git, source = _fetch(repository, tag, partial)
    manifest = manifest_in(git, tag)
    require_honest_tree(git, manifest)
    named = remote_in(git, manifest, source) if remote is None else remote
    # DVC is told what follows from the manifest; it reads no file of the repository.
    dvc = DvcFiles(partial, named)
    dvc.configure(named)
    dvc.forget_killed_processes()
    progress("dvc: pulling")
    dvc.pull(dvc.track(manifest))
    progress("comparing with the manifest")
    wrong = differing_files(partial, manifest)
    if wrong:
        shutil.rmtree(partial)
        raise CorruptVersionError(
            "restored files are not those that the version names; they were removed",
            remedy="Run `version verify` where the data were made, and restore the remote from a backup.",
            version=tag,
            files=wrong[:5],
        )
    git("checkout", "--quiet", "--force", "--detach", f"refs/tags/{tag}")
    dvc.override(named if remote is not None or _is_folder(named) else None)
    if target.exists():
        target.rmdir()
    partial.chmod(0o777 & ~_umask())
    partial.rename(target)
    return Checkout(manifest, target, sum(1 for _ in manifest.files))


def differing_files(folder: Path, manifest: Manifest) -> list[str]:
    """Return the files below ``data`` that are missing, differ from the manifest or are not named in it."""
    named = {file.path: file for file in manifest.files}
    tops = [folder / DATA / tracked.name for tracked in manifest.tracked]
    found = {path.relative_to(folder).as_posix() for top in tops for path in top.rglob("*") if path.is_file()}
    wrong = [path for path in found if path not in named]
    wrong += [file.path for file in named.values() if not _is_as_named(folder / file.path, file)]
    return sorted(wrong)


def _is_as_named(path: Path, file: FileFacts) -> bool:
    return path.is_file() and path.stat().st_size == file.size_bytes and file_sha256(path) == file.sha256


def _is_folder(remote: Remote) -> bool:
    return "://" not in remote.url


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _fetch(repository: str, tag: str, folder: Path) -> tuple[Git, str]:
    """Fetch a repository into a folder, and write none of its files; returns where, and from where."""
    git = Git(folder)
    git.initialise()
    git.remove_stale_locks()
    # A link in a commit would be written as a file that says where it leads; nothing is filtered.
    git("config", "--local", "core.symlinks", "false")
    (folder / ".git" / "info").mkdir(exist_ok=True)
    (folder / ".git" / "info" / "attributes").write_text("* -filter -text -ident -eol -working-tree-encoding\n")
    source = _source(repository)
    git("config", "--local", "remote.origin.url", source)
    git("config", "--local", "remote.origin.fetch", _HEADS)
    git("fetch", "--quiet", "--tags", "--no-recurse-submodules", "origin", _HEADS, environment=TRANSPORTS)
    if not is_name_of_version(tag) or not git.succeeds("show-ref", "--verify", "--quiet", f"refs/tags/{tag}"):
        shutil.rmtree(folder)
        raise UnknownVersionError("the repository has no such version", repository=repository, got=tag)
    return git, source


def _source(repository: str) -> str:
    return str(Path(repository).resolve()) if Path(repository).exists() else repository


def resolve_tag(repository: str, tag: str) -> str:
    """Return the full name of a version of a repository that may be elsewhere.

    Raises:
        UnknownVersionError: No version, or more than one, has this name.
    """
    # The working folder may be a repository of somebody else, whose configuration is not asked.
    with tempfile.TemporaryDirectory() as nowhere:
        alone = {**TRANSPORTS, "GIT_CEILING_DIRECTORIES": str(Path(nowhere).resolve().parent)}
        asked = ("ls-remote", "--tags", "--refs", "--", _source(repository), "refs/tags/data/*")
        listed = Git(Path(nowhere))(*asked, environment=alone)
    tags = names_of_versions(line.split("\t")[1].removeprefix("refs/tags/") for line in listed.splitlines())
    found = tags[-1:] if tag == "latest" else [each for each in tags if tag == each] or [t for t in tags if tag in t]
    if len(found) != 1:
        what = "several versions have this name" if found else "there is no such version"
        raise UnknownVersionError(what, repository=repository, got=tag, found=found[:5] or None)
    return found[0]


@dataclass(frozen=True)
class Verification:
    """What was found about one version.

    Attributes:
        tag: The version.
        objects: How many objects of the remote were read.
        faults: One line for each thing that is not as it must be.
    """

    tag: str
    objects: int
    faults: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for scripts."""
        return {"tag": self.tag, "objects": self.objects, "faults": list(self.faults), "is_good": not self.faults}


def verify_versions(
    repository: VersionsRepository, tags: Iterable[str], progress: Progress = lambda _: None
) -> list[Verification]:
    """Read every byte of versions in the remote, and compare it with git.

    An object that several versions share is read once.

    Raises:
        UnknownVersionError: There is no such version.
        CorruptVersionError: A manifest cannot be read.
    """
    wrong: dict[str, str] = {}
    read: set[str] = set()
    found = []
    for tag in tags:
        manifest = repository.version(tag)
        progress(manifest.tag)
        oids = oids_of(manifest)
        wrong |= repository.dvc.corrupt(oids - read)
        read |= oids
        paths = {file.md5: file.path for file in manifest.files}
        faults = [f"{paths.get(oid, oid)}: {wrong[oid]}" for oid in sorted(oids & wrong.keys())]
        found.append(Verification(manifest.tag, len(oids), (*faults, *tracking_faults(repository, manifest))))
    return found


def tracking_faults(repository: VersionsRepository, manifest: Manifest) -> list[str]:
    """Compare the manifest with what DVC's files of the same commit say: the listing follows from the files' MD5."""
    faults = []
    for folder in manifest.tracked:
        top = f"{DATA}/{folder.name}"
        tracked = repository.git("cat-file", "blob", f"refs/tags/{manifest.tag}:{top}.dvc") + "\n"
        if tracked != tracking_text(folder):
            faults.append(f"{top}.dvc tracks another listing than the manifest names")
        if listing_md5({file.path.removeprefix(f"{top}/"): file.md5 for file in folder.files}) != folder.dir_md5:
            faults.append(f"the listing of {top} is not that of the manifest's files")
    return faults
