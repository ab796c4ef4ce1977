"""A whole root is whole, and what is wrong with what was landed is found, named and mended where bytes allow it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from ml_data_platform.stages.verification import verify
from ml_data_platform.storage.defects import Kind
from ml_data_platform.storage.layout import LANDED_FILES, UNDATED_ROWS, Layout
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.pipeline_root import PipelineRoot, day


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    """The command line in a folder without a root."""
    return CommandLine(tmp_path)


def test_a_built_root_is_whole_and_mending_it_changes_nothing(built_root: PipelineRoot) -> None:
    """Every object, record, kept byte and file of the view was read; no byte is another after."""
    before = built_root.view()
    found = verify(built_root.platform, is_repair=True)
    assert found.defects == ()
    stored = built_root.platform.store.objects
    immutable = [key for key in stored.list("_store") if "/objects/" in key] + stored.list("raw")
    assert found.counts["objects_read"] >= len(immutable)
    assert found.counts["view_files_checked"] == len(before)
    assert built_root.view() == before


def _record(root: PipelineRoot) -> object:
    return next(each for each in root.platform.ledger.records() if each.fragment and each.undated_fragment)


def _overwrite(root: PipelineRoot, key: str, data: bytes) -> str:
    root.platform.store.objects.delete(key)
    root.platform.store.objects.put_if_absent(key, data)
    return key


def _change_kept_bytes(root: PipelineRoot) -> str:
    key = Layout.raw_key(_record(root).sha256)
    return _overwrite(root, key, root.platform.store.objects.read_bytes(key)[:-1] + b"!")


def _lose(root: PipelineRoot, key: str) -> str:
    root.platform.store.objects.delete(key)
    return key


def _miscount(root: PipelineRoot) -> str:
    key = _record(root).key
    fields = json.loads(root.platform.store.objects.read_bytes(key))
    first = min(fields["rows_per_day"])
    fields["rows_per_day"][first] += 1
    return _overwrite(root, key, json.dumps({**fields, "rows": fields["rows"] + 1}).encode())


PLANTED: dict[str, tuple[Callable[[PipelineRoot], str], Kind, bool]] = {
    "kept bytes changed": (_change_kept_bytes, Kind.KEPT_BYTES_ALTERED, False),
    "kept bytes lost": (
        lambda root: _lose(root, Layout.raw_key(_record(root).sha256)),
        Kind.KEPT_BYTES_MISSING,
        False,
    ),
    "fragment lost": (
        lambda root: _lose(root, Layout.object_key(LANDED_FILES, _record(root).fragment)),
        Kind.OBJECT_MISSING,
        True,
    ),
    "fragment changed": (
        lambda root: _overwrite(root, Layout.object_key(LANDED_FILES, _record(root).fragment), b"PAR1"),
        Kind.OBJECT_ALTERED,
        True,
    ),
    "undated rows hidden": (
        lambda root: _lose(root, Layout.undated_view_key(_record(root).source, _record(root).sha256)),
        Kind.VIEW_MISSING,
        True,
    ),
    "undated rows changed": (
        lambda root: _overwrite(root, Layout.undated_view_key(_record(root).source, _record(root).sha256), b"x"),
        Kind.VIEW_ALTERED,
        True,
    ),
    "ledger record cut": (
        lambda root: _overwrite(root, _record(root).key, b"{"),
        Kind.LEDGER_RECORD_DAMAGED,
        True,
    ),
    "ledger record edited": (_miscount, Kind.LEDGER_RECORD_DAMAGED, True),
    "stray file among kept bytes": (lambda root: _overwrite(root, "raw/notes.txt", b"x"), Kind.FOREIGN_FILE, False),
}


@pytest.mark.parametrize("name", PLANTED)
def test_defects_of_what_was_landed_are_found_and_mended_from_kept_bytes(copied_root: PipelineRoot, name: str) -> None:
    """The defect is named at its key; a fragment is routed again from kept bytes, to the very same bytes."""
    plant, kind, is_mendable = PLANTED[name]
    key = plant(copied_root)
    found = verify(copied_root.platform)
    assert (kind, key) in {(defect.kind, defect.key) for defect in found.defects}
    assert {defect.kind for defect in found.defects} == {kind}
    mended = verify(copied_root.platform, is_repair=True)
    assert [defect.is_repaired for defect in mended.defects] == [is_mendable]
    if is_mendable:
        assert verify(copied_root.platform).defects == ()
    else:
        assert copied_root.platform.store.objects.list("_store/damaged") == (
            [f"_store/damaged/{key}"] if kind is Kind.KEPT_BYTES_ALTERED else []
        )


def test_landing_the_same_file_again_brings_lost_bytes_back(copied_root: PipelineRoot) -> None:
    """The remedy that is named works: also where altered bytes stood in the way."""
    record = _record(copied_root)
    _change_kept_bytes(copied_root)
    verify(copied_root.platform, is_repair=True)
    copied_root.land(next(copied_root.settings.landing.rglob(record.name)))
    assert verify(copied_root.platform).defects == ()


def test_a_partition_whose_bytes_are_damaged_is_whole_after_its_run(
    copied_root: PipelineRoot, instance: dg.DagsterInstance
) -> None:
    """Damage in place reaches the view too; repair sets it aside, the named job builds it, the same bytes are there."""
    before = copied_root.contents()
    head = copied_root.heads()["date_partitions", day(1)]
    path = copied_root.folder / Layout.object_key("date_partitions", head.files[0].sha256)
    path.chmod(0o644)
    path.write_bytes(b"X" + path.read_bytes()[1:])
    (defect,) = verify(copied_root.platform, is_repair=True).defects
    assert (defect.kind, defect.asset, defect.day) == (Kind.OBJECT_ALTERED, "date_partitions", str(day(1)))
    assert "ml-data-platform backfill" in defect.remedy
    assert copied_root.run(day(1), ["date_partitions"], instance).success
    assert verify(copied_root.platform).defects == ()
    assert copied_root.contents() == before


def test_the_commands_tell_scripts_and_people(copied_root: PipelineRoot, cli: CommandLine) -> None:
    """Status 0 and a line where all is whole; status 1, the defect and its remedy where it is not; JSON says the same."""
    root = ["--root", str(copied_root.folder)]
    assert "all is whole" in cli.ok("verify", *root).text
    assert json.loads(cli.ok("verify", "--json", *root).out)["is_whole"] is True
    head = copied_root.heads()["date_partitions", day(1)]
    view = Layout.view_key("date_partitions", day(1), head.files[0].name)
    _lose(copied_root, view)
    result = cli("verify", *root)
    assert result.status == 1
    assert "view_missing" in result.text
    assert "verify --repair" in result.text
    (defect,) = json.loads(cli("verify", "--json", *root).out)["defects"]
    assert (defect["kind"], defect["key"], defect["is_repaired"]) == ("view_missing", view, False)
    assert "repaired" in cli.ok("verify", "--repair", *root).text
    assert "all is whole" in cli.ok("verify", *root).text


def test_collecting_removes_litter_of_landings_and_commits_and_nothing_that_is_used(
    copied_root: PipelineRoot, cli: CommandLine
) -> None:
    """Fragments and objects that no record names go once they are old; a dry run only says so."""
    store = copied_root.platform.store
    litter = [Layout.object_key(asset, "0" * 64) for asset in (LANDED_FILES, UNDATED_ROWS, "raw_events")]
    for key in litter:
        store.objects.put_if_absent(key, b"litter")
    root = ["--root", str(copied_root.folder)]
    assert json.loads(cli.ok("gc", "--json", *root).out)["keys"] == []
    told = json.loads(cli.ok("gc", "--dry-run", "--older-than", "0m", "--json", *root).out)
    assert sorted(told["keys"]) == sorted(litter)
    assert all(store.objects.exists(key) for key in litter)
    assert "removed 3 files" in cli.ok("gc", "--older-than", "0m", *root).text
    assert not any(store.objects.exists(key) for key in litter)
    assert verify(copied_root.platform).defects == ()
    assert store.collect(keep_last=1, older_than=timedelta(0)).keys == ()
