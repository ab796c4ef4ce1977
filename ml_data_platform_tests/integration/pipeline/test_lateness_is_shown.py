"""How late rows came is said wherever somebody looks, and never changes what is built."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import dagster as dg
import pytest

from ml_data_platform.defs.late_rows import KEY, report_too_late_rows
from ml_data_platform.stages import decisions
from ml_data_platform.stages.state import read_state
from ml_data_platform.stages.summary import summarise_days, summarise_landing
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.late_shop import SOURCE, days_ago, late_root, lines_of, write_contract
from ml_data_platform_tests.pipeline_root import NOW, PipelineRoot

FROZEN = days_ago(2)
"""At noon, with a grace of a day."""


def in_time(root: PipelineRoot) -> PipelineRoot:
    """Return the root on the last hour of that day."""
    return root.at(dt.datetime.combine(FROZEN, dt.time(23), tzinfo=dt.UTC))


def failed_days(instance: dg.DagsterInstance) -> dict[str, bool]:
    """Return partition to whether the check of too-late rows says that there are some."""
    found = instance.event_log_storage.get_asset_check_partition_info([KEY])
    return {str(info.partition_key): info.latest_execution_status.value == "FAILED" for info in found}


def raw_metadata(instance: dg.DagsterInstance, day: dt.date) -> dict[str, object]:
    """Return the metadata of the last materialization of a day's raw events."""
    (record,) = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey("raw_events"), asset_partitions=[day.isoformat()]), limit=1
    ).records
    assert record.asset_materialization is not None
    return {name: value.value for name, value in record.asset_materialization.metadata.items()}


def test_a_day_shows_its_late_rows_and_how_late_they_are(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """Status, materialization and check agree with a count by hand, before and after rows came too late and back."""
    root = late_root(tmp_path)
    assert in_time(root).drop("a.jsonl", lines_of(FROZEN, 8), source=SOURCE).record is not None
    # Landed at 12:00 of the next day, when FROZEN is complete and not yet frozen: late, and taken.
    root.at(NOW - dt.timedelta(days=1)).drop("b.jsonl", lines_of(FROZEN, 2, name="b"), source=SOURCE)
    assert root.backfill([FROZEN]).is_successful
    assert root.run(FROZEN, ["raw_events"], instance).success
    # 09:00 … 09:07 came at 23:00, and 09:00 and 09:01 came 27 hours later.
    delays = [*(14 * 3600 - 60 * minute for minute in range(8)), 27 * 3600, 27 * 3600 - 60]
    expected = {
        "late_rows": 2,
        "too_late_rows": 0,
        "lateness_p50_seconds": pytest.approx(sorted(delays)[4], rel=0.011),
        "lateness_p99_seconds": pytest.approx(max(delays), rel=0.011),
        "lateness_max_seconds": max(delays),
        "day_state": "frozen",
    }
    metadata = raw_metadata(instance, FROZEN)
    assert {name: metadata[name] for name in expected} == expected
    assert metadata["watermark"] == NOW.isoformat()
    (shown,) = summarise_days(root.platform, [FROZEN])
    assert {name: shown.to_json()[name] for name in expected} == expected

    late = root.drop("c.jsonl", lines_of(FROZEN, 3, name="c"), source=SOURCE).record
    assert late is not None
    assert report_too_late_rows(instance, root.platform) == [FROZEN]
    assert report_too_late_rows(instance, root.platform) == []
    assert failed_days(instance) == {FROZEN.isoformat(): True}
    (shown,) = summarise_days(root.platform, [FROZEN])
    assert (shown.status, shown.landed_rows, shown.lateness.too_late_rows) == ("clean", 10, 3)
    assert summarise_landing(root.platform).too_late_rows == 3

    decisions.admit(root.platform, SOURCE, late.sha256, [FROZEN.isoformat()], "a test")
    assert root.run(FROZEN, ["raw_events"], instance).success
    assert failed_days(instance) == {FROZEN.isoformat(): False}
    assert raw_metadata(instance, FROZEN)["late_rows"] == 5
    assert report_too_late_rows(instance, root.platform) == []


def test_a_check_turns_green_when_the_file_is_retracted(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """Also where nothing is to be built: the day never had other rows than those that came too late."""
    root = late_root(tmp_path)
    late = root.drop("late.jsonl", lines_of(FROZEN, 3), source=SOURCE).record
    assert late is not None
    assert [summary.day for summary in summarise_days(root.platform)] == [FROZEN]
    report_too_late_rows(instance, root.platform)
    assert failed_days(instance) == {FROZEN.isoformat(): True}
    decisions.retract(root.platform, SOURCE, late.sha256, reason="a test")
    assert report_too_late_rows(instance, root.platform) == [FROZEN]
    assert failed_days(instance) == {FROZEN.isoformat(): False}
    assert summarise_landing(root.platform).files == {SOURCE: {"retracted": 1}}


def test_arrival_is_no_input(tmp_path: Path) -> None:
    """The same files landed at other times, and other bounds of lateness, ask for the same inputs of raw events."""
    required = []
    for name, now in (("late", NOW), ("in time", dt.datetime.combine(FROZEN, dt.time(23), tzinfo=dt.UTC))):
        root = late_root(tmp_path / name, now=now, late_policy="reopen")
        root.drop("a.jsonl", lines_of(FROZEN, 3), source=SOURCE)
        required.append(read_state(root.at(NOW).platform))
        write_contract(tmp_path / name, {"late_policy": "reopen", "max_delay_hours": 1})
        required.append(read_state(PipelineRoot(root.settings, now=NOW).platform))
    landed = [(state.landed, state.configuration["raw_events"]) for state in required]
    assert landed[0] == landed[1] == landed[2] == landed[3]


def test_a_corrected_file_on_the_command_line(tmp_path: Path) -> None:
    """`land --replaces` takes a prefix, says what it did, does it once, and does nothing where it makes no sense."""
    cli = CommandLine(tmp_path)
    write_contract(tmp_path, {"late_policy": "quarantine"})
    common = ["--root", "root", "--sources", "contracts"]
    cli.ok("init", *common, "--start-date", "2026-03-01")
    for name, rows in (("old", 3), ("new", 5), ("late", 2)):
        lines = lines_of(FROZEN, rows, name=name)
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    first = json.loads(cli.ok("land", "old.jsonl", "--source", SOURCE, "--historical", *common, "--json").out)
    assert (first["landed_rows"], first["late_rows"], first["too_late_rows"]) == (3, 0, 0)
    (record,) = (tmp_path / "root" / "ledger" / SOURCE).glob("*.json")
    old = record.name[:64]

    wrong = cli("land", "new.jsonl", "--source", SOURCE, "--replaces", "0" * 64, *common)
    assert (wrong.status, old[:12] in wrong.text) == (1, True)
    assert cli("land", "new.jsonl", "old.jsonl", "--source", SOURCE, "--replaces", old, *common).status == 2
    assert len(list((tmp_path / "root" / "ledger" / SOURCE).glob("*.json"))) == 1

    answer = ["land", "new.jsonl", "--source", SOURCE, "--replaces", old[:10], *common, "--json"]
    done = [json.loads(cli.ok(*answer).out)["replaced"] for _ in range(2)]
    assert done[0] == {"sha256": old, "is_new": True, "days": [FROZEN.isoformat()]}
    assert done[1] == {"sha256": old, "is_new": False, "days": []}

    text = cli.ok("land", "late.jsonl", "--source", SOURCE, *common).text
    assert "too late: 2 rows of frozen days, kept in data/too_late_rows" in text
    assert f"too late {FROZEN}: 2 rows" in cli.ok("plan", *common).text
    status = json.loads(cli.ok("status", *common, "--json").out)
    assert status["landing"]["files"] == {SOURCE: {"landed": 2, "retracted": 1}}
    assert status["landing"]["watermarks"][SOURCE]["strategy"] == "clock"
    (shown,) = [each for each in status["days"] if each["day"] == FROZEN.isoformat()]
    assert (shown["landed_rows"], shown["late_rows"], shown["too_late_rows"]) == (5, 7, 2)
    assert "2 rows of frozen days" in cli.ok("status", *common).text
