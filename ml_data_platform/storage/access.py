"""Who may read what lies under a root: its owner alone, or a group too.

Belongs here: permission bits. Does not belong here: keys, which are their owner's alone whatever a setting says (`keys`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

Access = Literal["owner", "group"]
_READ_AND_ENTER = stat.S_IRGRP | stat.S_IXGRP
_UMASKS: Mapping[Access, int] = MappingProxyType({"owner": 0o077, "group": 0o027})


def keep_private(access: Access) -> None:
    """Let all that this process and its children write from now on be readable as a root's setting says."""
    os.umask(_UMASKS[access])


def apply_access(root: Path, access: Access, *, but: Collection[Path] = (), is_dry_run: bool = False) -> int:
    """Give all that lies under a root the permission bits of its setting; links are left as they are.

    Args:
        root: The folder.
        access: Who may read it: its owner alone, or its group too; nobody but the owner may write.
        but: Folders that stay as they are, with all in them.
        is_dry_run: Only count.

    Returns:
        The number of files and folders that had, or have, other bits.
    """
    spared = {str(each) for each in but}
    changed = 0
    for top, folders, files in os.walk(root):
        folders[:] = [name for name in folders if f"{top}/{name}" not in spared]
        for path in [top, *(f"{top}/{name}" for name in files)]:
            changed += _apply(path, access, is_dry_run=is_dry_run)
    return changed


def _apply(path: str, access: Access, *, is_dry_run: bool) -> bool:
    try:
        state = os.lstat(path)
    except FileNotFoundError:
        return False
    wanted = _wanted(stat.S_IMODE(state.st_mode), access)
    if stat.S_ISLNK(state.st_mode) or wanted == stat.S_IMODE(state.st_mode):
        return False
    if not is_dry_run:
        os.chmod(path, wanted)  # noqa: PTH101 - by the text that was looked at
    return True


def _wanted(mode: int, access: Access) -> int:
    of_owner = mode & stat.S_IRWXU
    return (
        (mode & (stat.S_ISGID | stat.S_ISVTX))
        | of_owner
        | (of_owner >> 3 & _READ_AND_ENTER if access == "group" else 0)
    )
