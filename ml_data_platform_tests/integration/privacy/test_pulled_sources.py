"""A source with personal data that is pulled: what is fetched is masked before any of it is written."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_data_platform.stages import pulling
from ml_data_platform.stages.pulling import pull_days
from ml_data_platform.storage import passing_copies
from ml_data_platform_tests.byte_scan import Needles, scan
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.file_server import FileServer, serving
from ml_data_platform_tests.pipeline_root import PipelineRoot, settings_for
from ml_data_platform_tests.planted_canaries import (
    ADDRESS_STEM,
    DAY,
    PHONE_STEM,
    STEM,
    contract_text,
    write_files,
)

SOURCES = ("canary_csv", "canary_jsonl", "canary_parquet")
ROWS = {"canary_csv": 24, "canary_jsonl": 26, "canary_parquet": 16}
"""Rows of the plain and the zipped file together; the third file is refused."""


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A web server."""
    with serving() as running:
        yield running


def test_no_byte_of_a_pulled_file_is_kept_in_clear(tmp_path: Path) -> None:
    """Plain and gzipped CSV, JSON lines and Parquet: every row arrives, no canary is in root, instance or output."""
    cli, canaries, printed = CommandLine(tmp_path), dict[str, str](), list[str]()
    cli.ok("init", "--root", "root")
    (tmp_path / "root" / "sources").mkdir(exist_ok=True)
    for source in SOURCES:
        canaries.update(write_files(tmp_path / "sent" / source / DAY, source))
        for path in (tmp_path / "sent" / source / DAY).iterdir():
            os.utime(path, (0, 0))
        url = f"pull: {{url: '../sent/{source}/{{date}}/*.data'}}\n"
        (tmp_path / "root" / "sources" / f"{source}.yaml").write_text(contract_text(source) + url)
        call = ("land", "--source", source, "--from", DAY, "--to", DAY, "--json", "--root", "root")
        printed += [repr(cli(*call)), repr(cli(*call))]
    printed.append(repr(cli("status", "--json", "--root", "root")))
    needles = Needles((STEM, PHONE_STEM, ADDRESS_STEM), canaries.values())
    assert scan(tmp_path / "root", needles) == {}
    assert needles.found_in("\n".join(printed).encode("utf-8", "surrogatepass")) == set()
    platform = PipelineRoot(settings_for(tmp_path / "root")).platform
    counted = dict.fromkeys(SOURCES, 0)
    for record in platform.ledger.records():
        counted[record.source] += record.rows
    assert counted == ROWS


def pulled_root(tmp_path: Path, server: FileServer, section: str = "") -> PipelineRoot:
    """Return a root with one source of JSON lines behind http, whose e-mail is masked."""
    folder = tmp_path / "contracts"
    folder.mkdir()
    pull = f"pull: {{url: '{server.url}/{{date}}.jsonl.gz'{section}}}\n"
    (folder / "canary_jsonl.yaml").write_text(contract_text("canary_jsonl") + pull)
    return PipelineRoot(settings_for(tmp_path / "root", sources=folder))


def served(*ids: str) -> bytes:
    """Return a gzipped file of these events."""
    row = {"user": "u", "session": "s", "kind": "search", "at": f"{DAY}T10:00:00Z", "email": f"{STEM}@example.org"}
    return gzip.compress("".join(json.dumps({"id": each, **row}) + "\n" for each in ids).encode())


def pull(root: PipelineRoot) -> list[str]:
    """Pull the day and return what became of its files."""
    return [file.outcome for file in pull_days(root.platform, "canary_jsonl", [dt.date.fromisoformat(DAY)]).files]


def test_a_corrected_file_takes_the_place_of_the_old_one(tmp_path: Path, server: FileServer) -> None:
    """Contents are recognised by their keyed hash, also where the pull that saw one first was killed."""
    root = pulled_root(tmp_path, server, ", on_change: replace")
    server.files[f"/{DAY}.jsonl.gz"] = served("1", "2")
    assert pull(root) == ["landed"]
    server.files[f"/{DAY}.jsonl.gz"] = served("1", "2", "3")
    assert pull(root) == ["landed"]
    assert pull(root) == ["unchanged"]
    (old, new) = sorted(root.platform.ledger.records(), key=lambda record: record.rows)
    assert root.platform.ledger.decisions.standings("canary_jsonl")[old.sha256].is_retracted
    assert new.rows == 3
    needles = Needles((STEM,), [served("1", "2").decode("latin-1")])
    assert scan(tmp_path / "root", needles) == {}


def test_a_refused_file_is_not_fetched_again_until_its_contract_changes(tmp_path: Path, server: FileServer) -> None:
    """Of a refused file nothing is kept, so its version is noted under the contract that refused it."""
    root = pulled_root(tmp_path, server)
    server.files[f"/{DAY}.jsonl.gz"] = served("1")[:-9]
    assert pull(root) == ["rejected"]
    server.requests.clear()
    assert pull(root) == ["unchanged"]
    assert server.asked("GET") == []
    contract = tmp_path / "contracts" / "canary_jsonl.yaml"
    contract.write_text(contract.read_text().replace("page: keep", "page: drop"))
    assert pull(PipelineRoot(root.settings)) == ["rejected"]
    assert len(server.asked("GET")) == 1


def test_a_file_that_does_not_fit_in_memory_is_refused(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is held in memory is bounded; the file is left for later, with the reason."""
    monkeypatch.setattr(passing_copies, "MAX_HELD_BYTES", 50)
    root = pulled_root(tmp_path, server)
    server.files[f"/{DAY}.jsonl.gz"] = served("1", "2")
    assert pull(root) == ["failed"]
    assert "more than the 50 bytes" in str(root.platform.ledger.failures())
    monkeypatch.undo()
    assert pull(root) == ["landed"]


def test_copies_in_memory_are_given_back(tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """One copy is held at a time, and none when the pull has ended, also by an error."""
    held: list[int] = []
    real = pulling.land_file

    def landing(path: Path, *args: object, **options: object) -> object:
        held.append(copies_in_memory())
        if len(held) == 2:
            raise KeyboardInterrupt
        return real(path, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(pulling, "land_file", landing)
    root = pulled_root(tmp_path, server)
    days = [dt.date.fromisoformat(DAY) + dt.timedelta(days=number) for number in range(3)]
    server.files.update({f"/{each}.jsonl.gz": served(str(each)) for each in days})
    with pytest.raises(KeyboardInterrupt):
        pull_days(root.platform, "canary_jsonl", days)
    assert held == [1, 1]
    assert copies_in_memory() == 0


def copies_in_memory() -> int:
    """Return the number of open handles of memory that reads like a file."""
    found = 0
    for handle in Path("/proc/self/fd").iterdir():
        found += handle.is_symlink() and "memfd:" in str(handle.readlink())
    return found
