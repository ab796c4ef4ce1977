"""A disk that remembers every write and flush in order, so that any moment of it can be had again.

Belongs here: a file served over FUSE to a loop device, and what a power cut at some moment leaves of it. Does not
belong here: file systems on the disk, or what is written to them.

The protocol is that of linux/fuse.h, with the few requests that one file of fixed size needs. What was written before
the last flush is kept; what was written after it is in the disk's own cache, of which a power cut leaves what it likes.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import random
import stat
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

DISK, TOLD = "disk", "told"
_ROOT_NODE, _NODES = 1, {DISK: 2, TOLD: 3}
_MAX_WRITE = 128 * 1024
_DATA_AT = 40
_IN, _OUT = struct.Struct("<IIQQIIII"), struct.Struct("<IiQ")
_LOOKUP, _FORGET, _GETATTR, _SETATTR, _OPEN, _READ, _WRITE, _STATFS = 1, 2, 3, 4, 14, 15, 16, 17
_RELEASE, _FSYNC, _FLUSH, _INIT, _OPENDIR, _RELEASEDIR, _ACCESS, _INTERRUPT = 18, 20, 25, 26, 27, 29, 34, 36
_DESTROY, _BATCH_FORGET = 38, 42
_WITHOUT_REPLY = frozenset({_FORGET, _BATCH_FORGET, _INTERRUPT})
_WITHOUT_ANSWER = frozenset({_RELEASE, _FLUSH, _RELEASEDIR, _ACCESS, _DESTROY})


@dataclass(frozen=True)
class Write:
    """Bytes that were written at an offset."""

    offset: int
    data: bytes


@dataclass(frozen=True)
class Flush:
    """The disk was told to keep all that was written so far."""


@dataclass(frozen=True)
class Told:
    """A process told that something is done."""

    text: str


class RecordedDisk:
    """A file system of two files over FUSE: the disk, and one to which processes tell what they have done.

    Args:
        folder: Where it is mounted.
        content: The disk's bytes at first; its size stays.
    """

    def __init__(self, folder: Path, content: bytes) -> None:
        self.folder = folder
        self.first = content
        self.happened: list[Write | Flush | Told] = []
        self._content = bytearray(content)
        self._handle = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self._handle},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()},allow_other"
        libc = ctypes.CDLL(None, use_errno=True)
        mounted = libc.mount(b"mdp-faults", os.fsencode(folder), b"fuse", 0, options.encode())
        if mounted:
            code = ctypes.get_errno()
            os.close(self._handle)
            raise OSError(code, f"FUSE cannot be mounted: {os.strerror(code)}")
        self._serving = threading.Thread(target=self._serve, daemon=True)
        self._serving.start()

    def close(self) -> None:
        """Unmount it."""
        subprocess.run(["umount", str(self.folder)], check=True, capture_output=True)
        self._serving.join(timeout=300)
        os.close(self._handle)

    def after_cut(self, end: int, chooser: random.Random | None) -> bytearray:
        """Return the disk after a power cut before event number ``end``.

        Args:
            end: How many of the events had happened.
            chooser: Chooses which writes since the last flush are kept; None for a disk without a cache, which keeps all.
        """
        content, happened = bytearray(self.first), self.happened[:end]
        flushed = max((place for place, event in enumerate(happened) if isinstance(event, Flush)), default=0)
        for place, event in enumerate(happened):
            if isinstance(event, Write) and (place < flushed or chooser is None or chooser.random() < 0.5):
                content[event.offset : event.offset + len(event.data)] = event.data
        return content

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                request = os.read(self._handle, _MAX_WRITE + 8_192)
                _, what, unique, node, *_ = _IN.unpack_from(request)
                if what in _WITHOUT_REPLY:
                    continue
                try:
                    answer, code = self._answer(what, node, request[_IN.size :]), 0
                except OSError as error:
                    answer, code = b"", error.errno
                os.write(self._handle, _OUT.pack(_OUT.size + len(answer), -code, unique) + answer)

    def _answer(self, what: int, node: int, body: bytes) -> bytes:
        if what in _WITHOUT_ANSWER:
            return b""
        if what not in _ANSWERS:
            raise OSError(errno.ENOSYS, "not needed")
        return _ANSWERS[what](self, node, body)

    def _look_up(self, _: int, body: bytes) -> bytes:
        node = _NODES.get(body.rstrip(b"\0").decode())
        if node is None:
            raise OSError(errno.ENOENT, "no such file")
        return struct.pack("<QQQQII", node, 0, 3_600, 3_600, 0, 0) + self._attributes(node)

    def _describe(self, node: int, _: bytes) -> bytes:
        return struct.pack("<QII", 3_600, 0, 0) + self._attributes(node)

    def _read(self, node: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        return bytes(self._content[offset : offset + size]) if node == _NODES[DISK] else b""

    def _flush(self, _: int, __: bytes) -> bytes:
        self.happened.append(Flush())
        return b""

    def _write(self, node: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        data = body[_DATA_AT : _DATA_AT + size]
        if node == _NODES[TOLD]:
            self.happened.append(Told(data.decode()))
        elif offset + size > len(self._content):
            raise OSError(errno.ENOSPC, "the disk ends here")
        else:
            self._content[offset : offset + size] = data
            self.happened.append(Write(offset, data))
        return struct.pack("<II", size, 0)

    def _attributes(self, node: int) -> bytes:
        size = len(self._content) if node == _NODES[DISK] else 0
        mode = stat.S_IFDIR | 0o755 if node == _ROOT_NODE else stat.S_IFREG | 0o600
        times = (0, 0, 0, 0, 0, 0)
        return struct.pack(
            "<QQQQQQIIIIIIIIII", node, size, -(-size // 512), *times, mode, 1, os.getuid(), os.getgid(), 0, 4_096, 0
        )


# 7.31: without the extensions of later versions
_BEGUN = struct.pack("<IIIIHHIIHHI28x", 7, 31, 65_536, 0, 16, 12, _MAX_WRITE, 1, 0, 0, 0)
_OPENED = struct.pack("<QII", 0, 0, 0)
_COUNTED = struct.pack("<QQQQQIIII24x", 1, 0, 0, 2, 0, 4_096, 255, 4_096, 0)
_ANSWERS: dict[int, Callable[[RecordedDisk, int, bytes], bytes]] = {
    _INIT: lambda *_: _BEGUN,
    _LOOKUP: RecordedDisk._look_up,
    _GETATTR: RecordedDisk._describe,
    _SETATTR: RecordedDisk._describe,
    _OPEN: lambda *_: _OPENED,
    _OPENDIR: lambda *_: _OPENED,
    _STATFS: lambda *_: _COUNTED,
    _READ: RecordedDisk._read,
    _WRITE: RecordedDisk._write,
    _FSYNC: RecordedDisk._flush,
}


@contextlib.contextmanager
def loop_device(file: Path) -> Iterator[str]:
    """Attach a loop device to a file for the time of a block; returns its path."""
    command = ["losetup", "--find", "--show", str(file)]
    device = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True, capture_output=True)


@contextlib.contextmanager
def mounted_ext4(device: str, folder: Path) -> Iterator[Path]:
    """Mount the ext4 on a device for the time of a block."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "ext4", device, str(folder)], check=True, capture_output=True, text=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True, capture_output=True)


def formatted(folder: Path, size: int) -> bytes:
    """Return the bytes of an empty ext4 of some size."""
    file = folder / "empty.ext4"
    with file.open("wb") as stream:
        stream.truncate(size)
    made = ["mkfs.ext4", "-q", "-F", "-b", "1024", "-J", "size=4", "-E", "lazy_itable_init=0,lazy_journal_init=0"]
    subprocess.run([*made, str(file)], check=True, capture_output=True)
    content = file.read_bytes()
    file.unlink()
    return content
