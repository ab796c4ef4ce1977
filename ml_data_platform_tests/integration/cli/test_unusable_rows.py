"""Rows that reach no day are told by exit status, in words and as JSON, as long as their file counts."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ml_data_platform.events.planning import LAYERS
from ml_data_platform_tests.command_line import CommandLine, Result
from ml_data_platform_tests.unusable_logs import DAY, FORMATS, SOURCE, rows, write, write_contract

CHECK = "landed_files: landed_rows_are_usable"
FUTURE = (dt.datetime.now(dt.UTC) + dt.timedelta(days=40)).strftime("%Y-%m-%dT%H:%M:%SZ")
"""An event time that no clock of these tests reaches."""


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    """The command line in a folder with a root that has one contract, of CSV."""
    write_contract(tmp_path, "csv")
    return CommandLine(tmp_path)


def land(cli: CommandLine, path: Path, *more: object) -> Result:
    """Land a file of the past."""
    return cli("land", path, "--source", SOURCE, "--historical", *more)


def verdicts(cli: CommandLine, status: int) -> dict[str, Any]:
    """Return what `status` says of the files, and require its exit status."""
    result = cli("status", "--json")
    assert result.status == status, result
    return dict(json.loads(result.out)["landing"]["unusable_rows"])


def judge(cli: CommandLine) -> None:
    """Build the events of the day."""
    cli.build(days=[dt.date.fromisoformat(DAY)], layers=LAYERS[:1])


def published(cli: CommandLine, day: str = DAY) -> int:
    """Return the rows of a day as plain readers count them."""
    path = cli.folder / f".platform/data/validated_events/dt={day}/data.parquet"
    return int(pq.ParquetFile(path).metadata.num_rows)


@pytest.mark.parametrize("form", FORMATS)
def test_half_of_a_file_without_a_usable_time(cli: CommandLine, form: str) -> None:
    """Red with the reason, in every format; the other half is published; the command that is named shows the rows."""
    write_contract(cli.folder, form)
    reasons = {
        "event_time_unreadable": f"{DAY} 10:00:00 UTC+",
        "event_time_missing": "",
        "event_time_in_the_future": FUTURE,
        "event_time_before_start_date": "2019-12-31T23:59:59Z",
    }
    for reason, at in reasons.items():
        write(cli.folder / "halves" / f"{reason}.{form}", rows(50, bad=50, at=at, name=reason))
    told = land(cli, cli.folder / "halves")
    assert told.status == 1
    found = verdicts(cli, 1)
    assert (found["failed"], found["warned"]) == ([CHECK], [])
    assert {file["file"] for file in found["files"]} == {f"{reason}.{form}" for reason in reasons}
    for file in found["files"]:
        reason = file["file"].partition(".")[0]
        assert f"50 of 100 rows (50.00%) reach no day: 50 {reason}" in told.text
        assert (file["rows"], file["unusable_rows"], file["level"], file["reasons"]) == (100, 50, "red", {reason: 50})
    (shows,) = {file["show_with"] for file in found["files"]}
    command = shlex.split(shows)
    assert command[0] == "ml-data-platform"
    shown = json.loads(cli.ok(*command[1:], "--limit", 1000, "--json").out)["rows"]
    rows_of = Counter((*row["reasons"], row["file"]) for row in shown)
    assert rows_of == {(reason, f"{reason}.{form}"): 50 for reason in reasons}
    judge(cli)
    assert published(cli) == 200
    assert verdicts(cli, 1) == found


def test_the_same_rows_in_good_form_are_green(cli: CommandLine) -> None:
    """The positive of all of this: nothing is told, every command ends with 0, and all rows are published."""
    assert land(cli, write(cli.folder / "good.csv", rows(100))).status == 0
    judge(cli)
    found = verdicts(cli, 0)
    assert (found["failed"], found["warned"], found["files"], published(cli)) == ([], [], [], 100)
    share = {"rows": 100, "unusable_rows": 0, "unusable_share": 0.0, "red_files": 0, "warned_files": 0}
    assert found["sources"] == {SOURCE: share}


def test_malformed_lines_and_arrays(cli: CommandLine) -> None:
    """Lines that are no objects and rows with too many cells are counted like undated ones; one bad row alone is red."""
    write_contract(cli.folder, "jsonl")
    good = write(cli.folder / "some.jsonl", rows(8)).read_text()
    some = cli.folder / "some.jsonl"
    some.write_text(good + "not json\n{\n")
    told = land(cli, some)
    assert (told.status, "2 of 10 rows (20.00%) reach no day: 2 malformed_row" in told.text) == (1, True)
    alone = cli.folder / "alone.jsonl"
    alone.write_text("not json\n")
    assert land(cli, alone).status == 1
    write_contract(cli.folder, "csv")
    wide = cli.folder / "wide.csv"
    wide.write_text("who,visit,what,at\n" + f"u,s,view,{DAY}T10:00:00Z\n" * 3 + f"u,s,view,{DAY}T10:00:00Z,more\n")
    told = land(cli, wide)
    assert (told.status, "1 of 4 rows (25.00%) reach no day: 1 wrong_field_count" in told.text) == (1, True)


@pytest.mark.parametrize(("form", "masks"), [("csv", False), ("jsonl", True)])
def test_a_file_that_was_cut_off_is_red(cli: CommandLine, form: str, masks: bool) -> None:
    """One row in 400 says it, whatever is tolerated, masked or not; the rows before it are published all the same."""
    said = {"pii": {"columns": {"who": "mask"}}} if masks else {}
    write_contract(cli.folder, form, unusable_rows={"warn": 1, "red": 1, "red_rows": 1000}, **said)
    path = write(cli.folder / f"cut.{form}", rows(400))
    path.write_bytes(path.read_bytes().rstrip()[:-25])
    told = land(cli, path)
    assert told.status == 1, told
    assert "1 of 400 rows (0.25%) reach no day: 1 cut_off; the file was cut off" in told.text
    (file,) = verdicts(cli, 1)["files"]
    assert (file["level"], file["reasons"]) == ("red", {"cut_off": 1})
    assert len(json.loads(cli.ok("quarantine", "show", "--reason", "cut_off", "--json").out)["rows"]) == 1
    judge(cli)
    assert published(cli) == 399
    stored = (cli.folder / ".platform").rglob("*.parquet")
    assert any(b"masked_" in each.read_bytes() for each in stored) == masks


def test_a_json_array_that_was_cut_off_and_a_stray_quote(cli: CommandLine) -> None:
    """An array without its end is red although each object of it is good; a stray quote costs one row of 400, not 200."""
    write_contract(cli.folder, "jsonl")
    array = cli.folder / "array.json"
    array.write_text("[\n" + ",\n".join(map(json.dumps, rows(240))) + ",\n")
    told = land(cli, array)
    assert (told.status, "1 of 241 rows (0.41%) reach no day: 1 cut_off; the file was" in told.text) == (1, True)
    array.write_text(json.dumps(rows(241, name="b"), indent=2))
    assert land(cli, array).status == 0
    write_contract(cli.folder, "csv")
    path = write(cli.folder / "quotes.csv", rows(400, name="c"))
    lines = path.read_text().splitlines(keepends=True)
    lines[100], lines[300] = '"' + lines[100], lines[300].replace(",view", '",view')
    path.write_text("".join(lines))
    told = land(cli, path)
    assert (told.status, "landed 1 file with 400 rows" in told.text) == (0, True), told
    assert json.loads(cli.ok("quarantine", "list", "--reason", "malformed_row", "--json").out)


def test_one_and_twenty_percent(cli: CommandLine) -> None:
    """Below 1 % nothing is said, from there on it is a warning with status 0, from 20 % on the status is 1."""
    files = {"a": (199, 1, None), "b": (99, 1, "warn"), "c": (81, 19, "warn"), "d": (80, 20, "red")}
    levels = {}
    for name, (good, bad, level) in files.items():
        is_red, path = level == "red", write(cli.folder / f"{name}.csv", rows(good, bad=bad, name=name))
        assert land(cli, path).status == is_red
        found = verdicts(cli, is_red)
        levels |= {path.name: level} if level else {}
        assert {file["file"]: file["level"] for file in found["files"]} == levels
        assert bool(found["failed"]) == is_red
        assert bool(found["warned"]) == (level == "warn")
    assert found["sources"][SOURCE]["unusable_rows"] == sum(bad for _, bad, _ in files.values())


def test_tolerances_are_of_each_source_and_hold_at_once(cli: CommandLine) -> None:
    """A contract that tolerates it turns its source green without landing anything again, and no other source."""
    other = yaml_of(cli.folder, "other")
    path = write(cli.folder / "a.csv", rows(50, bad=50))
    assert land(cli, path).status == 1
    assert cli("land", path, "--source", "other", "--historical").status == 1
    write_contract(cli.folder, "csv", unusable_rows={"warn": 0.6, "red": 0.6})
    found = verdicts(cli, 1)
    assert [file["source"] for file in found["files"]] == ["other"]
    assert "nothing to land" in cli.ok("land").text
    other.unlink()
    write_contract(cli.folder, "csv", unusable_rows={"expected": ["event_time_before_start_date"]})
    assert {file["source"] for file in verdicts(cli, 1)["files"]} == {SOURCE, "other"}


def yaml_of(folder: Path, source: str) -> Path:
    """Copy the contract under another name."""
    place = folder / ".platform/sources"
    text = (place / f"{SOURCE}.yaml").read_text().replace(f"source: {SOURCE}", f"source: {source}")
    (place / f"{source}.yaml").write_text(text)
    return place / f"{source}.yaml"


def test_only_replacing_the_file_makes_it_green(cli: CommandLine) -> None:
    """Neither a good file nor landing it again does; the corrected file does, and the old one stays out."""
    bad = write(cli.folder / "a.csv", rows(50, bad=50))
    land(cli, bad)
    assert land(cli, write(cli.folder / "b.csv", rows(90, day="2026-06-02", name="b"))).status == 0
    assert [file["file"] for file in verdicts(cli, 1)["files"]] == ["a.csv"]
    again = land(cli, bad)
    assert (again.status, "known already" in again.text, "50 of 100 rows" in again.text) == (1, True, True)
    digest = hashlib.sha256(bad.read_bytes()).hexdigest()
    corrected = write(cli.folder / "c.csv", rows(100))
    assert land(cli, corrected, "--replaces", digest[:12]).status == 0
    assert verdicts(cli, 0)["files"] == []
    judge(cli)
    assert published(cli) == 100
    assert "counts no longer" in land(cli, bad).text


def test_a_refused_file_publishes_nothing_until_its_contract_changes(cli: CommandLine) -> None:
    """Nothing of it is on any day, its bad rows are counted and shown, its bytes are kept and read again by themselves."""
    write_contract(cli.folder, "csv", on_unusable="refuse_file")
    assert land(cli, write(cli.folder / "fine.csv", rows(20, bad=3, name="f"))).status == 0
    told = land(cli, write(cli.folder / "a.csv", rows(50, bad=50)))
    assert told.status == 1
    assert "on_unusable: refuse_file" in told.text
    judge(cli)
    assert published(cli) == 20
    (file, _) = verdicts(cli, 1)["files"]
    assert (file["file"], file["rows"], file["unusable_rows"]) == ("a.csv", 100, 50)
    assert "on_unusable: refuse_file" in file["refusal"]
    listed = json.loads(cli.ok("quarantine", "list", "--source", SOURCE, "--json").out)
    counted = {(group["reason"], group["file"]): group["rows"] for group in listed}
    assert counted["event_time_unreadable", "a.csv"] == 50
    assert ("file_refused", "a.csv") in counted
    # Known, and so not tried again; and still told.
    again = land(cli, cli.folder / "a.csv")
    assert (again.status, "on_unusable: refuse_file" in again.text) == (1, True)
    assert cli("verify").status == 0
    write_contract(cli.folder, "csv")
    assert cli("land").status == 1
    judge(cli)
    assert published(cli) == 70


def test_masked_rows_are_judged_and_never_shown_as_they_came(cli: CommandLine) -> None:
    """The same verdict where nothing may be kept as it is; no example holds a value that is masked.

    That no format leaves such a value anywhere, the history of runs included, ``privacy/test_no_canary_survives.py`` shows.
    """
    write_contract(cli.folder, "csv", pii={"columns": {"who": "mask", "visit": "mask"}})
    told = land(cli, write(cli.folder / "a.csv", rows(50, bad=50, name="canary")))
    assert (told.status, "50 of 100 rows (50.00%) reach no day" in told.text) == (1, True)
    (file,) = verdicts(cli, 1)["files"]
    shown = cli.ok(*shlex.split(file["show_with"])[1:], "--limit", 1000).out
    assert "event_time_unreadable" in shown
    assert "canary" not in shown
    kept = [path for path in (cli.folder / ".platform").rglob("*") if path.is_file() and b"canary" in path.read_bytes()]
    assert kept == []


def test_a_dry_run_of_the_contract_says_it_before(cli: CommandLine) -> None:
    """`sources check` is not content with a file that would be red."""
    path = write(cli.folder / "a.csv", rows(50, bad=50))
    checked = cli("sources", "check", path, "--source", SOURCE, "--json")
    assert (checked.status, json.loads(checked.out)["is_red"]) == (1, True)
    assert "too many rows have no usable day" in cli("sources", "check", path, "--source", SOURCE).text
    checked = cli("sources", "check", write(path, rows(99, bad=1)), "--source", SOURCE, "--json")
    assert (checked.status, json.loads(checked.out)["is_red"]) == (0, False)
