"""Files of local folders and mounted shares, found by a pattern: once, whole, and never from outside of the folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ml_data_platform.storage import remote_folder
from ml_data_platform_tests.pipeline_root import NOW, PipelineRoot, day
from ml_data_platform_tests.pull_root import landed_rows, offer, outcomes, pull, root_pulling


@pytest.fixture
def root(tmp_path: Path) -> PipelineRoot:
    """A root that pulls from a folder beside it."""
    return root_pulling(tmp_path, f"{tmp_path}/exports/dt={{date}}/*.jsonl")


def put(root: PipelineRoot, path: str, content: bytes, *, age: float = 60) -> Path:
    """Write a file of the producer, last changed some seconds before the root's clock."""
    target = root.folder.parent / "exports" / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    os.utime(target, (NOW.timestamp() - age,) * 2)
    return target


def test_files_of_a_day_land_once(root: PipelineRoot) -> None:
    """A second pull reads nothing; a file of another size or time is read again, alone."""
    put(root, f"dt={day(1)}/a.jsonl", offer(day(1), 5, "a").content)
    put(root, f"dt={day(1)}/b.jsonl", offer(day(1), 6, "b").content)
    put(root, f"dt={day(1)}/_b.jsonl", offer(day(1), 50, "c").content)
    put(root, f"dt={day(1)}/b.jsonl.part", offer(day(1), 50, "c").content)
    put(root, f"dt={day(1)}/.b.jsonl", offer(day(1), 50, "c").content)
    names = [f"dt={day(1)}/{name}.jsonl" for name in "ab"]
    assert outcomes(pull(root)) == dict.fromkeys(names, "landed")
    assert outcomes(pull(root)) == dict.fromkeys(names, "unchanged")
    put(root, names[1], offer(day(1), 6, "x").content, age=30)
    assert outcomes(pull(root)) == {names[0]: "unchanged", names[1]: "landed"}
    assert landed_rows(root) == {str(day(1)): 17}


def test_a_file_that_may_still_be_written_waits(root: PipelineRoot) -> None:
    """It is named, and taken in once it stood still."""
    put(root, f"dt={day(1)}/a.jsonl", offer(day(1), 5, "a").content, age=1)
    report = pull(root)
    assert set(outcomes(report).values()) == {"unsettled"}
    assert not report.days[0].is_empty
    assert not report.days[0].is_settled
    later = root.at(NOW.replace(minute=1))
    assert set(outcomes(pull(later)).values()) == {"landed"}


def test_links_lead_nowhere(root: PipelineRoot) -> None:
    """A link to a file is refused by name, a link to a folder is not entered, whichever segment it stands for."""
    secret = put(root, "../outside/secret.jsonl", offer(day(1), 5, "secret").content)
    good = put(root, f"dt={day(1)}/good.jsonl", offer(day(1), 2, "good").content)
    (good.parent / "link.jsonl").symlink_to(secret)
    (good.parent.parent / f"dt={day(2)}").symlink_to(secret.parent)
    fifo = good.parent / "fifo.jsonl"
    os.mkfifo(fifo)
    os.utime(fifo, (NOW.timestamp() - 60,) * 2)
    os.utime(good.parent / "link.jsonl", (NOW.timestamp() - 60,) * 2, follow_symlinks=False)
    report = pull(root)
    assert outcomes(report) == {
        f"dt={day(1)}/fifo.jsonl": "failed",
        f"dt={day(1)}/good.jsonl": "landed",
        f"dt={day(1)}/link.jsonl": "failed",
    }
    assert "no regular file" in report.refused[0]
    assert "symbolic link, which is not followed" in report.refused[1]
    assert landed_rows(root) == {str(day(1)): 2}


def test_a_folder_that_becomes_a_link_between_look_and_read_leads_nowhere(
    root: PipelineRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each folder on the way is opened without following links, so nothing can be swapped in."""
    good = put(root, f"dt={day(1)}/a.jsonl", offer(day(1), 2, "good").content)
    outside = put(root, "../outside/a.jsonl", offer(day(1), 2, "evil").content)
    fetch = remote_folder.LocalFolder.fetch

    def swapped(*arguments: object) -> None:
        if not good.parent.is_symlink():
            good.parent.rename(good.parent.with_name("moved"))
            good.parent.symlink_to(outside.parent)
        fetch(*arguments)

    monkeypatch.setattr(remote_folder.LocalFolder, "fetch", swapped)
    report = pull(root)
    assert set(outcomes(report).values()) == {"failed"}
    assert landed_rows(root) == {}


def test_a_file_that_changes_while_it_is_read_is_read_again(
    root: PipelineRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy that lands is one content, the newer."""
    new = offer(day(1), 3, "new").content
    path = put(root, f"dt={day(1)}/a.jsonl", offer(day(1), 3, "old").content)
    read = remote_folder._read

    def changing(*arguments: object) -> bytes:
        data = read(*arguments)
        if path.read_bytes() != new:
            put(root, f"dt={day(1)}/a.jsonl", new, age=30)
        return data

    monkeypatch.setattr(remote_folder, "_read", changing)
    assert set(outcomes(pull(root)).values()) == {"landed"}
    assert [each.read_bytes() for each in (root.folder / "raw").iterdir()] == [new]


def test_a_relative_path_is_taken_from_the_root(tmp_path: Path) -> None:
    """Wherever the command is called: the address that is shown says where that is."""
    root = root_pulling(tmp_path, "drops/exports/dt={date}/a.jsonl")
    put(root, f"../{root.folder.name}/drops/exports/dt={day(1)}/a.jsonl", offer(day(1), 4, "a").content)
    report = pull(root)
    assert landed_rows(root) == {str(day(1)): 4}
    assert report.days[1].address == str(root.folder / f"drops/exports/dt={day(2)}/a.jsonl")
