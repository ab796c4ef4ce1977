"""The README's walk from an unknown CSV to training partitions, pasted as it stands."""

from __future__ import annotations

import csv
import datetime as dt
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from ml_data_platform_tests.command_line import CommandLine

TITLE = "Bring your own events, from a CSV to training partitions"
DAY = dt.timedelta(days=1)
COMMAND = re.compile(r"^(ml-data-platform .*)$", flags=re.MULTILINE)


def blocks() -> list[str]:
    """Return the shell blocks of the section."""
    readme = Path(__file__).parents[3] / "README.md"
    section = readme.read_text(encoding="utf-8").partition(f"\n## {TITLE}\n")[2].partition("\n## ")[0]
    return re.findall(r"```bash\n(.*?)```", section, flags=re.DOTALL)


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which all blocks were run, commands of the platform in this process, and what they printed."""
    work = tmp_path_factory.mktemp("walk")
    cli, printed = CommandLine(work), ""
    for number, text in enumerate(COMMAND.split("\n".join(blocks()))):
        if number % 2 == 0:
            printed += in_shell(work, text)
            continue
        command, _, otherwise = text.partition(" || ")
        result = cli(*shlex.split(command)[1:])
        printed += result.out
        assert result.status == 0 or otherwise, result
        if result.status != 0:
            printed += in_shell(work, otherwise)
    return work, printed


def in_shell(work: Path, text: str) -> str:
    """Run what is no command of the platform in a shell, and return what it printed."""
    python = f'python() {{ {shlex.quote(sys.executable)} "$@"; }}\n'
    options = ["bash", "-eu", "-o", "pipefail"]
    done = subprocess.run(options, input=python + text, cwd=work, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def events(work: Path) -> list[tuple[dt.datetime, str, str]]:
    """Return UTC time, session and action of every distinct row with a time, read without the platform."""
    rows = []
    for path in ("tickets.csv", "more.csv", "exports/dt=2026-06-03/tickets.csv"):
        with (work / path).open(encoding="utf-8", newline="") as file:
            rows += [row for row in csv.DictReader(file, delimiter="|") if row["Zeit (lokal)"][:1].isdigit()]
    zone = ZoneInfo("Europe/Berlin")
    read = {
        (
            dt.datetime.strptime(row["Zeit (lokal)"], "%d.%m.%Y %H:%M:%S").replace(tzinfo=zone).astimezone(dt.UTC),
            row["Sitzung"],
            row["Aktion"],
        )
        for row in rows
    }
    return sorted(read)


@pytest.mark.slow
def test_the_walk_works_as_it_is_written(walked: tuple[Path, str]) -> None:
    """Every command ends well, and the training partitions hold the rows and labels that the files say."""
    work, printed = walked
    found = pd.read_parquet(work / ".platform" / "data" / "date_partitions")
    expected = events(work)
    assert len(found) == len(expected) == 15
    assert Counter(found["dt"].astype(str)) == Counter(str(at.date()) for at, _, _ in expected)
    bought = [
        any(kind == "Kauf" and at < other <= at + DAY and of == session for other, of, kind in expected)
        for at, session, _ in expected
    ]
    by_time = found.sort_values("event_timestamp")
    assert [bool(label) for label in by_time["label"]] == bought
    assert [pd.Timestamp(at) for at, _, _ in expected] == list(by_time["event_timestamp"])
    for line in ("good: every day of the file would be published", "nothing there (yet)", "event_time_unreadable"):
        assert line in printed


def test_the_walk_names_only_commands_that_exist() -> None:
    """Each block calls a command of the program, or writes what the next one reads."""
    called = set(re.findall(r"^ml-data-platform ([a-z]+)", "\n".join(blocks()), flags=re.MULTILINE))
    assert called == {"sources", "land", "backfill", "status", "quarantine"}
