"""A root that the previous state of the code made: what is to be done with it is said, done once, and loses nothing.

The previous code is taken from the repository's own history and run with the packages of today, as an operator would have
run it. Skipped where the history is not there (a source archive, a shallow clone).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.version_root import file_hashes

BEFORE = "76666904384e"
REPOSITORY = Path(__file__).parents[3]
TABLES = (
    "raw_events", "validated_events", "quarantined_events", "session_features", "session_summaries", "date_partitions",
    "label_partitions", "stratified_partitions",
)  # fmt: skip
# Two files of a log without event ids or an order: the lines of a visit come in the same minute.
LOG = """source: till
format: csv
schema_version: 1
columns: {user_id: customer, session_id: visit, event_type: what, timestamp: at}
"""
# Of an array the previous code made one row without a day, and said no more.
FEED = "source: feed\nformat: jsonl\nschema_version: 1\ncolumns: {event_id: event_id}\n"
HEADER = "customer,visit,what,at,item\n"


class PreviousCode:
    """The command line of the previous state, in a process of its own."""

    def __init__(self, code: Path, root: Path) -> None:
        self._code = code
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(code),
            "ML_DATA_PLATFORM_ROOT": str(root),
            "ML_DATA_PLATFORM_SETTLE_SECONDS": "0",
        }

    def __call__(self, *arguments: object) -> str:
        """Run a command that must end well; returns what it printed."""
        command = [sys.executable, "-c", "from ml_data_platform.cli import main; main()", *map(str, arguments)]
        done = subprocess.run(
            command, cwd=self._code, env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def lines(day: int, count: int, *, first: int = 0) -> str:
    """Return lines of a day: four of each visit within one minute; in every third visit the third of them buys."""
    kinds = ("page_view", "add_to_cart", "page_view", "other")
    return "".join(
        f"c{number // 8},v{number // 4},{'purchase' if number % 12 == 2 else kinds[number % 4]},2026-06-0{day}T10:{number // 4 % 60:02d}:00Z,i{number}\n"
        for number in range(first, first + count)
    )


def item(number: int) -> dict[str, str]:
    """Return an event of the feed."""
    at = f"2026-06-02T11:00:0{number} UTC"
    return {"event_id": f"f{number}", "user_id": "u", "session_id": "s", "event_type": "other", "timestamp": at}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root of the previous code: generated days and a till's log, all built, a version cut and a model trained on it."""
    folder = tmp_path_factory.mktemp("before")
    archive = subprocess.run(
        ["git", "-C", str(REPOSITORY), "archive", BEFORE, "ml_data_platform"], capture_output=True, check=False
    )
    if archive.returncode:
        pytest.skip(f"the history of the repository does not reach back to {BEFORE}")
    (folder / "code").mkdir()
    subprocess.run(["tar", "-x", "-C", str(folder / "code")], input=archive.stdout, check=True)
    root, files = folder / "root", folder / "files"
    run = PreviousCode(folder / "code", root)
    run("init")
    (root / "sources").mkdir(exist_ok=True)
    (root / "sources" / "till.yaml").write_text(LOG)
    (root / "sources" / "feed.yaml").write_text(FEED)
    files.mkdir()
    (files / "array.json").write_text(json.dumps([item(number) for number in range(5)], indent=1))
    (files / "a.csv").write_text(HEADER + lines(1, 80) + lines(2, 60))
    (files / "b.csv").write_text(HEADER + lines(2, 40, first=40) + lines(3, 40))
    run(
        "generate",
        "--out",
        root / "landing",
        "--start",
        "2026-06-01",
        "--days",
        3,
        "--events-per-day",
        200,
        "--seed",
        3,
    )
    run("land", "--historical")
    run("land", "--historical", "--source", "till", files / "a.csv", files / "b.csv")
    run("land", "--historical", "--source", "feed", files / "array.json")
    run("backfill")
    run("version", "cut")
    run("train", "--cutoff", "2026-06-03")
    return root


@pytest.fixture
def root(before: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    shutil.copytree(before, tmp_path / "root", symlinks=True)
    return tmp_path / "root"


def count(root: Path, query: str) -> list[tuple[object, ...]]:
    """Run a query over the published tables."""
    return duckdb.sql(
        query.format(**{name: f"read_parquet('{root}/data/{name}/**/*.parquet')" for name in TABLES})
    ).fetchall()


def test_a_dry_run_says_what_is_to_be_done_and_only_that_is_done(root: Path) -> None:
    """Reading stays possible before anything is built; the plan names the days and why; built once, all is clean and whole."""
    cli = CommandLine(root.parent)
    old = {table: file_hashes(root / "data" / table) for table in TABLES}
    assert cli("version", "verify", "--root", "root").status == 0
    said = json.loads(cli("plan", "--root", "root", "--json").out)
    due = {(entry["asset"], entry["day"]) for entry in said}
    # Files are not read again: what landed is what it was.
    assert not [entry for entry in said if entry["asset"] == "raw_events"]
    assert {day for asset, day in due if asset == "validated_events"} >= {"2026-06-01", "2026-06-02", "2026-06-03"}
    assert all("code_version" in str(entry["reasons"]) for entry in said if entry["status"] == "dirty"), said
    assert old == {table: file_hashes(root / "data" / table) for table in TABLES}, "a dry run changed a table"
    cli.ok("backfill", "--root", "root")
    assert json.loads(cli("plan", "--root", "root", "--json").out) == []
    cli.ok("verify", "--root", "root")
    assert file_hashes(root / "data" / "raw_events") == old["raw_events"]


def test_no_row_is_lost_and_the_result_is_that_of_a_new_root(root: Path, tmp_path: Path) -> None:
    """After the rebuild every table has the bytes that the same files lead to in a root of today."""
    cli = CommandLine(tmp_path)
    cli.ok("backfill", "--root", "root")
    refused = cli("rebuild", "--root", "root", "--to", "again")
    assert (refused.status, "`ml-data-platform land`" in refused.text, (tmp_path / "again").exists()) == (
        1,
        True,
        False,
    )
    cli.ok("land", "--root", "root")
    cli.ok("backfill", "--root", "root")
    cli.ok("rebuild", "--root", "root", "--to", "again")
    accounts = count(
        root,
        """SELECT (SELECT count(*) FROM {raw_events}), (SELECT count(*) FROM {validated_events})
            + (SELECT count(*) FROM {quarantined_events})""",
    )[0]
    assert accounts[0] == accounts[1]
    duplicates = count(
        root, "SELECT count(*) FROM {quarantined_events} WHERE source = 'till' AND rules = ['event_ids_are_unique']"
    )
    # Lines 40 to 59 of the second day stand in both files.
    assert duplicates == [(20,)]


def test_versions_and_models_of_before_stay(root: Path, tmp_path: Path) -> None:
    """An old version is loaded and verified after its days were built anew, and its model is traced to landed rows."""
    cli = CommandLine(tmp_path)
    tag = json.loads(cli.ok("version", "list", "--root", "root", "--json").out)[0]["tag"]
    told = "SELECT label, session_event_count, session_elapsed_seconds FROM {date_partitions} ORDER BY ALL"
    rows = count(root, told)
    cli.ok("backfill", "--root", "root")
    assert count(root, told) != rows, "nothing changed: the test shows nothing"
    cli.ok("version", "verify", "--root", "root")
    from ml_data_platform.datasets.load_dataset import load_dataset

    loaded = load_dataset(tag, root=root).to_pandas()[["label", "session_event_count", "session_elapsed_seconds"]]
    assert sorted(loaded.itertuples(index=False, name=None)) == rows
    traced = cli("trace", "latest", "--root", "root", "--json")
    assert traced.status == 0, traced


def test_files_that_could_not_be_read_are_read_again_once(root: Path, tmp_path: Path) -> None:
    """What the previous code took for one broken row is told at once, and is read by the next landing; nothing else is dirty."""
    cli = CommandLine(tmp_path)
    status = cli("status", "--root", "root")
    assert (status.status, "feed" in status.text) == (1, True)
    cli.ok("backfill", "--root", "root")
    cli.ok("land", "--root", "root")
    due = {(entry["asset"], entry["day"]) for entry in json.loads(cli("plan", "--root", "root", "--json").out)}
    assert {day for asset, day in due if asset == "raw_events"} == {"2026-06-02"}
    cli.ok("backfill", "--root", "root")
    assert count(root, "SELECT count(*) FROM {validated_events} WHERE source = 'feed'") == [(5,)]
    cli.ok("status", "--root", "root")
    cli.ok("land", "--root", "root")
    assert json.loads(cli("plan", "--root", "root", "--json").out) == []
