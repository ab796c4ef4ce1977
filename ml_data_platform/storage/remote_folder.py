"""Files of a local folder or mounted share, found by a pattern.

Belongs here: walking below the folder without being led out of it. Does not belong here: what is done with a file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from ml_data_platform.errors import RemoteFileError, RemoteFileRefusedError
from ml_data_platform.events.pull_pattern import ANY_FOLDERS, PullPattern, is_wild, segment_regex
from ml_data_platform.storage.remote_files import (
    CHUNK_BYTES,
    RemoteFile,
    Write,
    changed,
    is_final_name,
    plain_name,
    unreachable,
)

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO that nobody writes to must not wait for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LocalFolder:
    """The folder that all days of a pattern share; below it no symbolic link is followed.

    Args:
        pattern: A local pattern.
        root: Folder that a relative path is taken from.
    """

    def __init__(self, pattern: PullPattern, root: Path) -> None:
        self.folder = Path(os.path.normpath(root / Path(pattern.base or ".").expanduser()))

    def find(self, segments: Sequence[str]) -> list[RemoteFile]:
        """Return the files that a path below the folder stands for, by name."""
        try:
            found = dict(self._walk((), tuple(segments)))
        except OSError as error:
            raise unreachable(str(self.folder.joinpath(*segments)), error.strerror or error) from error
        return [self._described(parts, found[parts]) for parts in sorted(found)]

    def look_again(self, file: RemoteFile) -> RemoteFile | None:
        """Return a file as it is now; None where it is gone."""
        parts = Path(file.location).relative_to(self.folder).parts
        try:
            return self._described(parts, os.lstat(file.location))
        except FileNotFoundError:
            return None

    def fetch(self, file: RemoteFile, write: Write) -> None:
        """Hand on a file's bytes."""
        handle, size = self._open(file), 0
        try:
            before = os.fstat(handle)
            if not stat.S_ISREG(before.st_mode):
                raise RemoteFileRefusedError("it is no regular file", file=file.location)
            while data := _read(handle, file):
                write(data)
                size += len(data)
            after = os.fstat(handle)
        finally:
            os.close(handle)
        now = _version(after)
        if not file.version == _version(before) == now or size != after.st_size:
            raise changed(file, now)

    def _walk(
        self, parents: tuple[str, ...], segments: tuple[str, ...]
    ) -> Iterator[tuple[tuple[str, ...], os.stat_result]]:
        segment, rest = segments[0], segments[1:]
        if segment == ANY_FOLDERS:
            yield from self._walk(parents, rest)
            for name, state in self._entries(parents, "*"):
                if stat.S_ISDIR(state.st_mode):
                    yield from self._walk((*parents, name), segments)
            return
        for name, state in self._entries(parents, segment):
            if rest and stat.S_ISDIR(state.st_mode):
                yield from self._walk((*parents, name), rest)
            elif not rest and not stat.S_ISDIR(state.st_mode):
                yield (*parents, name), state

    def _entries(self, parents: tuple[str, ...], segment: str) -> Iterator[tuple[str, os.stat_result]]:
        """Return the entries of a folder that a segment names; their states are those of links themselves."""
        folder = self.folder.joinpath(*parents)
        if not is_wild(segment):
            try:
                yield segment, os.lstat(folder / segment)
            except (FileNotFoundError, NotADirectoryError):
                return
            return
        matching = segment_regex(segment)
        try:
            with os.scandir(folder) as entries:
                names = [entry.name for entry in entries if matching.fullmatch(entry.name)]
        except (FileNotFoundError, NotADirectoryError):
            return
        for name in names:
            if is_final_name(name):
                try:
                    yield name, os.lstat(folder / name)
                except FileNotFoundError:
                    continue  # taken away since the folder was read

    def _described(self, parts: Sequence[str], state: os.stat_result) -> RemoteFile:
        location = str(self.folder.joinpath(*parts))
        return RemoteFile(location, plain_name("/".join(parts)), state.st_size, _version(state), state.st_mtime_ns)

    def _open(self, file: RemoteFile) -> int:
        """Open a file folder by folder, so that none of them can be replaced by a link in between."""
        parts = Path(file.location).relative_to(self.folder).parts
        handle = -1
        try:
            handle = os.open(self.folder, _FOLDER)
            for at, part in enumerate(parts):
                flags = _FILE if at == len(parts) - 1 else _FOLDER | os.O_NOFOLLOW
                inner = os.open(part, flags, dir_fd=handle)
                os.close(handle)
                handle = inner
        except OSError as error:
            if handle >= 0:
                os.close(handle)
            if Path(file.location).is_symlink():
                raise RemoteFileRefusedError(
                    "it is a symbolic link, which is not followed", file=file.location
                ) from error
            raise RemoteFileError(f"it cannot be read: {error.strerror}", file=file.location) from error
        return handle


def _read(handle: int, file: RemoteFile) -> bytes:
    try:
        return os.read(handle, CHUNK_BYTES)
    except OSError as error:
        raise unreachable(file.location, error.strerror) from error


def _version(state: os.stat_result) -> str:
    return f"size:{state.st_size};time:{state.st_mtime_ns}"
