"""Where stored bytes lie, by what they are, and turning one bit of them over.

Belongs here: finding files and changing them. Does not belong here: what follows from it (``consumers``, ``lane``).
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OUTSIDE_OF_TABLES = ("landed_files", "undated_rows", "too_late_rows")


def places(root: Path) -> dict[str, list[Path]]:
    """Return the files of a root by what they are, each in order; what no record names, such as locks, is left out."""
    store, ledger, versions = root / "_store", root / "ledger", root / "versions"
    objects = sorted(store.glob("*/objects/*/*.parquet"))
    own = [path for path in ledger.rglob("*.json") if not path.relative_to(ledger).parts[0].startswith("_")]
    found = {
        "object": [path for path in objects if path.parts[-4] not in OUTSIDE_OF_TABLES],
        "fragment": [path for path in objects if path.parts[-4] in OUTSIDE_OF_TABLES],
        "raw": [path for path in (root / "raw").iterdir() if path.is_file()],
        "ledger": [path for path in own if not path.parent.name.endswith(".names")],
        "name": [path for path in own if path.parent.name.endswith(".names")],
        "decision": [*(ledger / "_decisions").rglob("*.json")],
        "log": [*store.glob("*/log/*/*.json")],
        "snapshot": [*(store / "snapshots").glob("*.json")],
        "key": [*(root / "secrets").glob("*.key")],
        "binding": [path for path in (*store.glob("*.json"), *store.glob("key_ids/*/*")) if path.is_file()],
        "git": [path for path in (versions / ".git" / "objects").rglob("*") if path.is_file()],
        "cached": [path for path in (versions / ".dvc" / "cache" / "files").rglob("*") if path.is_file()],
        "model": [path for path in (root / "models").glob("*/*") if path.suffix in {".skops", ".json"}],
    }
    return {kind: sorted(path for path in paths if path.stat().st_size) for kind, paths in found.items() if paths}


def flip(path: Path, bit: int) -> None:
    """Turn one bit of a file over, in its place, and put its times back: all names of it show it, as on a failing disk."""
    state = path.stat()
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ (1 << bit % 8)]))
        file.flush()
        os.fsync(file.fileno())
    path.chmod(state.st_mode & 0o777)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@contextmanager
def flipped(path: Path, bit: int) -> Iterator[None]:
    """Turn a bit over for the time of the block."""
    flip(path, bit)
    try:
        yield
    finally:
        flip(path, bit)


def any_bit(path: Path, chance: random.Random) -> int:
    """Return a bit of a file, each as likely as any other."""
    return chance.randrange(path.stat().st_size * 8)
