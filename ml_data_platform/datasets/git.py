"""Git, as the repository of versions uses it: plumbing commands in one folder.

Belongs here: running git so that neither the user's hooks, signing and templates nor a surrounding repository
change what it does. Does not belong here: what is committed.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ml_data_platform.datasets.loose_objects import altered_padding
from ml_data_platform.errors import VersionError, bounded

BRANCH = "main"
_INDEX = "ml_data_platform.index"
_LOOSE = re.compile(r"[0-9a-f]{40}")
_NAMES_A_COMMIT = re.compile(rb"[0-9a-f]{40}\n")
_TELLS_A_GAP = re.compile(r"missing |broken link from |\s+to |dangling |notice: ")
_HEAD = re.compile(rb"ref: refs/heads/[A-Za-z0-9._/-]+\n|[0-9a-f]{40}\n")
CONFIG: Mapping[str, str] = {
    "user.name": "ml-data-platform",
    "user.email": "ml-data-platform@localhost",
    "commit.gpgsign": "false",
    "tag.gpgsign": "false",
    "core.autocrlf": "false",
    "core.hooksPath": os.devnull,
    # What a user ignores everywhere, or filters, would be missing from a version, or have other bytes.
    "core.excludesFile": os.devnull,
    "core.attributesFile": os.devnull,
    # A tag promises that its commit survives a power cut.
    "core.fsync": "committed,reference",
    "gc.autoDetach": "false",
    "gc.auto": "0",
    "advice.detachedHead": "false",
}
"""Local to the repository: the user's own configuration is neither read for these nor changed."""

_RUNS_NOTHING: Mapping[str, str] = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.pager": "cat",
    "diff.external": "",
    "log.showSignature": "false",
    "submodule.recurse": "false",
    "transfer.fsckObjects": "true",
    "protocol.ext.allow": "never",
}
"""For every command, over all configuration: a repository from elsewhere cannot name programs that git would run."""

_ONLY_READS = frozenset(
    {"cat-file", "for-each-ref", "fsck", "ls-tree", "merge-base", "rev-list", "rev-parse", "show-ref"}
)
"""Commands that read objects and refs, and run no program that a repository could name: these also read a repository of
another user. Any other command is left to git, which refuses it there."""

TRANSPORTS: Mapping[str, str] = {"GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh"}
"""For commands that reach another repository; all others reach none, whatever a repository says that it lacks."""


class Git:
    """Git in one folder.

    Args:
        folder: The work tree.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str, text: str | None = None, environment: Mapping[str, str] | None = None) -> str:
        """Run one command and return its standard output without the last line break.

        Args:
            *arguments: The command and its arguments.
            text: Standard input.
            environment: Further variables, e.g. dates of a commit.

        Raises:
            VersionError: Git is missing, or the command failed.
        """
        done = self._run(*arguments, text=text, environment=environment)
        if "dubious ownership" in done.stderr:
            raise VersionError(
                f"the repository belongs to another user: git does not {arguments[0]} there, since it could run programs",
                remedy="Run it as that user; or, trusting that user, allow it once, as git says.",
                repository=str(self.folder),
                git=bounded(done.stderr.strip().rpartition("\t")[2].partition("\n")[0], 300),
            )
        if done.returncode != 0:
            raise VersionError(
                f"git {arguments[0]} failed: {bounded(done.stderr.strip(), 500)}", repository=str(self.folder)
            )
        return done.stdout.removesuffix("\n")

    def _run(
        self, *arguments: str, text: str | None = None, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(  # noqa: S603 - no shell, and every argument is ours
                ["git", "-C", str(self.folder), *arguments],  # noqa: S607 - the user's git, wherever it is
                input=text,
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="backslashreplace",
                check=False,
                env={**_clean_environment(self._settings_of(arguments[0])), **(environment or {})},
            )
        except FileNotFoundError as error:
            raise VersionError("versions are kept in git, which is not installed", remedy="Install git.") from error

    def _settings_of(self, command: str) -> Mapping[str, str]:
        named = {"safe.directory": str(self.folder.resolve())} if command in _ONLY_READS else {}
        return {**_RUNS_NOTHING, **named}

    def contents(self, names: Sequence[str]) -> list[str]:
        """Return the texts of several files of commits; one process reads them all.

        Args:
            names: E.g. ``refs/tags/NAME:PATH``.

        Raises:
            VersionError: Git is missing, the command failed, or one of them does not exist.
        """
        if not names:
            return []
        # Bytes are counted: no text of these has any but ASCII characters.
        rest = self("cat-file", "--batch", text="".join(f"{name}\n" for name in names)) + "\n"
        texts = []
        for name in names:
            head, _, rest = rest.partition("\n")
            size = head.rpartition(" ")[2]
            if not size.isdecimal():
                raise VersionError(f"git has no such file: {bounded(name, 200)}", repository=str(self.folder))
            texts.append(rest[: int(size)])
            rest = rest[int(size) + 1 :]
        return texts

    def succeeds(self, *arguments: str, environment: Mapping[str, str] | None = None) -> bool:
        """Tell whether a command ends well."""
        try:
            self(*arguments, environment=environment)
        except VersionError:
            return False
        return True

    def initialise(self) -> None:
        """Make the repository, or make sure of it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # DVC reads these forms only, whatever the user has new repositories be.
        forms = {"GIT_DEFAULT_HASH": "sha1", "GIT_DEFAULT_REF_FORMAT": "files"}
        self("init", "--quiet", f"--initial-branch={BRANCH}", environment=forms)
        self.configure()

    def configure(self) -> None:
        """Write the local configuration."""
        for name, value in CONFIG.items():
            self("config", "--local", name, value)

    def commit(self, message: str, paths: Iterable[str], *, at: str, parent: str | None) -> str:
        """Record some files, as they are, over those of the parent as a commit that no branch has yet; returns its id.

        What else lies in the work tree, or was staged by somebody, stays as it is and is not in the commit.

        Args:
            message: The commit's message.
            paths: Files below the work tree; those that do not exist are not in the commit.
            at: Instant of the commit, ISO-8601 with offset.
            parent: The commit before it; none for the first.
        """
        named = "".join(f"{path}\0" for path in paths)
        index = self.folder / ".git" / _INDEX
        index.unlink(missing_ok=True)
        apart = {"GIT_INDEX_FILE": str(index)}
        self("read-tree", *([parent] if parent else ["--empty"]), environment=apart)
        for environment in (apart, {}):
            self("update-index", "--add", "--remove", "-z", "--stdin", text=named, environment=environment)
        tree = self("write-tree", environment=apart)
        before = ("-p", parent) if parent else ()
        dates = {"GIT_AUTHOR_DATE": at, "GIT_COMMITTER_DATE": at}
        return self("commit-tree", tree, *before, text=message, environment=dates)

    def faults(self) -> list[str]:
        """Return what git finds wrong with its objects, tags and branches, read again byte by byte; empty where whole."""
        done = self._run("fsck", "--full", "--no-dangling", "--no-progress")
        lines = (done.stdout + done.stderr).splitlines()
        found = [line for line in lines if line.strip()] if done.returncode else []
        # What no branch and no tag leads to may miss what was given up.
        if found and all(map(_TELLS_A_GAP.match, found)) and self.succeeds("rev-list", "--objects", "--quiet", "--all"):
            found = []
        lost = [line for line in lines if "unborn branch" in line and self.tip() is not None] if not found else []
        found += [
            f"a bit behind the end of {path.name}" for path, _ in altered_padding(self.folder / ".git" / "objects")
        ]
        return [*found, *(f"HEAD names a branch that is not there: {line}" for line in lost)]

    def renew(self) -> None:
        """Set aside what git keeps beside objects, tags and branches and can be made again, if it is damaged; make it."""
        top = self.folder / ".git"
        head = (top / "HEAD").read_bytes() if (top / "HEAD").is_file() else b""
        is_usable = {
            "config": not (top / "config").is_file()
            or self.succeeds("config", "--file", str(top / "config"), "--list"),
            "HEAD": _HEAD.fullmatch(head) is not None
            and (not head.startswith(b"ref") or (top / head[5:-1].decode()).exists()),
        }
        for name in [name for name, usable in is_usable.items() if not usable and (top / name).is_file()]:
            self._set_aside(name)
        for path, cleared in altered_padding(top / "objects"):
            renewed = path.with_name(f"tmp_obj_{path.name}")
            renewed.write_bytes(cleared)
            renewed.chmod(path.stat().st_mode & 0o777)
            renewed.replace(path)
        self.initialise()
        if (top / "index").is_file() and any("index" in line for line in self.faults()):
            self._set_aside("index")

    def _set_aside(self, name: str) -> None:
        damaged = self.folder / ".git" / "damaged"
        damaged.mkdir(exist_ok=True)
        (self.folder / ".git" / name).replace(damaged / name.rpartition("/")[2])

    def set_aside_references(self) -> list[str]:
        """Set aside files of branches and tags that name no commit; returns the tags' names."""
        refs, aside = self.folder / ".git" / "refs", []
        for path in sorted(each for top in ("heads", "tags") for each in (refs / top).rglob("*") if each.is_file()):
            name = path.relative_to(refs).as_posix()
            if not _NAMES_A_COMMIT.fullmatch(path.read_bytes()):
                self._set_aside(f"refs/{name}")
                aside += [name.removeprefix("tags/")] if name.startswith("tags/") else []
        return aside

    def set_aside_objects(self) -> None:
        """Set aside loose objects that are not what their names say, so that they can be written again."""
        for path in sorted((self.folder / ".git" / "objects").glob("??/*")):
            if not _is_object(path):
                self._set_aside(path.relative_to(self.folder / ".git").as_posix())

    def write_work_tree(self) -> None:
        """Write all files of the work tree, and their folders, as objects; those that are there already stay."""
        index = self.folder / ".git" / _INDEX
        index.unlink(missing_ok=True)
        apart = {"GIT_INDEX_FILE": str(index)}
        # Folders in a folder hold data, which git never has.
        only = (".", ":(exclude)*/*/**")
        files = self("ls-files", "--others", "--exclude-standard", "-z", "--", *only, environment=apart)
        self("update-index", "--add", "-z", "--stdin", text=files, environment=apart)
        self("write-tree", environment=apart)

    def is_complete(self, commit: str) -> bool:
        """Tell whether a commit is there with all its files, whatever became of those before it."""
        return self.succeeds("rev-list", "--objects", "--no-walk", "--quiet", commit)

    def tag(self, name: str, commit: str, *, message: str, at: str) -> None:
        """Name a commit, in place of what had the name."""
        dates = {"GIT_COMMITTER_DATE": at}
        self("tag", "--annotate", "--force", "--file=-", name, commit, text=message, environment=dates)

    def fetch_again(self, faults: Iterable[str]) -> bool:
        """Fetch all objects anew from a remote of git, where somebody has named one; those that are damaged are set aside.

        Args:
            faults: What `faults` returned.
        """
        remotes = self("remote").split()
        if not remotes:
            return False
        for loose in sorted({found for line in faults for found in _LOOSE.findall(line)}):
            name = f"objects/{loose[:2]}/{loose[2:]}"
            if (self.folder / ".git" / name).is_file():
                self._set_aside(name)
        if any("pack" in line for line in faults):
            for path in sorted((self.folder / ".git" / "objects" / "pack").iterdir()):
                self._set_aside(f"objects/pack/{path.name}")
        heads = "+refs/heads/*:refs/remotes/origin/*"
        return self.succeeds("fetch", "--quiet", "--refetch", "--tags", remotes[0], heads, environment=TRANSPORTS)

    def names(self, commit: str, folder: str) -> list[str]:
        """Return the paths of what a commit has directly in a folder."""
        return self("ls-tree", "-z", "--name-only", commit, f"{folder}/").split("\0")[:-1]

    def is_ancestor(self, commit: str, of: str) -> bool:
        """Tell whether a commit is another one, or comes before it."""
        return self.succeeds("merge-base", "--is-ancestor", commit, of)

    def tip(self) -> str | None:
        """Return the commit of the branch; none before the first."""
        return self("rev-parse", f"refs/heads/{BRANCH}") if self._has(f"refs/heads/{BRANCH}") else None

    def has_history(self) -> bool:
        """Tell whether the branch has more commits than the first, which comes before every version."""
        tip = self.tip()
        # Where a commit is lost nothing is counted, which `faults` says.
        return tip is not None and self._run("rev-list", "--count", tip).stdout.strip() not in {"", "1"}

    def _has(self, ref: str) -> bool:
        return self.succeeds("show-ref", "--verify", "--quiet", ref)

    def move_branch(self, commit: str) -> None:
        """Let the branch point at a commit."""
        self("update-ref", f"refs/heads/{BRANCH}", commit)

    def remove_stale_locks(self) -> None:
        """Remove lock files that a killed git left; the caller holds the lock of the repository of versions."""
        for lock in (self.folder / ".git").rglob("*.lock"):
            lock.unlink(missing_ok=True)


def _is_object(path: Path) -> bool:
    try:
        content = zlib.decompress(path.read_bytes())
    except (OSError, zlib.error):
        return False
    return hashlib.sha1(content, usedforsecurity=False).hexdigest() == path.parent.name + path.name


def _clean_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with settings of git, and without variables that point git at another repository."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    overrides = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (name, value) in enumerate(settings.items()):
        overrides |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    closed = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    return {**kept, **overrides, **closed}
