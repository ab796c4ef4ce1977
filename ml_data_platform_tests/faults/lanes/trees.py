"""A folder kept in memory, with its hard links, to be written out as often as needed.

Belongs here: copying a small root as it is. Does not belong here: what a root holds.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Tree:
    """Folders and files below a folder.

    Attributes:
        folders: Relative paths, parents first.
        files: By relative path the number of its inode.
        contents: By inode the bytes and the permission bits.
    """

    folders: tuple[str, ...]
    files: dict[str, int]
    contents: dict[int, tuple[bytes, int]]

    @classmethod
    def read(cls, top: Path) -> Tree:
        """Read a folder."""
        folders, files, contents = [], {}, {}
        for folder, names, leaves in os.walk(top):
            inside = os.path.relpath(folder, top)
            folders += [os.path.normpath(os.path.join(inside, name)) for name in names]
            for leaf in leaves:
                path = Path(folder, leaf)
                state = path.lstat()
                files[os.path.normpath(os.path.join(inside, leaf))] = state.st_ino
                if state.st_ino not in contents:
                    contents[state.st_ino] = path.read_bytes(), state.st_mode & 0o777
        return cls(tuple(folders), files, contents)

    @property
    def shape(self) -> int:
        """A number that is the same for folders which differ in nothing but the numbers of their inodes."""
        places: dict[int, int] = {}
        files = tuple((name, places.setdefault(inode, len(places))) for name, inode in sorted(self.files.items()))
        return hash((tuple(sorted(self.folders)), files, tuple(self.contents[inode] for inode in places)))

    def write(self, top: Path) -> None:
        """Write it out as a new folder; what was one inode is one again."""
        top.mkdir()
        for folder in self.folders:
            (top / folder).mkdir()
        written: dict[int, Path] = {}
        for name, inode in self.files.items():
            if inode in written:
                os.link(written[inode], top / name)
                continue
            written[inode] = top / name
            data, mode = self.contents[inode]
            written[inode].write_bytes(data)
            written[inode].chmod(mode)
