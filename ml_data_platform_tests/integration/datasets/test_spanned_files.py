"""A version over days of red files is refused unless somebody says why, and says what files its days are made of."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ml_data_platform.defs.assets.dataset_versions import dataset_versions
from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.settings import load_settings
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.unusable_logs import SOURCE, rows, write, write_contract

pytestmark = pytest.mark.slow
DAYS = ("2026-06-01", "2026-06-02", "2026-06-03")
WORDS = "the producer lost the clock of that evening"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three built days: a file each; one row of the first is unusable, half of the third; to be copied."""
    folder = tmp_path_factory.mktemp("spanned")
    write_contract(folder, "csv")
    cli = CommandLine(folder)
    files = [
        write(folder / f"{number}.csv", rows(50, day=day, bad=bad, name=f"u{number}"))
        for number, (day, bad) in enumerate(zip(DAYS, (1, 0, 50), strict=True))
    ]
    assert cli("land", *files, "--source", SOURCE, "--historical").status == 1
    cli.build()
    return folder


@pytest.fixture
def cli(built: Path, tmp_path: Path) -> CommandLine:
    """A copy of the built days."""
    return CommandLine(Path(shutil.copytree(built, tmp_path / "copy")))


def manifest(cli: CommandLine) -> dict[str, Any]:
    """Return the newest version's manifest as git has it."""
    folder = cli.folder / ".platform/versions"
    text = subprocess.run(
        ["git", "show", "HEAD:version.json"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout
    return dict(json.loads(text))


def test_a_version_over_a_red_file_needs_a_reason(cli: CommandLine) -> None:
    """Refused with file, share and remedy, also as a dry run; days without it are not; accepted, it says why and what."""
    for more in ((), ("--dry-run",), ("--accept-unusable", " ")):
        refused = cli("version", "cut", *more)
        assert refused.status == 1
        assert f"{SOURCE}/2.csv: 50 of 100 rows (50.00%) reach no day" in refused.text
        assert "--accept-unusable" in refused.text
    assert not (cli.folder / ".platform/versions/version.json").exists()
    others = json.loads(cli.ok("version", "cut", "--to", DAYS[1], "--accept-unusable", WORDS, "--json").out)
    spanned = others["spanned_files"]
    # Nothing red was among them, so there was nothing to accept.
    assert spanned["accepted"] == ""
    first = {"files": 2, "rows": 101, "unusable": {"event_time_unreadable": 1}, "red_files": 0, "warned_files": 1}
    assert spanned["sources"] == [{"source": SOURCE, "expected": {}, **first}]
    cli.ok("version", "cut", "--accept-unusable", WORDS)
    spanned = manifest(cli)["spanned_files"]
    assert spanned["accepted"] == WORDS
    assert spanned["sources"][0]["unusable"] == {"event_time_unreadable": 51}
    assert [(each["name"], each["level"], each["rows"]) for each in spanned["worst"]] == [
        ("2.csv", "red", 100),
        ("0.csv", "warn", 51),
    ]
    assert WORDS in cli.ok("version", "show", "latest").text
    again = json.loads(cli.ok("version", "cut", "--accept-unusable", WORDS, "--json").out)
    assert again["outcome"] == "unchanged"


def test_a_file_without_any_usable_row_holds_up_every_day_of_its_source(cli: CommandLine) -> None:
    """Nobody knows which days its rows are of."""
    alone = write(cli.folder / "alone.csv", rows(0, bad=3))
    assert cli("land", alone, "--source", SOURCE, "--historical").status == 1
    refused = cli("version", "cut", "--to", DAYS[1])
    assert (refused.status, "alone.csv: 3 of 3 rows" in refused.text) == (1, True)


def test_a_corrected_contract_lets_versions_through(cli: CommandLine) -> None:
    """What is refused now is not refused once the contract tolerates it: nothing of the refusal is stored."""
    assert cli("version", "cut").status == 1
    write_contract(cli.folder, "csv", unusable_rows={"red": 0.6})
    cut = json.loads(cli.ok("version", "cut", "--json").out)
    (source,) = cut["spanned_files"]["sources"]
    assert (source["files"], source["red_files"], cut["spanned_files"]["accepted"]) == (3, 0, "")
    # A tolerance alone makes no other version of the same bytes.
    write_contract(cli.folder, "csv", unusable_rows={"red": 0.7})
    assert json.loads(cli.ok("version", "cut", "--json").out)["outcome"] == "unchanged"


def test_the_asset_refuses_and_accepts_alike(cli: CommandLine) -> None:
    """dataset_versions asks for the same words in its configuration."""
    settings = load_settings({}, cli.folder / ".platform", root=cli.folder / ".platform")

    def materialise(**words: str) -> dg.ExecuteInProcessResult:
        with dg.DagsterInstance.ephemeral() as instance:
            return dg.materialize(
                [dataset_versions()],
                instance=instance,
                resources={"platform": PlatformResource.of(settings)},
                run_config={
                    "ops": {"dataset_versions": {"config": words}},
                    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                },
                raise_on_error=False,
            )

    assert not materialise().success
    done = materialise(accept_unusable=WORDS)
    assert done.success
    (event,) = done.asset_materializations_for_node("dataset_versions")
    assert event.metadata["accepted_unusable"].value == WORDS
    assert event.metadata["unusable_rows"].value == 51
