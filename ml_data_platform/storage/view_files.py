"""Files of the view as links to objects; as copies where there are no links, or none left.

Belongs here: making such a file, and knowing one again without reading it. Does not belong here: putting it in its
place, flushing its folder (`local_objects`).
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from ml_data_platform.storage.durability import file_sha256, sync_file
from ml_data_platform.storage.object_store import READ_ONLY, Version

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV})


class ViewFiles:
    """What one process knows of the view's files."""

    def __init__(self) -> None:
        # By file that is no link: the object whose bytes it has, and the states in which they were compared.
        self._copies: dict[Path, tuple[Path, Version, Version]] = {}

    def is_shown(self, source: Path, target: Path) -> bool:
        """Tell, without reading bytes, whether a file of the view is the object itself, or a copy that was compared."""
        try:
            one, other = source.stat(), target.stat()
        except FileNotFoundError:
            return False
        known = self._copies.get(target)
        return os.path.samestat(one, other) or known == (source, file_version(one), file_version(other))

    def make(self, source: Path, temp: Path, target: Path, *, links_work: bool) -> bool:
        """Make ``temp``, to replace ``target``, of an object; False where that has its bytes already."""
        if links_work:
            try:
                os.link(source, temp)
            except OSError as error:
                # An object that very many days share (an empty one) can run out of links.
                if error.errno != errno.EMLINK:
                    raise
            else:
                return True
        original = file_version(source.stat())
        with suppress(FileNotFoundError):
            # Looked at before it is read: another may take its place meanwhile.
            shown = file_version(target.stat())
            if file_sha256(target) == file_sha256(source):
                self._copies[target] = source, original, shown
                return False
        shutil.copyfile(source, temp)
        temp.chmod(READ_ONLY)
        sync_file(temp)
        self._copies[target] = source, original, file_version(temp.stat())
        return True


def file_version(state: os.stat_result) -> Version:
    """Return what changes when a file's bytes do."""
    return state.st_ino, state.st_size, state.st_mtime_ns


def links_work_in(folder: Path) -> bool:
    """Tell whether the file system of a private folder knows hard links, by trying."""
    probe = folder / "probe"
    probe.touch()
    try:
        os.link(probe, folder / "probe_link")
    except OSError as error:
        if error.errno in _NO_LINKS:
            return False
        raise
    return True
