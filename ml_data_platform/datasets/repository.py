"""The repository of versions: one git work tree with DVC, whose tags are the versions.

Belongs here: making it, the lock of those who change it, what a killed process left in it, reading versions, and the
commit point of a new one: its tag. Does not belong here: what goes into a version.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from ml_data_platform.datasets.dvc_files import DvcFiles, Remote
from ml_data_platform.datasets.dvc_texts import write_if_changed
from ml_data_platform.datasets.git import BRANCH, Git
from ml_data_platform.datasets.known_days import default_cutoff
from ml_data_platform.datasets.manifest import MANIFEST, Manifest
from ml_data_platform.datasets.manifest_fields import DATA
from ml_data_platform.datasets.pipeline_files import PARAMETERS, PIPELINE, parameters_text, pipeline_text
from ml_data_platform.datasets.workspace import WorkTree
from ml_data_platform.errors import (
    CorruptVersionError,
    SplitError,
    UnknownVersionError,
    VersionError,
    VersionsBusyError,
)

TAG_PREFIX = "data/"
_TAG = re.compile(r"data/[0-9]{8}T[0-9]{6}Z-[0-9a-f]{12}")
_POLL_SECONDS = 0.1
# Of a training run that somebody started here, by `dvc repro`, nothing gets into a version. DVC refuses to work beside a
# lock file that git ignores, so that one is not named here.
_NOT_TRACKED = "/.incoming/\n/models/\n"
_CONFIG = ".dvc/config"
_OF_ONE_MACHINE = re.compile(r"^\s*url = /", re.MULTILINE)
_CONFIGURATION = (".dvc/.gitignore", _CONFIG, ".dvcignore")
_FIRST_MESSAGE = "Begin the history of versions"
_NEW_CONFIGURATION = "Say where the remote is in a way that holds on every machine"


@dataclass(frozen=True)
class VersionsRepository:
    """The versions of one root.

    Attributes:
        folder: The work tree.
        remote: Where the data are pushed to.
    """

    folder: Path
    remote: Remote

    @property
    def git(self) -> Git:
        """Git in the work tree."""
        return Git(self.folder)

    @property
    def dvc(self) -> DvcFiles:
        """DVC in the work tree."""
        return DvcFiles(self.folder, self.remote)

    @property
    def work_tree(self) -> WorkTree:
        """The data in the work tree."""
        return WorkTree(self.folder)

    @property
    def notes(self) -> Path:
        """Folder of what only this repository needs to remember; not part of any version."""
        return self.folder / ".git" / "ml_data_platform"

    @property
    def exists(self) -> bool:
        """Whether a version was ever begun here."""
        return (self.folder / ".git" / "HEAD").is_file()

    @contextmanager
    def lock(self, *, wait_seconds: float) -> Iterator[None]:
        """Be the only one who changes the repository; the operating system ends this when the process dies.

        Args:
            wait_seconds: How long to wait for another process.

        Raises:
            VersionsBusyError: Another process held it all that time; the message names it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder.with_name(f"{self.folder.name}.lock")
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            deadline = time.monotonic() + wait_seconds
            while not _taken(handle):
                if time.monotonic() >= deadline:
                    raise VersionsBusyError(
                        "a version is being cut",
                        remedy="Wait for it to end, or stop that process; nothing is lost by that.",
                        held_by=path.read_text(encoding="utf-8").strip() or "a process that has just begun",
                    )
                time.sleep(_POLL_SECONDS)
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
            yield
        finally:
            os.close(handle)

    def prepare(self, at: str) -> str:
        """Make the repository, or mend what a killed process left in it; the caller holds the lock.

        Args:
            at: Instant of the first commit, ISO-8601 with offset.

        Returns:
            The commit that the next version comes after.
        """
        self.git.initialise()
        self.git.remove_stale_locks()
        self.dvc.configure(self.remote)
        self.dvc.forget_killed_processes()
        (self.folder / DATA).mkdir(exist_ok=True)
        (self.folder / ".git" / "info").mkdir(exist_ok=True)
        (self.folder / ".git" / "info" / "exclude").write_text(_NOT_TRACKED, encoding="utf-8")
        self._catch_up()
        tip = self.git.tip()
        if tip is None:
            tip = self.git.commit(_FIRST_MESSAGE, _CONFIGURATION, at=at, parent=None)
            self.git.move_branch(tip)
        elif self.git.succeeds("cat-file", "-e", f"{tip}:{_CONFIG}") and self._is_configured_otherwise(tip):
            # Of before: it named a folder of the machine, and would go on doing so in every clone.
            message, parent = (_NEW_CONFIGURATION, tip) if self.tags() else (_FIRST_MESSAGE, None)
            tip = self.git.commit(message, _CONFIGURATION, at=at, parent=parent)
            self.git.move_branch(tip)
        for name in self.unreadable_files():
            self.restore_file(name)
        return tip

    def unreadable_files(self) -> list[str]:
        """Return the files of the newest version in the work tree that DVC would fail on, or that are gone beside others."""
        there = sorted(path.relative_to(self.folder).as_posix() for path in (self.folder / DATA).glob("*.dvc"))
        pipeline = [PIPELINE, PARAMETERS] if (self.folder / PIPELINE).exists() else []
        return [name for name in (MANIFEST, *pipeline, *there) if not self._is_readable(name)]

    def restore_file(self, name: str) -> bool:
        """Write a file of the work tree as the branch has it; where that has none, it is only taken away."""
        blob = f"refs/heads/{BRANCH}:{name}"
        (self.folder / name).unlink(missing_ok=True)
        if self.git.succeeds("cat-file", "-e", blob):
            write_if_changed(self.folder / name, self.git("cat-file", "blob", blob) + "\n")
        return name not in self.unreadable_files()

    def _is_readable(self, name: str) -> bool:
        path = self.folder / name
        try:
            return _is_mapping(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return name == MANIFEST
        except (OSError, ValueError, yaml.YAMLError):
            return False

    def take_over(self, now: dt.datetime, *, is_dry_run: bool) -> bool:
        """Commit a configuration that names nothing of this machine where that of before did; tells whether it is due.

        Raises:
            VersionsBusyError: A version is being cut.
        """
        tip = self.git.tip() if self.exists else None
        if tip is None or not self.git.succeeds("cat-file", "-e", f"{tip}:{_CONFIG}"):
            return False
        committed = self.git("cat-file", "blob", f"{tip}:{_CONFIG}")
        is_due = _OF_ONE_MACHINE.search(committed) is not None
        if is_due and not is_dry_run:
            with self.lock(wait_seconds=0):
                self.prepare(now.astimezone(dt.UTC).replace(microsecond=0).isoformat())
        return is_due

    def _is_configured_otherwise(self, commit: str) -> bool:
        written = (self.folder / _CONFIG).read_text(encoding="utf-8")
        return self.git("cat-file", "blob", f"{commit}:{_CONFIG}").strip() != written.strip()

    def record(self, manifest: Manifest, message: str, parent: str) -> None:
        """Make the work tree a version: everything is pushed already, and the tag is the commit point."""
        write_if_changed(self.folder / MANIFEST, manifest.to_text())
        self._write_pipeline(manifest)
        commit = self.git.commit(message, self._own_files(parent), at=manifest.created_at, parent=parent)
        self.git.tag(manifest.tag, commit, message=message, at=manifest.created_at)
        self.git.move_branch(commit)

    def _own_files(self, parent: str) -> list[str]:
        """Return the files that make a version, and those that made the one before it; nothing that a user put here."""
        tracked = {path.relative_to(self.folder).as_posix() for path in (self.folder / DATA).glob("*.dvc")}
        tracked |= {path for path in self.git.names(parent, DATA) if path.endswith(".dvc")}
        return [*_CONFIGURATION, MANIFEST, PIPELINE, PARAMETERS, f"{DATA}/.gitignore", *sorted(tracked)]

    def _write_pipeline(self, manifest: Manifest) -> None:
        """Write the training stage; a version that is too short to be split has none."""
        pipeline, parameters = self.folder / PIPELINE, self.folder / PARAMETERS
        try:
            cutoff = default_cutoff(manifest)
        except SplitError:
            pipeline.unlink(missing_ok=True)
            parameters.unlink(missing_ok=True)
            return
        write_if_changed(parameters, parameters_text(cutoff))
        write_if_changed(pipeline, pipeline_text(manifest))

    def tags(self) -> list[str]:
        """Return the names of all versions, oldest first."""
        if not self.exists:
            return []
        listed = self.git("for-each-ref", "--format=%(refname:strip=2)", f"refs/tags/{TAG_PREFIX}")
        return names_of_versions(listed.splitlines())

    def versions(self) -> list[Manifest]:
        """Return all versions, oldest first.

        Raises:
            CorruptVersionError: A manifest cannot be read.
        """
        tags = self.tags()
        texts = self.git.contents([f"refs/tags/{tag}:{MANIFEST}" for tag in tags])
        return [manifest_of_tag(text, tag) for tag, text in zip(tags, texts, strict=True)]

    def newest(self) -> Manifest | None:
        """Return the version that was cut last; none before the first."""
        tags = self.tags()
        return self.version(tags[-1]) if tags else None

    def version(self, tag: str) -> Manifest:
        """Return one version.

        Args:
            tag: Its name, with or without ``data/``; ``latest`` for the newest.

        Raises:
            UnknownVersionError: No version has this name.
            CorruptVersionError: Its manifest cannot be read.
        """
        name = self.full_tag(tag)
        return manifest_of_tag(self.git("cat-file", "blob", f"refs/tags/{name}:{MANIFEST}"), name)

    def full_tag(self, tag: str) -> str:
        """Return the full name of a version.

        Args:
            tag: The name, with or without ``data/``, or a part of it that only one has; ``latest`` for the newest.

        Raises:
            UnknownVersionError: No version, or more than one, has this name.
        """
        tags = self.tags()
        if tag == "latest" and tags:
            return tags[-1]
        exact = [name for name in tags if name in {tag, TAG_PREFIX + tag}]
        found = exact or [name for name in tags if tag and tag in name]
        if len(found) != 1:
            what = "several versions have this name" if found else "there is no such version"
            raise UnknownVersionError(what, repository=str(self.folder), got=tag, found=found[:5] or None)
        return found[0]

    def _catch_up(self) -> None:
        """Let the branch follow a tag whose cut was killed after its commit point; commits of others stay on it."""
        tags = self.tags()
        tip = self.git.tip()
        if tags:
            newest = self.git("rev-parse", f"refs/tags/{tags[-1]}^{{commit}}")
            if tip is None or (tip != newest and self.git.is_ancestor(tip, newest)):
                self.git.move_branch(newest)
        elif self.git.has_history():
            raise VersionError(
                "the repository of versions has commits and no tags",
                remedy="`ml-data-platform verify --repair` makes the tags again; or move the folder away, and cut anew.",
                repository=str(self.folder),
            )


def names_of_versions(tags: Iterable[str]) -> list[str]:
    """Return those tags that are names of versions, oldest first: people may have others beside them."""
    return sorted(filter(is_name_of_version, tags))


def is_name_of_version(tag: str) -> bool:
    """Tell whether a tag is named as versions are."""
    return _TAG.fullmatch(tag) is not None


def manifest_of_tag(text: str, tag: str) -> Manifest:
    """Return the manifest that a tag leads to.

    Raises:
        CorruptVersionError: It cannot be read, or it is that of another version.
    """
    found = Manifest.from_text(text, where=tag)
    if found.tag != tag:
        raise CorruptVersionError(
            "a tag leads to another version than its name says: it was moved, or made by hand",
            remedy="Fetch the tag again from where it is right, or delete it: git tag -d TAG in the repository of versions.",
            version=tag,
            got=found.tag,
        )
    return found


def snapshot_of_tag(tag: str) -> str:
    """Return the id of the snapshot that a version's name ends in."""
    return tag.rpartition("-")[2]


def _is_mapping(text: str) -> bool:
    try:
        # A manifest is long, and read many times as fast as what it is too: YAML.
        return isinstance(json.loads(text), dict)
    except ValueError:
        return isinstance(yaml.safe_load(text), dict)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
