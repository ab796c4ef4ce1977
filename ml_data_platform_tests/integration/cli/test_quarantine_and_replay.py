"""What is quarantined can be found, and is let in once its cause is mended: through the command line."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.late_shop import SOURCE as LATE
from ml_data_platform_tests.late_shop import days_ago, late_root, lines_of

pytestmark = pytest.mark.slow
CONTRACT = {
    "source": "club",
    "format": "csv",
    "schema_version": 1,
    "columns": {"event_id": "id", "user_id": "who", "session_id": "visit", "event_type": "what", "timestamp": "at"},
    "event_time": {"zone": "UTC"},
    "event_type": {"mapping": {"view": "page_view", "pay": "purchase"}},
}
DAYS = ("2026-03-02", "2026-03-03")
HEADER = "id,who,visit,what,at"


def write(path: Path, value: object) -> None:
    """Write JSON, which YAML reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def good_rows(day: str, count: int = 20) -> list[str]:
    """Return rows of a day that break nothing."""
    return [f"{day}-{number},u{number},v{number % 4},view,{day}T10:{number:02}:00Z" for number in range(count)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of a club, of which the first holds rows of a type that its contract does not know."""
    cli = CommandLine(tmp_path_factory.mktemp("club"))
    write(cli.folder / ".platform/sources/club.yaml", CONTRACT)
    everything = {"rejected_share_is_within_tolerance": 1.0, "event_types_are_known": 1.0}
    write(cli.folder / ".platform/platform.yaml", {"start_date": DAYS[0], "tolerances": everything})
    wishes = [f"w{number},u1,v1,wish,{DAYS[0]}T11:00:0{number}Z" for number in range(3)]
    again = f"{DAYS[0]}-0,u0,v0,view,{DAYS[0]}T10:00:00Z"
    early = ["e0,u1,v1,view,2026-02-27T08:00:00Z", "e1,u1,v1,view,2026-02-27T08:01:00Z"]
    files = {
        "one.csv": [*good_rows(DAYS[0]), *wishes, again, "x,u1,v1,view,soon", *early],
        "two.csv": good_rows(DAYS[1]),
        "three.csv": [f"w8,,v1,wish,{DAYS[0]}T11:01:00Z", f"w9,,v1,view,{DAYS[1]}T11:00:01Z"],
    }
    folder = cli.folder / "dropped"
    folder.mkdir()
    for name, rows in files.items():
        (folder / name).write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    (folder / "wrong.csv").write_text("nothing,of,this\n1,2,3\n", encoding="utf-8")
    assert cli("land", "dropped", "--source", "club").status == 1
    cli.build()
    return cli.folder


@pytest.fixture
def club(built: Path, tmp_path: Path) -> CommandLine:
    """A copy of the club in another folder, without what only its first place knew."""
    shutil.copytree(built, tmp_path / "moved")
    return CommandLine(tmp_path / "moved")


def counts(cli: CommandLine, *arguments: str) -> Counter[tuple[str, str | None]]:
    """Return reason and day to rows, as `quarantine list` counts them."""
    found = json.loads(cli.ok("quarantine", "list", "--json", *arguments).out)
    return Counter({(each["reason"], each["day"]): each["rows"] for each in found})


def generations(cli: CommandLine) -> list[int]:
    """Return how often the events of each day were published."""
    days = {each["day"]: each for each in json.loads(cli("status", "--json").out)["days"]}
    return [int(days[day]["partitions"]["validated_events"]["generation"]) for day in DAYS]


def test_everything_that_is_not_published_is_listed_and_shown(club: CommandLine) -> None:
    """Each planted row is counted once per reason, shown with its file, row and text, and lies where the list says."""
    assert counts(club) == {
        ("event_types_are_known", DAYS[0]): 4,
        ("user_ids_are_present", DAYS[0]): 1,
        ("user_ids_are_present", DAYS[1]): 1,
        ("event_ids_are_unique", DAYS[0]): 1,
        ("event_time_unreadable", None): 1,
        ("event_time_before_start_date", None): 2,
        ("file_refused", None): 0,
    }
    assert counts(club, "--from", DAYS[1]) == {("user_ids_are_present", DAYS[1]): 1}
    assert counts(club, "--reason", "duplicate", "--source", "club") == {("event_ids_are_unique", DAYS[0]): 1}
    assert not counts(club, "--source", "demo_shop")

    shown = json.loads(club.ok("quarantine", "show", "--json").out)
    facts = {(row["file"], row["source_row"], tuple(sorted(row["reasons"]))) for row in shown["rows"]}
    assert facts == {
        *(("one.csv", number, ("event_types_are_known",)) for number in (21, 22, 23)),
        ("one.csv", 24, ("event_ids_are_unique",)),
        ("one.csv", 25, ("event_time_unreadable",)),
        *(("one.csv", number, ("event_time_before_start_date",)) for number in (26, 27)),
        ("three.csv", 1, ("event_types_are_known", "user_ids_are_present")),
        ("three.csv", 2, ("user_ids_are_present",)),
    }
    for row in shown["rows"]:
        kept = pq.ParquetFile(club.folder / ".platform" / row["where"]).read().to_pylist()
        assert row["landed"] in {each["landed"] for each in kept}
    assert not shown["is_cut"]
    assert json.loads(club.ok("quarantine", "show", "--limit", "2", "--json").out)["is_cut"]

    text = club.ok("quarantine", "list").text
    assert "event_time_unreadable" in text
    assert "data/quarantined_events/dt=DAY/disposition=rejected" in text
    shown_text = club.ok("quarantine", "show", "--reason", "event_time_unreadable").text
    assert "file one.csv row 25" in shown_text
    assert "soon" in shown_text
    assert "nothing" in club.ok("quarantine", "show", "--reason", "file").text
    unknown = club("quarantine", "list", "--reason", "event_type_is_known")
    assert unknown.status == 1
    assert "Did you mean event_types_are_known?" in unknown.text


def test_a_corrected_contract_lets_in_exactly_the_days_that_hold_such_rows(club: CommandLine) -> None:
    """Nothing to do before it; a dry run changes nothing; after it one day is built, the other not; twice nothing."""
    reason = ("replay", "--reason", "event_types_are_known")
    assert "nothing to do" in club.ok(*reason).text
    types = {"mapping": {**CONTRACT["event_type"]["mapping"], "wish": "other"}}  # type: ignore[index]
    write(club.folder / ".platform/sources/club.yaml", {**CONTRACT, "event_type": types})
    tree = club.tree()
    would = json.loads(club.ok(*reason, "--dry-run", "--json").out)
    assert (would["rows_before"], would["days_to_build"]) == (4, [DAYS[0]])
    assert club.tree() == tree
    did = json.loads(club.ok(*reason, "--json").out)
    built = {each["day"] for each in did["backfill"]["built"] if each["asset"] == "validated_events"}
    assert (did["rows_before"], did["rows_after"], built) == (4, 0, {DAYS[0]})
    assert generations(club) == [2, 1]
    events = pq.read_table(club.folder / f".platform/data/validated_events/dt={DAYS[0]}/data.parquet").to_pylist()
    assert sum(row["event_type"] == "other" for row in events) == 3
    again = json.loads(club.ok(*reason, "--json").out)
    assert (again["nothing_to_do"], again["backfill"]["runs"]) == (True, 0)


def test_rows_without_a_day_get_one_once_their_file_is_read_otherwise(club: CommandLine) -> None:
    """An earlier first day: the file is read again, its two early rows get their day, and only that day is built."""
    settings = json.loads((club.folder / ".platform/platform.yaml").read_text())
    write(club.folder / ".platform/platform.yaml", {**settings, "start_date": "2026-02-01"})
    reason = ("replay", "--reason", "event_time_before_start_date", "--json")
    would: dict[str, Any] = json.loads(club.ok(*reason, "--dry-run").out)
    assert "club/one.csv" in would["files_of_an_older_contract"]
    assert counts(club)["event_time_before_start_date", None] == 2
    did = json.loads(club.ok(*reason).out)
    built = {each["day"] for each in did["backfill"]["built"] if each["asset"] == "raw_events"}
    assert (did["rows_before"], did["rows_after"]) == (2, 0)
    assert "2026-02-27" in built
    raw = pq.ParquetFile(club.folder / ".platform/data/raw_events/dt=2026-02-27/data.parquet")
    assert raw.metadata.num_rows == 2
    assert json.loads(club.ok(*reason).out)["nothing_to_do"]


def test_too_late_rows_are_admitted_once(tmp_path: Path) -> None:
    """They are listed with file and day, admitted by a replay of their days alone, and a second replay does nothing."""
    import dagster as dg

    from ml_data_platform.defs.replay import replay
    from ml_data_platform.stages.quarantine import Wanted, list_quarantine
    from ml_data_platform.stages.quarantined_rows import show_quarantine
    from ml_data_platform.stages.replay import prepare_replay

    root = late_root(tmp_path)
    for number in (7, 8):
        root.drop(f"late_{number}.jsonl", lines_of(days_ago(number), 5), source=LATE)
    wanted = Wanted("too_late")
    found = {(group.day, group.file): group.rows for group in list_quarantine(root.platform, wanted)}
    assert found == {(str(days_ago(number)), f"late_{number}.jsonl"): 5 for number in (7, 8)}
    rows = show_quarantine(root.platform, wanted, 100)
    assert Counter(row.day for row in rows) == {str(days_ago(7)): 5, str(days_ago(8)): 5}
    assert all("session_id" in row.landed for row in rows)

    only = Wanted("too_late", LATE, days_ago(7), days_ago(7))
    would = prepare_replay(root.platform, only)
    assert (would.dirty_days, would.unchanged_days) == ((days_ago(7),), ())
    job = root.definitions.resolve_job_def("replay_quarantined")
    config = {"reason": "too_late", "source": LATE, "first_day": str(days_ago(7)), "last_day": str(days_ago(7))}
    run_config = {"ops": {"let_in": {"config": config}}}
    with dg.DagsterInstance.ephemeral() as instance:
        assert job.execute_in_process(instance=instance, run_config=run_config).success
        assert len(root.rows("raw_events", days_ago(7))) == 5
        assert root.platform.store.head("raw_events", days_ago(8)) is None
        assert list_quarantine(root.platform, only) == []
        runs = instance.get_runs_count()
        assert job.execute_in_process(instance=instance, run_config=run_config).success
        assert instance.get_runs_count() == runs + 1
        report = replay(root.definitions, instance, root.platform, only, why="test")
        assert report.plan.is_empty
        assert report.built.runs == 0
