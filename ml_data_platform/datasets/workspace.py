"""The files of a version in the work tree: copied from immutable objects, each verified while it is copied.

Belongs here: bringing the work tree to a selection with as few copies as possible. Does not belong here: DVC and
git. Nothing is ever copied from the view, which changes under a reader.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ml_data_platform.datasets.manifest_fields import DATA
from ml_data_platform.errors import CorruptVersionError
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.object_store import ObjectStore

INCOMING = ".incoming"
_INDEX = ".git/ml_data_platform/work_tree.json"
_CHUNK = 1 << 20
Copied = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Wanted:
    """One file that the work tree must hold: the object that it is a copy of."""

    asset: str
    sha256: str
    size_bytes: int


class WorkTree:
    """The data below one repository of versions.

    What was copied is remembered with size, time and inode of the copy, as git's index does: a file that somebody
    touched, or that a crash left, is copied again.

    Args:
        folder: The work tree.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def bring_to(self, objects: ObjectStore, wanted: Mapping[str, Wanted], copied: Copied) -> tuple[str, ...]:
        """Copy what differs and remove what is not wanted.

        Args:
            objects: Where the immutable objects are.
            wanted: Path below the work tree to object.
            copied: Called before each copy with the path, the number of copies made, and how many are to be made.

        Returns:
            The paths that were copied.

        Raises:
            CorruptVersionError: An object does not have the bytes that its name says.
        """
        known = self._known()
        due = [path for path, want in sorted(wanted.items()) if known.get(path, ("", ""))[0] != want.sha256]
        for path in self._present() - set(wanted):
            (self.folder / path).unlink()
        self._remove_empty_folders()
        shutil.rmtree(self.folder / INCOMING, ignore_errors=True)
        md5s = {path: md5 for path, (_, md5) in known.items() if path in wanted}
        for number, path in enumerate(due):
            copied(path, number, len(due))
            md5s[path] = self._copy(objects, wanted[path], self.folder / path)
        shutil.rmtree(self.folder / INCOMING, ignore_errors=True)
        self.remember({path: (wanted[path].sha256, md5s[path]) for path in wanted})
        return tuple(due)

    def md5s(self) -> dict[str, str]:
        """Return the MD5 of each file that is as it was copied, by path."""
        return {path: md5 for path, (_, md5) in self._known().items()}

    def hashes(self) -> dict[str, str]:
        """Return the SHA-256 with which each file was copied, by path, whatever became of it since."""
        return {path: entry[0] for path, entry in self._noted().items()}

    def remember(self, files: Mapping[str, tuple[str, str]] | None = None) -> None:
        """Note the present state of the files.

        Args:
            files: Path to (SHA-256, MD5); by default what was noted last, for when DVC has put the same bytes anew.
        """
        noted = self._noted()
        chosen = files if files is not None else {path: (entry[0], entry[1]) for path, entry in noted.items()}
        entries = {path: [*hashes, *map(str, _state(self.folder / path))] for path, hashes in chosen.items()}
        target = self.folder / _INDEX
        target.parent.mkdir(parents=True, exist_ok=True)
        written = target.with_suffix(".new")
        written.write_text(json.dumps(entries, sort_keys=True), encoding="utf-8")
        written.replace(target)

    def _known(self) -> dict[str, tuple[str, str]]:
        """Return (SHA-256, MD5) of the files that nobody touched since they were noted."""
        return {
            path: (entry[0], entry[1])
            for path, entry in self._noted().items()
            if (self.folder / path).is_file() and [str(number) for number in _state(self.folder / path)] == entry[2:]
        }

    def _noted(self) -> dict[str, list[str]]:
        try:
            noted = json.loads((self.folder / _INDEX).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return noted if isinstance(noted, dict) else {}

    def _present(self) -> set[str]:
        return {path.relative_to(self.folder).as_posix() for path in self._walk() if path.is_file()}

    def _walk(self) -> Iterator[Path]:
        for tracked in (self.folder / DATA).glob("*/"):
            yield tracked
            yield from tracked.rglob("*")

    def _remove_empty_folders(self) -> None:
        for path in sorted(self._walk(), key=lambda each: len(each.parts), reverse=True):
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()

    def _copy(self, objects: ObjectStore, wanted: Wanted, target: Path) -> str:
        key = Layout.object_key(wanted.asset, wanted.sha256)
        incoming = self.folder / INCOMING / PurePosixPath(key).name
        incoming.parent.mkdir(exist_ok=True)
        sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        with objects.local_path(key).open("rb") as source, incoming.open("wb") as copy:
            while chunk := source.read(_CHUNK):
                sha256.update(chunk)
                md5.update(chunk)
                copy.write(chunk)
        if sha256.hexdigest() != wanted.sha256:
            raise CorruptVersionError(
                "a stored object does not have the bytes that its name says",
                remedy="Move it away and run its partition again; then check the disk.",
                key=key,
                expected=wanted.sha256,
                got=sha256.hexdigest(),
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        incoming.replace(target)
        return md5.hexdigest()


def _state(path: Path) -> tuple[int, int, int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns, state.st_ino, state.st_ctime_ns
