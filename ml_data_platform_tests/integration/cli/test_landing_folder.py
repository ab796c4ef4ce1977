"""What `land` says about files that it does not take in."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path

import pytest

from ml_data_platform_tests.command_line import CommandLine

EVENT = '{"event_id":"1","user_id":"u","session_uuid":"s","event_type":"search","event_timestamp":1780300000000}\n'


def _drop(cli: CommandLine, name: str, content: str | bytes = EVENT, *, is_settled: bool = True) -> Path:
    path = cli.folder / ".platform" / "landing" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    if is_settled:
        os.utime(path, (1_780_300_000, 1_780_300_000))
    return path


def test_nothing_to_land_is_said_in_words(cli: CommandLine) -> None:
    """An empty landing folder is no table of zeros; so are files that are known."""
    assert "nothing to land" in cli.ok("land").out
    path = _drop(cli, "demo_shop/a.jsonl")
    assert "landed 1 file with 1 row on 1 day" in cli.ok("land").out
    assert "nothing to land" in cli.ok("land").out
    assert "known already" in cli.ok("land", path, "--source", "demo_shop").out


def test_a_file_that_was_replaced_says_so_when_it_is_landed_again(cli: CommandLine) -> None:
    """Its rows count no longer, also when the same bytes come again; nothing about that is silent."""
    old, new = _drop(cli, "old.jsonl"), _drop(cli, "new.jsonl", EVENT.replace('"1"', '"2"'))
    cut_off = _drop(cli, "cut.jsonl", EVENT[:20])
    shop, name = ("--source", "demo_shop"), hashlib.sha256(old.read_bytes()).hexdigest()[:12]
    cli.ok("land", old, *shop)
    refused = cli("land", cut_off, *shop, "--replaces", name)
    assert refused.status == 1
    assert "no rows with a usable day" in refused.err
    assert f"replaced {name}: its rows were on 1 day" in cli.ok("land", new, *shop, "--replaces", name).out
    assert "that was done before" in cli.ok("land", new, *shop, "--replaces", name).out
    again = cli.ok("land", old, *shop)
    successor = hashlib.sha256(new.read_bytes()).hexdigest()[:12]
    assert f"counts no longer: old.jsonl was retracted in favour of {successor}" in again.out
    assert len(json.loads(cli.ok("land", old, *shop, "--json").out)["retracted"]) == 1


@pytest.mark.parametrize("command", ["backfill", "plan", "status"])
def test_an_empty_root_says_what_comes_first(cli: CommandLine, command: str) -> None:
    """Nothing landed is not "all is built": the next step is named, with the folder."""
    cli.ok("init")
    result = cli.ok(command)
    assert "nothing is landed" in result.out
    assert str(cli.folder / ".platform" / "landing") in result.out
    assert "ml-data-platform land" in result.out


def test_files_that_wait_are_named_with_the_reason(cli: CommandLine) -> None:
    """A file too young, one still being written, one outside of any source, and a folder of no source."""
    _drop(cli, "demo_shop/young.jsonl", is_settled=False)
    # Longer than a busy machine takes to come to the command.
    (cli.folder / ".platform" / "platform.yaml").write_text("settle_seconds: 3600\n", encoding="utf-8")
    _drop(cli, "demo_shop/whole.jsonl.part")
    _drop(cli, "loose.jsonl")
    _drop(cli, "demo_shp/typo.jsonl")
    _drop(cli, "_planted/truth.json")
    result = cli.ok("land")
    for name, reason in (
        ("demo_shop/young.jsonl", "less than 3600 seconds ago"),
        ("demo_shop/whole.jsonl.part", "still being written"),
        ("loose.jsonl", "not in the folder of a source"),
        ("demo_shp/", "no source of this name; known are demo_shop, "),
    ):
        (line,) = [line for line in result.out.splitlines() if f"({name})" in line]
        assert reason in line
    assert "_planted" not in result.out
    document = json.loads(cli.ok("land", "--json").out)
    assert document["waiting"] == ["demo_shop/young.jsonl", "demo_shop/whole.jsonl.part", "loose.jsonl"]
    assert document["unknown_folders"] == ["demo_shp"]
    assert document["files"] == 0


def test_a_file_that_was_landed_does_not_wait(cli: CommandLine) -> None:
    """Taken in without waiting, a young file is known: it is not reported as too young afterwards."""
    _drop(cli, "demo_shop/young.jsonl", is_settled=False)
    (cli.folder / ".platform" / "platform.yaml").write_text("settle_seconds: 0\n")
    assert "landed 1 file" in cli.ok("land").out
    (cli.folder / ".platform" / "platform.yaml").write_text("settle_seconds: 3600\n")
    assert "not taken in" not in cli.ok("land").out


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("cut.jsonl.gz", gzip.compress(EVENT.encode() * 1000, mtime=0)[:-20], "gzip"),
        ("text.csv", "a;b\n1;2\n", "header"),
    ],
)
def test_a_refused_file_holds_up_no_other(cli: CommandLine, name: str, content: str | bytes, reason: str) -> None:
    """Exit status 1, the file and the reason, now and in `status`; the good file is in."""
    source = "globo" if name.endswith("csv") else "demo_shop"
    _drop(cli, f"{source}/{name}", content)
    _drop(cli, "demo_shop/good.jsonl")
    result = cli("land")
    assert result.status == 1
    (line,) = [line for line in result.out.splitlines() if line.startswith("not landed")]
    assert f"{source}/{name}" in line
    assert reason in line.lower()
    assert "landed 1 file with 1 row" in result.out
    status = cli("status")
    assert status.status == 1
    assert f"{source}/{name}" in status.out


def test_file_names_that_are_no_text(cli: CommandLine) -> None:
    """A name that is not UTF-8 is landed and printed, not a crash."""
    folder = cli.folder / ".platform" / "landing" / "demo_shop"
    folder.mkdir(parents=True)
    (folder / os.fsdecode(b"\xff.jsonl.part")).write_text(EVENT)
    assert "\\udcff.jsonl.part" in cli.ok("land").out


def test_init_writes_paths_that_mean_the_same_later(cli: CommandLine) -> None:
    """Paths are given relative to the working folder, and in the file to the root: what is written must be neither."""
    (cli.folder / "contracts").mkdir()
    cli.ok("init", "--root", "deep/root", "--landing", "inbox", "--sources", "contracts", "--start-date", "2026-05-01")
    dropped = cli.folder / "inbox" / "demo_shop" / "a.jsonl"
    dropped.parent.mkdir()
    dropped.write_text(EVENT)
    os.utime(dropped, (1_780_300_000, 1_780_300_000))
    elsewhere = CommandLine(cli.folder / "contracts")
    assert "landed 1 file" in elsewhere.ok("land", "--root", cli.folder / "deep" / "root").out
    again = cli("init", "--root", "deep/root")
    assert again.status == 1
    assert "has settings already" in again.err


def test_the_sensor_names_folders_of_no_source(cli: CommandLine) -> None:
    """Who looks into the UI learns why a dropped file is not taken in: nothing runs for it."""
    import dagster as dg

    from ml_data_platform.defs.location import build_definitions
    from ml_data_platform.defs.resources import PlatformResource
    from ml_data_platform_tests.pipeline_root import settings_for

    _drop(cli, "demo_shp/typo.jsonl")
    settings = settings_for(cli.folder / ".platform")
    sensor = build_definitions(settings).resolve_sensor_def("landing_sensor")
    with dg.DagsterInstance.ephemeral() as instance:
        resources = {"platform": PlatformResource.of(settings)}
        result = sensor.evaluate_tick(dg.build_sensor_context(instance=instance, resources=resources))
    assert "demo_shp/ (no such source)" in str(result.skip_message)
