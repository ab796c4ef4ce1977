"""Files whose bytes were hashed and compared with their name: once per state of the file and machine.

Belongs here: remembering which hash the bytes of a file had in which state, and the one comparison that everything that is
built upon passes. Does not belong here: finding files (``local_objects``, ``object_cache``), and ``verify``, which reads
every byte again and asks nobody.

A state is device, inode, size, and the times of the last change of bytes and inode, in nanoseconds. Whoever writes to a
file moves the last of them, also where the others are put back. It moves in steps, though: a file that changed less than
two seconds before it was hashed could change again unseen, so its hash is not remembered.

What is remembered is kept between processes, in a file per boot of the machine: a line per state, appended by one call.
Each line proves itself: one that was torn, altered or written on another machine counts as none. Where nothing can be
written, as in a root that may only be read, it is remembered by the process alone.
"""

from __future__ import annotations

import hashlib
import os
import platform
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from ml_data_platform.errors import DamagedObjectError, VerificationError
from ml_data_platform.storage.durability import file_sha256

REMEDY = (
    "Run `ml-data-platform verify --repair`, which restores it or has it built again, then `ml-data-platform backfill`."
)
UNSETTLED_SECONDS = 2.0
"""Age below which a change may bear the time of a later one: the coarsest clock of a file system in use (FAT)."""
MAX_BYTES = 16 << 20
"""Size beyond which the older half of what is remembered is dropped: about 120,000 states."""
UNUSED_AFTER_SECONDS = 30 * 86_400.0
_PROOF_DIGITS = 16
_HASH_DIGITS = 64


def names_its_bytes(key: str, sha256: str) -> bool:
    """Tell whether bytes with a hash are those that the last part of a key names: the hash, and any suffix."""
    return key.rpartition("/")[2].partition(".")[0] == sha256


def require_own_bytes(key: str, sha256: str, where: object) -> None:
    """Refuse bytes that are not those that their key names.

    Args:
        key: Of an immutable object.
        sha256: Hash of the bytes that were read, hex.
        where: The file or address that they were read from.

    Raises:
        DamagedObjectError: They are other bytes.
    """
    if not names_its_bytes(key, sha256):
        raise DamagedObjectError(
            f"The stored file {key} has other bytes than its name says: it was changed, or the disk failed.",
            remedy=REMEDY,
            asset=asset_of(key),
            key=key,
            file=where,
            expected=key.rpartition("/")[2].partition(".")[0],
            got=sha256,
        )


def missing_object(key: str, where: object) -> DamagedObjectError:
    """Return the error that an object is not there."""
    what = f"The stored file {key} is missing."
    return DamagedObjectError(what, remedy=REMEDY, asset=asset_of(key), key=key, file=where)


def is_taken(path: Path) -> bool:
    """Tell whether something lies where a file is to be stored.

    Raises:
        VerificationError: It is a folder.
    """
    if path.is_dir():
        what = "A folder lies where the platform keeps a file."
        raise VerificationError(what, file=path, remedy="Move it out of the root, and run this again.")
    return os.path.lexists(path)


def asset_of(key: str) -> str | None:
    """Return the asset that an object belongs to; None for landed bytes, which belong to none."""
    parts = key.split("/")
    return parts[1] if len(parts) > 2 and parts[0] == "_store" else None


class ComparedFiles:
    """Hashes of files by their state.

    Args:
        folder: Where they are kept between processes; it need not exist.
        now: Returns seconds since 1970.
        machine: What a state holds on, until it boots again.
    """

    def __init__(self, folder: Path, now: Callable[[], float] = time.time, machine: str | None = None) -> None:
        self.machine = this_machine() if machine is None else machine
        self.path = folder / f"{_digest(self.machine)}.txt"
        self._now = now
        self._lock = threading.Lock()
        self._states: dict[str, str] | None = None

    def sha256(self, path: Path) -> str:
        """Return the SHA-256 of a file's bytes, hex; they are read where its present state was not hashed before.

        Raises:
            FileNotFoundError: There is no such file.
        """
        began = self._now()
        before = path.stat()
        state = _state(before)
        known = self._find(state)
        if known is not None:
            return known
        sha256 = file_sha256(path)
        is_settled = began - max(before.st_mtime, before.st_ctime) > UNSETTLED_SECONDS
        if is_settled and _state(path.stat()) == state:
            self._remember(state, sha256)
        return sha256

    def _find(self, state: str) -> str | None:
        with self._lock:
            if self._states is None:
                self._states = self._read()
            found = self._states.get(state)
        if found is None:
            return None
        sha256, _, proof = found.partition(" ")
        return sha256 if proof == self._proof(state, sha256) else None

    def _read(self) -> dict[str, str]:
        try:
            text = self.path.read_text(encoding="ascii", errors="replace")
        except OSError:
            return {}
        # A line: five numbers, the hash, the proof. It is looked at only when its state is asked for.
        tail = _HASH_DIGITS + _PROOF_DIGITS + 2
        return {line[:-tail]: line[1 - tail :] for line in text.splitlines()}

    def _remember(self, state: str, sha256: str) -> None:
        line = f"{state} {sha256} {self._proof(state, sha256)}\n"
        with self._lock:
            if self._states is None:
                self._states = {}
            self._states[state] = line[len(state) + 1 : -1]
            with suppress(OSError):
                if self._append(line) > MAX_BYTES:
                    self._halve()

    def _append(self, line: str) -> int:
        is_new = not self.path.exists()
        if is_new:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            os.write(handle, line.encode("ascii"))
            size = os.fstat(handle).st_size
        finally:
            os.close(handle)
        if is_new:
            self._drop_unused()
        return size

    def _halve(self) -> None:
        """Keep the newer half; what others append meanwhile is lost, and hashed again."""
        lines = self.path.read_bytes().splitlines(keepends=True)
        kept = self.path.with_suffix(f".{os.getpid()}.new")
        kept.write_bytes(b"".join(lines[len(lines) // 2 :]))
        kept.replace(self.path)
        self._states = self._read()

    def _drop_unused(self) -> None:
        """Remove what earlier boots, and other machines long ago, have left."""
        for other in self.path.parent.iterdir():
            if self._now() - other.stat().st_mtime > UNUSED_AFTER_SECONDS:
                other.unlink(missing_ok=True)

    def _proof(self, state: str, sha256: str) -> str:
        return _digest(f"{self.machine} {state} {sha256}")


@lru_cache(maxsize=1)
def this_machine() -> str:
    """Return what names this boot of this machine: after a power cut nothing is remembered."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return platform.node()


def _state(stat: os.stat_result) -> str:
    return f"{stat.st_dev} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_PROOF_DIGITS]
