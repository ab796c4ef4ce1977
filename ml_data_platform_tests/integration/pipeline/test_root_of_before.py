"""A root that the previous state of the code made: it works as it is, is taken over once, and is guarded from then on.

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

import pytest

from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.version_root import file_hashes

BEFORE = "c6bf261"
REPOSITORY = Path(__file__).parents[3]
SCRIPT = """import gc, json, os, sys
# As tests do with the code of today.
gc.set_threshold(50_000)
os.fsync = lambda _: None
from ml_data_platform.cli import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["ml-data-platform", *arguments]
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise
"""
"""Runs commands one after the other in one process, and stops at the first that does not end well."""


def run_previous(code: Path, root: Path, *commands: tuple[object, ...]) -> None:
    """Run commands of the previous code, which must end well."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("ML_DATA_PLATFORM")}
    environment |= {"PYTHONPATH": str(code), "ML_DATA_PLATFORM_ROOT": str(root), "ML_DATA_PLATFORM_SETTLE_SECONDS": "0"}
    arguments = json.dumps([[str(each) for each in command] for command in commands])
    command = [sys.executable, "-c", SCRIPT, arguments]
    done = subprocess.run(command, cwd=code, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root of the previous code: a generated day, built, with a retracted file and a version."""
    folder = tmp_path_factory.mktemp("before")
    archive = subprocess.run(
        ["git", "-C", str(REPOSITORY), "archive", BEFORE, "ml_data_platform"], capture_output=True, check=False
    )
    if archive.returncode:
        pytest.skip(f"the history of the repository does not reach back to {BEFORE}")
    (folder / "code").mkdir()
    subprocess.run(["tar", "-x", "-C", str(folder / "code")], input=archive.stdout, check=True)
    root = folder / "root"
    generated = ("generate", "--out", root / "landing", "--start", "2026-06-01", "--days", 1)
    other = folder / "other.jsonl"
    event = {"event_id": "x", "user_id": "u", "session_uuid": "s", "event_type": "page_view"}
    other.write_text(json.dumps({**event, "event_timestamp": 1780310000000, "sequence": 1}) + "\n")
    run_previous(
        folder / "code",
        root,
        ("init",),
        (*generated, "--events-per-day", 60, "--seed", 3),
        ("land", "--historical"),
        ("land", "--historical", "--source", "demo_shop", other),
        ("retract", "other.jsonl", "--source", "demo_shop", "--reason", "a test"),
        ("backfill",),
        ("version", "cut"),
    )
    return root


@pytest.fixture
def root(before: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    shutil.copytree(before, tmp_path / "root", symlinks=True)
    return tmp_path / "root"


def stored(root: Path) -> dict[str, str]:
    """Return the hashes of all records and objects, landed bytes and files of the view."""
    return {
        f"{top}/{path}": digest
        for top in ("data", "_store", "ledger", "raw")
        for path, digest in file_hashes(root / top).items()
        if not path.startswith(("locks/", "tmp/", "compared", "instance.json"))
    }


def test_it_is_taken_over_once_and_each_record_is_guarded_from_then_on(root: Path, tmp_path: Path) -> None:
    """Nothing is due, all is whole, the advice names the command; after it no byte is another, and a flip is found."""
    cli, old = CommandLine(tmp_path), stored(root)
    assert json.loads(cli.ok("plan", "--root", "root", "--json").out) == []
    found = json.loads(cli.ok("verify", "--root", "root", "--json").out)
    assert (found["is_whole"], ["ml-data-platform adopt" in each for each in found["advice"]]) == (True, [True])
    assert json.loads(cli.ok("plan", "--root", "root", "--json").out) == []
    dry = json.loads(cli.ok("adopt", "--dry-run", "--json", "--root", "root").out)
    done = json.loads(cli.ok("adopt", "--json", "--root", "root").out)
    assert [step["what"] for step in done["steps"]] == [step["what"] for step in dry["steps"]]
    assert done["steps"][0] == dry["steps"][0]
    assert done["steps"][0]["count"] > 0
    again = json.loads(cli.ok("adopt", "--json", "--root", "root").out)
    assert [step["count"] for step in again["steps"]] == [0] * len(again["steps"])
    new = stored(root)
    assert {path: new.get(path) for path in old} == old, "a stored file was rewritten"
    found = json.loads(cli.ok("verify", "--root", "root", "--json").out)
    assert (found["is_whole"], found["advice"]) == (True, [])
    assert json.loads(cli.ok("plan", "--root", "root", "--json").out) == []
    cli.ok("version", "verify", "--root", "root")
    # Without a digest of its own: a flip within its text was another name before.
    noted = json.loads((root / "ledger" / "_adopted.json").read_bytes())["records"]
    name = root / next(key for key in noted if ".names/" in key)
    data = name.read_bytes()
    name.chmod(0o644)
    name.write_bytes(data.replace(b'"seen_at":"2', b'"seen_at":"3'))
    assert name.read_bytes() != data
    (defect,) = json.loads(cli("verify", "--root", "root", "--json").out)["defects"]
    assert (defect["kind"], defect["key"]) == ("ledger_record_damaged", name.relative_to(root).as_posix())
    cli.ok("verify", "--repair", "--root", "root")
    assert json.loads(cli.ok("verify", "--root", "root", "--json").out)["is_whole"] is True


def test_it_goes_on_before_it_is_taken_over(root: Path, tmp_path: Path) -> None:
    """Files land, days are built and decisions are undone in a root that nobody took over yet; then it is taken over."""
    cli = CommandLine(tmp_path)
    cli.ok("reinstate", "other.jsonl", "--source", "demo_shop", "--reason", "it was right", "--root", "root")
    due = {entry["asset"] for entry in json.loads(cli.ok("plan", "--root", "root", "--json").out)}
    assert "raw_events" in due
    cli.ok("adopt", "--root", "root")
    twins = sorted((root / "ledger" / "_twins" / "demo_shop").iterdir())
    assert [path.name.split(".")[1] for path in twins] == ["00000001", "00000002"]
    cli.ok("verify", "--root", "root")
