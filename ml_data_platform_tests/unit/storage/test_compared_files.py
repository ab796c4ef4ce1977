"""Bytes are hashed once per state of a file and machine, and nothing that is remembered is believed unproven."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from ml_data_platform.errors import DamagedObjectError, StorageKeyError
from ml_data_platform.storage import compared_files
from ml_data_platform.storage.compared_files import ComparedFiles
from ml_data_platform.storage.local_objects import LocalObjectStore

CONTENT = b"rows of a day" * 1_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def later() -> float:
    """Return an instant at which a file that was written just now lies still."""
    return time.time() + 60


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose bytes were read, in order."""
    paths: list[Path] = []
    hashed = compared_files.file_sha256
    monkeypatch.setattr(compared_files, "file_sha256", lambda path: paths.append(path) or hashed(path))
    return paths


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file."""
    path = tmp_path / "object"
    path.write_bytes(CONTENT)
    return path


def test_a_file_is_read_once_by_all_processes_of_a_machine(tmp_path: Path, path: Path, read: list[Path]) -> None:
    """A second store, as in a new process, knows what the first has read."""
    for _ in range(3):
        compared = ComparedFiles(tmp_path / "kept", later)
        assert [compared.sha256(path) for _ in range(2)] == [SHA256] * 2
    assert read == [path]


def test_any_change_is_another_state_also_where_times_are_put_back(tmp_path: Path, path: Path) -> None:
    """In place with the old time, by another file in its place, and by a copy of the root."""
    compared = ComparedFiles(tmp_path / "kept", later)
    assert compared.sha256(path) == SHA256
    state = path.stat()
    changed = CONTENT[:-1] + b"?"
    path.write_bytes(changed)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert compared.sha256(path) == hashlib.sha256(changed).hexdigest()
    other = tmp_path / "other"
    other.write_bytes(CONTENT)
    os.utime(other, ns=(state.st_atime_ns, state.st_mtime_ns))
    other.replace(path)
    assert compared.sha256(path) == SHA256


def test_a_file_that_changed_just_now_is_not_remembered(tmp_path: Path, path: Path, read: list[Path]) -> None:
    """Its next change may bear the same time: within two seconds every use reads it again, also of a clock ahead."""
    for clock in (time.time, lambda: time.time() - 3_600):
        compared = ComparedFiles(tmp_path / "kept", clock)
        read.clear()
        assert [compared.sha256(path) for _ in range(3)] == [SHA256] * 3
        assert len(read) == 3
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace(SHA256[:8], "0" * 8),
        lambda text: text[:-20],
        lambda text: "\x00\xff" * 9 + text[9:],
        lambda text: text[:-2] + ("0" if text[-2] != "0" else "1") + "\n",
        lambda _: "",
    ],
)
def test_an_entry_that_does_not_prove_itself_counts_as_none(
    tmp_path: Path, path: Path, read: list[Path], damage
) -> None:
    """Altered, torn or lost: the file is read again, and the answer is right."""
    compared = ComparedFiles(tmp_path / "kept", later)
    compared.sha256(path)
    compared.path.write_text(damage(compared.path.read_text("ascii")), encoding="latin-1")
    assert ComparedFiles(tmp_path / "kept", later).sha256(path) == SHA256
    assert len(read) == 2


def test_what_another_machine_wrote_counts_as_none(tmp_path: Path, path: Path, read: list[Path]) -> None:
    """Its numbers may mean another file; also where its notes are given the name of ours."""
    theirs, ours = (ComparedFiles(tmp_path / "kept", later, machine) for machine in ("theirs", "ours"))
    theirs.sha256(path)
    theirs.path.rename(ours.path)
    assert ours.sha256(path) == SHA256
    assert len(read) == 2


def test_where_nothing_can_be_written_the_process_remembers(tmp_path: Path, path: Path, read: list[Path]) -> None:
    """A root that may only be read is no error."""
    (tmp_path / "file").touch()
    compared = ComparedFiles(tmp_path / "file", later)
    assert [compared.sha256(path) for _ in range(3)] == [SHA256] * 3
    assert len(read) == 1


def test_what_is_remembered_stays_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: list[Path]) -> None:
    """The older half goes; the newer one is still known, and notes of machines that are long gone are removed."""
    monkeypatch.setattr(compared_files, "MAX_BYTES", 2_000)
    (tmp_path / "kept").mkdir()
    old = tmp_path / "kept" / "old.txt"
    old.touch()
    os.utime(old, (0, 0))
    compared = ComparedFiles(tmp_path / "kept", later)
    files = [tmp_path / str(number) for number in range(60)]
    for file in files:
        file.write_bytes(CONTENT)
        compared.sha256(file)
        assert compared.path.stat().st_size <= 2_200
    assert list((tmp_path / "kept").iterdir()) == [compared.path]
    read.clear()
    assert ComparedFiles(tmp_path / "kept", later).sha256(files[-1]) == SHA256
    assert read == []


def test_a_store_gives_no_path_to_other_bytes(tmp_path: Path) -> None:
    """Missing, altered, and no immutable object's key: each is refused, and the message says what to do."""
    objects = LocalObjectStore(tmp_path / "root")
    key = f"_store/raw_events/objects/{SHA256[:2]}/{SHA256}.parquet"
    with pytest.raises(DamagedObjectError, match=r"is missing.*verify --repair"):
        objects.local_path(key)
    objects.put_if_absent(key, CONTENT)
    assert objects.local_path(key).read_bytes() == CONTENT
    assert objects.is_whole(key)
    path = objects.local_path(key)
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(b"R")
    with pytest.raises(DamagedObjectError) as refused:
        objects.local_path(key)
    got = hashlib.sha256(b"R" + CONTENT[1:]).hexdigest()
    assert refused.value.facts.items() >= {"asset": "raw_events", "expected": SHA256, "got": got}.items()
    assert "ml-data-platform verify --repair" in str(refused.value)
    assert not objects.is_whole(key)
    with pytest.raises(DamagedObjectError):
        objects.project(key, "data/raw_events/dt=2026-03-04/data.parquet")
    with pytest.raises(StorageKeyError):
        objects.local_path("ledger/demo_shop/notes.json")
