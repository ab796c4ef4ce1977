"""A user's way through the command line: a demo, a look, late files, a refused day."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ml_data_platform.cli import screen
from ml_data_platform.cli.lessons import LESSONS
from ml_data_platform_tests.command_line import CommandLine

DAY = "2026-06-01"
DEMO = ["demo", "--root", "root", "--start", DAY, "--end", DAY, "--events-per-day", "60"]
LATENESS_KEYS = {
    "late_rows",
    "too_late_rows",
    "lateness_p50_seconds",
    "lateness_p99_seconds",
    "lateness_max_seconds",
    "day_state",
    "watermarks",
}
DAY_KEYS = LATENESS_KEYS | {
    "day",
    "status",
    "landed_rows",
    "duplicate_rows",
    "rejected_rows",
    "label_rate",
    "partitions",
    "decisions",
    "checks",
    "unusual_fields",
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """A folder in which the demo ran once; to be read only."""
    cli = CommandLine(tmp_path_factory.mktemp("demo"))
    cli.ok(*DEMO)
    return cli


@pytest.fixture
def copy(demo: CommandLine, tmp_path: Path) -> CommandLine:
    """A copy of that folder, to be changed."""
    shutil.copytree(demo.folder, tmp_path, dirs_exist_ok=True)
    return CommandLine(tmp_path)


def _published_rows(folder: Path, asset: str, day: str) -> int:
    """Count the rows of a partition as a plain reader of the view does."""
    files = (folder / "root" / "data" / asset / f"dt={day}").rglob("*.parquet")
    return sum(pq.ParquetFile(path).metadata.num_rows for path in files)


def _drop(folder: Path, name: str, text: str, *, age_seconds: float = 3_600) -> Path:
    path = folder / "root" / "landing" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    changed = time.time() - age_seconds
    os.utime(path, (changed, changed))
    return path


def _modes(root: Path) -> dict[str, int]:
    """Return the permission bits of all below a folder, and of itself, by path."""
    return {str(path.relative_to(root)): path.lstat().st_mode & 0o777 for path in (root, *root.rglob("*"))}


def test_what_is_written_is_its_owners_alone(demo):
    """Nobody else may read, write or enter anything of a root; published files cannot be written to by anyone."""
    modes = _modes(demo.folder / "root")
    assert {path: oct(mode) for path, mode in modes.items() if mode & 0o077} == {}
    assert {mode for path, mode in modes.items() if path.endswith(".parquet")} == {0o400}


def test_a_root_of_before_becomes_its_owners_alone(copy):
    """`adopt` takes the bits of others away, also from what was there before; the landing folder stays its producers'."""
    root = copy.folder / "root"
    for path in root.rglob("*"):
        path.chmod(path.stat().st_mode | 0o055)
    copy.ok("adopt", "--root", "root")
    wide = {path for path, mode in _modes(root).items() if mode & 0o077}
    assert {path.split("/")[0] for path in wide} == {"landing"}
    assert "of the present form" in copy.ok("adopt", "--root", "root").text


def test_a_group_may_read_where_the_setting_says_so(tmp_path):
    """With `access: group` the group may read and enter, and not write; keys stay the owner's."""
    cli = CommandLine(tmp_path)
    cli.ok("init", "--root", "root")
    (tmp_path / "root").chmod(0o750)
    (tmp_path / "root" / "platform.yaml").write_text("access: group\n")
    (tmp_path / "one.jsonl").write_text('{"event_id": "e"}\n')
    cli("land", "one.jsonl", "--source", "demo_shop", "--root", "root")
    modes = _modes(tmp_path / "root")
    (raw,) = (path for path in modes if path.startswith("raw/"))
    (record,) = (
        path
        for path in modes
        if path.startswith("ledger/demo_shop/") and path.count("/") == 2 and path.endswith(".json")
    )
    assert (modes["raw"], modes[raw], modes[record]) == (0o750, 0o440, 0o440)
    assert modes["secrets/user_id.key"] == 0o600
    assert not any(mode & 0o027 for mode in modes.values())


def _event(number: int, day: str, kind: str = "page_view") -> str:
    at = int(dt.datetime.fromisoformat(f"{day}T09:00:00+00:00").timestamp() * 1000) + number
    event = {"event_id": f"late-{number}", "user_id": "u", "session_uuid": "s", "event_type": kind}
    return json.dumps({**event, "event_timestamp": at}) + "\n"


def test_the_demo_again_has_nothing_to_do(demo: CommandLine) -> None:
    """The second time generates, lands and builds nothing, says so, and leaves every file of the view as it was."""
    view = {path: path.stat().st_mtime_ns for path in (demo.folder / "root" / "data").rglob("*")}
    result = demo.ok(*DEMO)
    for words in ("nothing to write", "nothing to land", "nothing to do"):
        assert words in result.out
    assert view == {path: path.stat().st_mtime_ns for path in (demo.folder / "root" / "data").rglob("*")}


def test_another_demo_into_the_same_root_is_refused(demo: CommandLine) -> None:
    """Two sets of sample events would mix; the message names the way out."""
    result = demo(*DEMO[:-1], "61")
    assert result.status == 1
    assert "another --root" in result.err


def test_status_shows_what_a_reader_of_the_files_counts(demo: CommandLine) -> None:
    """The numbers of the document are those of the published files; the keys are those that the help lists."""
    status = json.loads(demo.ok("status", "--root", "root", "--json").out)
    assert set(status) == {"root", "landing", "days"}
    assert status["root"] == str(demo.folder / "root")
    assert set(status["landing"]) == {
        "files",
        "rows",
        "undated",
        "late_rows",
        "too_late_rows",
        "watermarks",
        "unreadable_files",
        "refused_files",
        "masking_notices",
        "contract_notices",
        "key_faults",
        "retracted_files",
        "unusable_rows",
    }
    files = len(list((demo.folder / "root" / "landing" / "demo_shop").iterdir()))
    assert status["landing"]["files"] == {"demo_shop": {"landed": files}}
    assert {each["day"] for each in status["days"]} >= {DAY}
    for day in status["days"]:
        assert set(day) == DAY_KEYS
        for asset, partition in day["partitions"].items():
            assert partition["rows"] == _published_rows(demo.folder, asset, day["day"])
        assert day["landed_rows"] == day["partitions"]["raw_events"]["rows"]
        assert day["status"] == "clean"
        assert day["checks"]["passed"] > 0
        assert day["checks"]["failed"] == []


def test_the_help_lists_every_key(demo: CommandLine) -> None:
    """Whoever writes a script finds each key of the documents in the help."""
    status = json.loads(demo.ok("status", "--root", "root", "--json").out)
    keys = {*status, *status["landing"], *status["days"][0], *status["days"][0]["checks"], "rows", "generation"}
    assert not [key for key in keys if key not in " ".join(LESSONS["status"])]
    landed = json.loads(demo.ok("land", "--root", "root", "--json").out)
    assert not [key for key in landed if key not in " ".join(LESSONS["land"])]


@pytest.mark.parametrize("columns", [80, 100])
def test_tables_fit_the_terminal(demo: CommandLine, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line of the tables is wider than the terminal, and no cell is cut."""
    monkeypatch.setattr(screen._out, "width", columns)
    result = demo.ok("status", "--root", "root")
    table = [line for line in result.out.splitlines() if line.startswith(("day", "2026", "──"))]
    assert table
    assert max(len(line.rstrip()) for line in table) <= columns
    assert "…" not in result.out


def test_ranges_choose_days(demo: CommandLine) -> None:
    """An open end takes the known days; both ends take every day between them."""

    def days(*arguments: str) -> list[str]:
        return [
            each["day"] for each in json.loads(demo.ok("status", "--root", "root", "--json", *arguments).out)["days"]
        ]

    known = days()
    assert days("--from", DAY) == known
    assert days("--to", DAY) == [DAY]
    assert days("--from", "2026-06-20") == []
    assert days("--from", "2026-05-30", "--to", DAY) == ["2026-05-30", "2026-05-31", DAY]


def test_the_same_answer_in_another_folder(demo: CommandLine, tmp_path: Path) -> None:
    """Where a command is called from changes nothing but how a relative root is read."""
    answers = [
        demo.ok("status", "--root", "root", "--json").out,
        CommandLine(tmp_path).ok("status", "--root", demo.folder / "root", "--json").out,
    ]
    # Watermarks follow the clock, which has moved on between the two.
    here, there = (re.sub(r'"\d{4}-\d\d-\d\dT[^"]*"', "an instant", answer) for answer in answers)
    assert here == there


def test_a_late_file_dirties_its_days_and_no_others(copy: CommandLine) -> None:
    """Land, plan, backfill: the plan names the day of the row first, and afterwards nothing is left to do."""
    assert json.loads(copy.ok("plan", "--root", "root", "--json").out) == []
    before = _published_rows(copy.folder, "validated_events", DAY)
    _drop(copy.folder, "demo_shop/late.jsonl", _event(1, DAY))
    landed = copy.ok("land", "--root", "root")
    assert "landed 1 file with 1 row on 1 day" in landed.out
    plan = _without_watermarks(copy.ok("plan", "--root", "root", "--json").out)
    dirty = {(each["asset"], each["day"]) for each in plan if each["status"] == "dirty"}
    assert dirty == {("raw_events", DAY)}
    assert set(plan[0]) == {"asset", "day", "status", "reasons", "blocked_by"} | LATENESS_KEYS - {"watermarks"}
    assert _without_watermarks(copy.ok("backfill", "--root", "root", "--dry-run", "--json").out) == plan
    report = json.loads(copy.ok("backfill", "--root", "root", "--json").out)
    assert set(report) == {"runs", "built", "failed", "blocked", "not_complete", "contract_notices"}
    assert {"asset": "validated_events", "day": DAY} in report["built"]
    assert _published_rows(copy.folder, "validated_events", DAY) == before + 1
    assert json.loads(copy.ok("plan", "--root", "root", "--json").out) == []


def test_a_refused_day_is_an_exit_status_and_says_where_its_rows_are(copy: CommandLine) -> None:
    """Too many broken rows: exit status 1, the check by name, the quarantine, and the other days as they were."""
    _drop(copy.folder, "demo_shop/broken.jsonl", "".join(_event(n, DAY, "nonsense") for n in range(40)))
    copy.ok("land", "--root", "root")
    result = copy("backfill", "--root", "root")
    assert result.status == 1
    assert "refused by blocking checks: " in result.out
    assert "rejected_share_is_within_tolerance" in result.out
    assert "data/quarantined_events" in result.out
    assert "Traceback" not in result.out + result.err
    assert _published_rows(copy.folder, "quarantined_events", DAY) >= 40
    for more in ((), ("--json",)):
        status = copy("status", "--root", "root", *more)
        assert (status.status, "blocked" in status.out) == (1, True)


def _without_watermarks(answer: str) -> list[dict[str, Any]]:
    """Read a plan; its watermarks follow the clock, which moves on between two calls."""
    plan = json.loads(answer)
    assert plan[0]["watermarks"].keys() == {"demo_shop"}
    return [{name: value for name, value in each.items() if name != "watermarks"} for each in plan]
