"""A corrected file under the same address: kept beside the old one, or in its place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_data_platform.stages import pulled_changes, pulling
from ml_data_platform.stages.state import current_records
from ml_data_platform_tests.file_server import FileServer, serving
from ml_data_platform_tests.pipeline_root import PipelineRoot, day
from ml_data_platform_tests.pull_root import SOURCE, offer, outcomes, pull, root_pulling

OLD, NEW = offer(day(1), 5, "old"), offer(day(1), 7, "new")


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A web server."""
    with serving() as running:
        yield running


def replacing(tmp_path: Path, server: FileServer, section: str = "  on_change: replace\n") -> PipelineRoot:
    """Return a root where corrected files take the place of old ones."""
    return root_pulling(tmp_path, f"{server.url}/{{date}}.jsonl", section=section)


def counting(root: PipelineRoot) -> dict[str, int]:
    """Return the rows of the contents that count, by the beginning of their hash."""
    return {record.sha256: record.rows for record in current_records(root.platform) if record.source == SOURCE}


def sha256(content: bytes) -> str:
    """Return a hash, hex."""
    return hashlib.sha256(content).hexdigest()


def offer_and_pull(root: PipelineRoot, server: FileServer, content: bytes) -> list[tuple[str, ...]]:
    """Put a content under the first day's address, pull, and return what it replaced."""
    server.files[f"/{day(1)}.jsonl"] = content
    return [file.replaced for file in pull(root).files]


def test_by_default_both_contents_count(tmp_path: Path, server: FileServer) -> None:
    """Nothing is lost without being asked for."""
    root = replacing(tmp_path, server, section="")
    assert offer_and_pull(root, server, OLD.content) == [()]
    assert offer_and_pull(root, server, NEW.content) == [()]
    assert sorted(counting(root).values()) == [5, 7]


def test_a_corrected_file_takes_the_place_of_the_old_one(tmp_path: Path, server: FileServer) -> None:
    """Also back again: what counts is what lies there now; all bytes are kept."""
    root = replacing(tmp_path, server)
    assert offer_and_pull(root, server, OLD.content) == [()]
    assert offer_and_pull(root, server, NEW.content) == [(sha256(OLD.content),)]
    assert counting(root) == {sha256(NEW.content): 7}
    assert offer_and_pull(root, server, OLD.content) == [(sha256(NEW.content),)]
    assert counting(root) == {sha256(OLD.content): 5}
    assert outcomes(pull(root)) == {f"{day(1)}.jsonl": "unchanged"}
    assert counting(root) == {sha256(OLD.content): 5}
    assert {path.name for path in (root.folder / "raw").iterdir()} == {sha256(OLD.content), sha256(NEW.content)}


def test_a_file_that_an_older_contract_had_read_is_replaced_too(tmp_path: Path, server: FileServer) -> None:
    """Whether it was read again by then or not."""
    offer_and_pull(replacing(tmp_path, server), server, OLD.content)
    root = replacing(tmp_path, server, "  on_change: replace\nevent_time: {zone: Asia/Tokyo}\n")
    assert offer_and_pull(root, server, NEW.content) == [(sha256(OLD.content),)]
    assert counting(root) == {sha256(NEW.content): 7}


def test_a_broken_correction_replaces_nothing(tmp_path: Path, server: FileServer) -> None:
    """A content without rows, or one that cannot be read, leaves what counted."""
    root = replacing(tmp_path, server)
    offer_and_pull(root, server, OLD.content)
    assert offer_and_pull(root, server, b"") == [()]
    assert offer_and_pull(root, server, b"\x1f\x8b broken gzip") == [()]
    assert offer_and_pull(root, server, OLD.content[:9]) == [()]
    assert counting(root)[sha256(OLD.content)] == 5
    assert sum(counting(root).values()) == 5 + 1
    ((first, *_),) = offer_and_pull(root, server, NEW.content)
    assert first == sha256(OLD.content)
    assert counting(root) == {sha256(NEW.content): 7}


def test_what_lies_under_another_name_too_stays(tmp_path: Path, server: FileServer) -> None:
    """The old content is not taken from the day that still has it."""
    root = replacing(tmp_path, server)
    server.files[f"/{day(2)}.jsonl"] = OLD.content
    offer_and_pull(root, server, OLD.content)
    offer_and_pull(root, server, NEW.content)
    assert sorted(counting(root).values()) == [5, 7]


@pytest.mark.parametrize("moment", ["before landing", "before retracting", "before noting"])
def test_a_pull_that_dies_within_a_correction_is_made_good(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """At whatever moment, and though the file changes once more before the next pull: in the end only that counts."""
    root = replacing(tmp_path, server)
    offer_and_pull(root, server, OLD.content)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if moment == "before landing":
            patch.setattr(pulling, "land_file", die)
        elif moment == "before retracting":
            patch.setattr(pulled_changes, "replace_landed", die)
        else:
            patch.setattr(type(root.platform.ledger), "forget_failures", die)
        with pytest.raises(KeyboardInterrupt):
            offer_and_pull(root, server, NEW.content)
    newest = offer(day(1), 11, "newest").content
    offer_and_pull(root, server, newest)
    assert counting(root) == {sha256(newest): 11}
