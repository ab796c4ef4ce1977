"""A root that is built again from what landed: every partition, the version and the model are the same bytes."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ml_data_platform.events.planning import LAYERS, expected_days
from ml_data_platform.settings import load_settings
from ml_data_platform.stages.platform import open_platform
from ml_data_platform.stages.quarantine import Wanted
from ml_data_platform.stages.rebuilding import compare_roots
from ml_data_platform.stages.replay import apply_replay, prepare_replay
from ml_data_platform.stages.retraction import reinstate_file, retracted_files
from ml_data_platform.stages.state import read_state
from ml_data_platform_tests.command_line import CommandLine, Result
from ml_data_platform_tests.late_shop import SOURCE, days_ago, lines_of, write_contract
from ml_data_platform_tests.version_root import file_hashes

OF_SHOP = ("--source", SOURCE)
DAYS = 3
TABLES = (
    "raw_events", "validated_events", "quarantined_events", "session_features", "session_summaries", "date_partitions",
    "label_partitions", "stratified_partitions",
)  # fmt: skip


@dataclass(frozen=True)
class Original:
    """A root that has a history, and what its commands said."""

    folder: Path
    cut: dict[str, Any]
    trained: dict[str, Any]


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    """Write a file of events."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def call(folder: Path, *arguments: object, status: int = 0) -> Result:
    """Call the command line and expect its exit status."""
    result = CommandLine(folder)(*arguments)
    assert result.status == status, result
    return result


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    """Days that were built; a retracted file; late rows; rows late beyond the grace period, some admitted since; a refused file; version and model."""
    folder = tmp_path_factory.mktemp("rebuild")
    write_contract(folder, {"late_policy": "quarantine"})
    call(folder, "init", "--root", "root", "--start-date", days_ago(15).isoformat(), "--sources", folder / "contracts")
    files, days = folder / "files", [days_ago(12 - number) for number in range(DAYS)]
    for number, of in enumerate(days):
        write(files / f"{of}.jsonl", [*lines_of(of, 60 + number, name="a"), {"event_type": "no time"}])
    root = ("--root", "root")
    call(folder, "land", *root, *OF_SHOP, "--historical", *sorted(files.glob("*.jsonl")))
    call(
        folder,
        "land",
        *root,
        *OF_SHOP,
        "--historical",
        write(folder / "sent_by_mistake", lines_of(days[0], 4, name="m")),
    )
    CommandLine(folder).build("root", days[:1], LAYERS[:1])
    # Built, and taken back since.
    call(folder, "retract", "sent_by_mistake", *root, *OF_SHOP, "--reason", "sent by mistake")
    # Late, and let in as part of another historical load; then a duplicate; then two days of rows that are too late.
    call(folder, "land", *root, *OF_SHOP, "--historical", write(folder / "late", lines_of(days[0], 7, name="b")))
    call(folder, "land", *root, *OF_SHOP, "--historical", write(folder / "twice", lines_of(days[0], 9, name="a")))
    too_late = [*lines_of(days[1], 5, name="c"), *lines_of(days[2], 8, name="c")]
    call(folder, "land", *root, *OF_SHOP, write(folder / "too_late", too_late))
    CommandLine(folder).build("root", days[2:], LAYERS[:1])
    platform = open_platform(load_settings({}, folder, root=folder / "root", sources=folder / "contracts"))
    let_in = prepare_replay(platform, Wanted("too_late", SOURCE, days[2], days[2]))
    apply_replay(platform, let_in, "they are wanted")
    CommandLine(folder).build("root", expected_days(read_state(platform))[: DAYS + 1])
    # Landed and never built: it is not built again either.
    call(folder, "land", *root, *OF_SHOP, "--historical", write(folder / "later", lines_of(days_ago(2), 3, name="d")))
    cut = call(folder, "version", "cut", *root, "--folds", "stratified_group:3", "--json")
    trained = call(folder, "train", *root, "--cutoff", days[2].isoformat(), "--json")
    return Original(folder / "root", json.loads(cut.out), json.loads(trained.out))


@pytest.fixture(scope="module")
def told(original: Original) -> dict[str, Any]:
    """What the command said that built the root again, with its version and its model."""
    command = ("rebuild", "--root", "root", "--to", "again", "--model", "latest", "--json")
    return dict(json.loads(call(original.folder.parent, *command).out))


@pytest.fixture(scope="module")
def again(original: Original, told: dict[str, Any]) -> Path:
    """The root that was built again; to be read only."""
    return original.folder.parent / "again"


def test_a_rebuild_gives_the_same_bytes(original: Original, again: Path, told: dict[str, Any]) -> None:
    """Every table file, every listing of the version and the model: the same, as plain hashes of files say too."""
    assert (told["is_same"], told["differences"]) == (True, [])
    view, rebuilt = (file_hashes(root / "data") for root in (original.folder, again))
    tables = {path: digest for path, digest in view.items() if path.split("/")[0] in TABLES}
    assert {path: digest for path, digest in rebuilt.items() if path.split("/")[0] in TABLES} == tables
    assert told["same_partitions"] == len({tuple(path.split("/")[:2]) for path in tables}) > len(TABLES)
    listings = {name: f"{facts['dir_md5']}.dir" for name, facts in original.cut["datasets"].items()}
    listings["folds"] = f"{original.cut['folds']['dir_md5']}.dir"
    assert told["version"]["hashes_before"] == told["version"]["hashes_after"] == listings
    objects = {path.name for path in (again / "versions_remote" / "files" / "md5").glob("??/*.dir")}
    assert objects == {digest[2:] for digest in listings.values()}
    (model,) = (again / "models").glob("*/model.skops")
    assert model.read_bytes() == (Path(original.trained["folder"]) / "model.skops").read_bytes()


def test_what_was_decided_is_part_of_a_rebuild(original: Original, again: Path) -> None:
    """Of the rows that came too late one day's were let in and one day's were not, before and after."""
    counts = [
        [
            (day["day"], day["landed_rows"], day["too_late_rows"], day["duplicate_rows"])
            for day in json.loads(call(root, "status", "--root", root, "--json").out)["days"]
        ]
        for root in (original.folder, again)
    ]
    assert counts[0] == counts[1]
    assert sum(too_late or 0 for _, _, too_late, _ in counts[1]) == 5
    assert sum(duplicates or 0 for _, _, _, duplicates in counts[1]) == 9


def test_a_retracted_file_is_left_out_and_can_still_come_back(original: Original, again: Path, tmp_path: Path) -> None:
    """The rebuilt root knows what was taken back and why, and keeps its bytes: reinstated, its rows are built."""
    (before,), (after,) = (
        retracted_files(open_platform(load_settings({}, root.parent, root=root))) for root in (original.folder, again)
    )
    assert after == before
    shutil.copytree(again, tmp_path / "again")
    ((of, rows),) = after.record.rows_per_day.items()
    copy = open_platform(load_settings({}, tmp_path, root=tmp_path / "again"))
    left_out = copy.store.heads("raw_events")[of].rows
    reinstate_file(copy, SOURCE, after.record.sha256, "right after all")
    CommandLine(tmp_path).build("again", [dt.date.fromisoformat(of)], LAYERS[:1])
    assert copy.store.heads("raw_events")[of].rows - left_out == rows == 4


def test_a_stopped_rebuild_goes_on(original: Original, again: Path) -> None:
    """What it lacks is copied and built; what is there stays; afterwards all is the same again."""
    (lost, *_) = sorted((again / "raw").iterdir())
    content = lost.read_bytes()
    lost.unlink()
    shutil.rmtree(again / "_store" / "date_partitions")
    told = call(original.folder.parent, "rebuild", "--root", "root", "--to", "again")
    assert "partitions are the same" in told.text
    assert lost.read_bytes() == content


def test_no_place_is_overwritten(original: Original, tmp_path: Path) -> None:
    """A folder that holds something else, and the root itself, are left alone."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("precious", encoding="utf-8")
    refused = call(tmp_path, "rebuild", "--root", original.folder, "--to", "full", status=1)
    assert "there is something in the place" in refused.text
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]
    refused = call(tmp_path, "rebuild", "--root", original.folder, "--to", original.folder, status=1)
    assert "cannot be rebuilt over itself" in refused.text


def test_partitions_that_differ_are_named(original: Original, again: Path, tmp_path: Path) -> None:
    """Rows landed and built in the original alone: its tables of that day, and no others, are called different."""
    shutil.copytree(original.folder, tmp_path / "root", symlinks=True)
    of = days_ago(11)
    call(tmp_path, "land", "--root", "root", *OF_SHOP, "--historical", write(tmp_path / "x", lines_of(of, 3, name="x")))
    CommandLine(tmp_path).build("root", [of])
    platforms = [open_platform(load_settings({}, tmp_path, root=root)) for root in (tmp_path / "root", again)]
    compared = compare_roots(*platforms, [of])
    assert {each.day for each in compared.differences} == {of.isoformat()}
    assert {each.what for each in compared.differences} == {"other bytes"}
    assert {"raw_events", "session_features", "date_partitions"} <= {each.asset for each in compared.differences}
