"""What DVC's own files say of a version: configuration, files that track folders, listings of folders.

Belongs here: their texts, which follow from a manifest and a remote. Does not belong here: using DVC (``dvc_files``).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from ml_data_platform.datasets.manifest import Tracked


def tracking_text(folder: Tracked) -> str:
    """Return the text of the file by which DVC tracks a folder of a version."""
    size = sum(file.size_bytes for file in folder.files)
    return (
        f"outs:\n- md5: {folder.dir_md5}.dir\n  size: {size}\n  nfiles: {len(folder.files)}\n  hash: md5\n"
        f"  path: {folder.name}\n"
    )


def listing_md5(md5s: Mapping[str, str]) -> str:
    """Return the MD5 of DVC's listing of a folder.

    Args:
        md5s: Path within the folder to MD5 of the file.

    Source: DVC user guide, "Structure of the cache directory": a JSON list of objects with md5 and relpath, by path.
    """
    return hashlib.md5(listing_text(md5s), usedforsecurity=False).hexdigest()


def listing_text(md5s: Mapping[str, str]) -> bytes:
    """Return DVC's listing of a folder, see `listing_md5`."""
    entries = [{"md5": md5, "relpath": path} for path, md5 in sorted(md5s.items())]
    return json.dumps(entries, sort_keys=True).encode()


def url_for_all(url: str, folder: Path) -> str | None:
    """Return the address of a remote as every clone may know it; none where it is a place of this machine alone.

    Args:
        url: The remote's; that of a folder is absolute.
        folder: The work tree.

    Returns:
        Of a folder beside the work tree the way from DVC's folder, where DVC looks for it.
    """
    scheme, separator, _ = url.partition("://")
    if separator:
        return None if scheme == "file" else url
    place = Path(url).resolve()
    is_beside = place.is_relative_to(folder.parent.resolve())
    return os.path.relpath(place, folder.resolve() / ".dvc") if is_beside else None


def config_text(sections: Mapping[str, Mapping[str, str]]) -> str:
    """Return the text of a file of configuration.

    Args:
        sections: Name to options.
    """
    from configobj import ConfigObj

    config = ConfigObj({name: dict(values) for name, values in sections.items()}, interpolation=False)
    return "\n".join(config.write()) + "\n"


def write_if_changed(path: Path, text: str, *, mode: int | None = None) -> None:
    """Write a file whole or not at all, and only where it says another thing."""
    if path.is_file() and path.read_bytes() == text.encode():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f"{path.name}.new")
    written.write_text(text, encoding="utf-8")
    if mode is not None:
        written.chmod(mode)
    written.replace(path)
