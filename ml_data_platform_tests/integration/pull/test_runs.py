"""Pulls through Dagster and the command line: the sensor finds what is new, the asset and the command take it in."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from ml_data_platform.stages.pulling import pull_days
from ml_data_platform.stages.seen_days import watched_days
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.file_server import FileServer, cut, serving, status
from ml_data_platform_tests.pipeline_root import NOW, PipelineRoot, day
from ml_data_platform_tests.pull_root import HASTY, SOURCE, landed_rows, offer, root_pulling
from ml_data_platform_tests.sensor_loop import QUIET, SensorLoop

TODAY = NOW.date()


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A web server."""
    with serving() as running:
        yield running


@pytest.fixture
def loop(tmp_path: Path, server: FileServer, instance: dg.DagsterInstance) -> SensorLoop:
    """The sensors over a root that pulls one file a day."""
    return SensorLoop(root_pulling(tmp_path, f"{server.url}/{{date}}.jsonl"), instance)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between attempts."""
    assert pull_days.__kwdefaults__ is not None
    monkeypatch.setitem(pull_days.__kwdefaults__, "patience", HASTY)


def put(server: FileServer, of: dt.date, rows: int, name: str = "a") -> None:
    """Offer a file of a day."""
    server.files[f"/{of}.jsonl"] = offer(of, rows, name).content


def ago(days: int) -> dt.date:
    """Return a day before the root's today."""
    return TODAY - dt.timedelta(days=days)


def test_the_sensor_pulls_what_is_new_and_asks_no_more_than_it_must(loop: SensorLoop, server: FileServer) -> None:
    """The last three days are looked at, others are not; a file leads to one run; then nothing is asked for."""
    put(server, ago(1), 5)
    put(server, ago(9), 99)
    (asked,) = loop.requests("pull_sensor")
    assert sorted(server.requests) == [("HEAD", f"/{ago(back)}.jsonl") for back in (2, 1, 0)]
    assert asked.run_config == {"ops": {"landed_files": {"config": {"pull_sources": [SOURCE]}}}}
    result = loop.execute(asked)
    assert result is not None
    assert result.success
    assert landed_rows(loop.root) == {str(ago(1)): 5}
    server.requests.clear()
    silent = loop.look("pull_sensor")
    assert not silent.run_requests
    assert f"nothing new at the addresses of 3 days of {SOURCE}" in str(silent.skip_reason)
    assert {method for method, _ in server.requests} == {"HEAD"}
    put(server, ago(1), 6, "b")
    assert len(loop.requests("pull_sensor")) == 1


@pytest.mark.usefixtures("hasty")
def test_a_place_that_fails_is_left_for_the_next_look(loop: SensorLoop, server: FileServer) -> None:
    """The sensor asks once and says what it could not reach; a run whose file cannot be fetched warns and ends."""
    put(server, ago(1), 5)
    server.fail(f"/{ago(1)}.jsonl", status(500), method="HEAD")
    silent = loop.look("pull_sensor")
    assert f"not reached: {SOURCE} {ago(1)}: it cannot be fetched: the server answered 500" in str(silent.skip_reason)
    server.fail(f"/{ago(1)}.jsonl", *[status(404)] * 9)
    (asked,) = loop.requests("pull_sensor")
    result = loop.execute(asked)
    assert result is not None
    assert result.success
    (check,) = [each for each in result.get_asset_check_evaluations() if each.check_name == "files_are_readable"]
    assert not check.passed
    # The same files are asked for again, but later and later.
    again = loop.look("pull_sensor")
    assert not again.run_requests
    assert "files are waiting" in str(again.skip_reason)


def test_days_that_passed_meanwhile_are_caught_up_with(loop: SensorLoop, server: FileServer) -> None:
    """A platform that stood still, or a place that did, loses no day; before the first look nothing is fetched."""
    root = loop.root
    contract = root.platform.contracts[SOURCE]
    assert watched_days(root.platform, contract) == [ago(2), ago(1), TODAY]
    loop.look("pull_sensor")
    later = SensorLoop(root.at(NOW + dt.timedelta(days=6)), loop.instance)
    missed = [TODAY + dt.timedelta(days=offset) for offset in range(-1, 7)]
    assert watched_days(later.root.platform, contract) == missed
    put(server, ago(0), 5)
    server.fail(f"/{ago(1)}.jsonl", status(500), method="HEAD")
    (asked,) = later.requests("pull_sensor")
    later.execute(asked)
    assert landed_rows(root) == {str(TODAY): 5}
    # All are settled by now but the one that failed first and was looked at by the run since.
    assert watched_days(later.root.platform, contract) == missed[-3:]


def test_a_run_in_the_ui_pulls_the_days_it_is_given(loop: SensorLoop, server: FileServer) -> None:
    """Any days, of the sources that are named; half a range is refused with the reason."""
    for of in (day(1), day(2), day(3)):
        put(server, of, 4)
    job = loop.root.definitions.resolve_job_def("ingest")

    def run(**config: object) -> dg.ExecuteInProcessResult:
        ops = {"ops": {"landed_files": {"config": config}}}
        return job.execute_in_process(instance=loop.instance, run_config={**QUIET, **ops}, raise_on_error=False)

    assert run(pull_from=str(day(1)), pull_to=str(day(2)), pull_sources=[]).success
    assert landed_rows(loop.root) == {}
    assert run(pull_from=str(day(1)), pull_to=str(day(2))).success
    assert landed_rows(loop.root) == {str(day(1)): 4, str(day(2)): 4}
    refused = run(pull_from=str(day(1)))
    assert not refused.success
    failure = refused.failure_data_for_node("landed_files")
    assert failure is not None
    assert "only one day of the range is named" in str(failure.error)


def test_without_an_address_the_sensor_has_nothing_to_do(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """And it says so."""
    from ml_data_platform_tests.pipeline_root import settings_for

    loop = SensorLoop(PipelineRoot(settings_for(tmp_path / "root")), instance)
    assert "no source names an address" in str(loop.look("pull_sensor").skip_reason)


@pytest.fixture
def cli(tmp_path: Path, server: FileServer) -> CommandLine:
    """The command line beside a root that pulls."""
    made = root_pulling(tmp_path / "made", f"{server.url}/{{date}}.jsonl")
    contract = tmp_path / ".platform" / "sources" / f"{SOURCE}.yaml"
    contract.parent.mkdir(parents=True)
    contract.write_bytes((made.settings.sources / contract.name).read_bytes())  # type: ignore[operator]
    return CommandLine(tmp_path)


def test_the_command_says_what_it_did_with_each_file(cli: CommandLine, server: FileServer) -> None:
    """Dry run, pull, pull again: a line per file and day, and a document for scripts."""
    put(server, day(1), 4)
    arguments = ("land", "--source", SOURCE, "--from", day(1), "--to", day(2))
    dry = cli.ok(*arguments, "--dry-run")
    assert "would fetch 1 file; nothing was fetched" in dry.out
    assert server.asked("GET") == []
    done = cli.ok(*arguments)
    (line,) = [line for line in done.out.splitlines() if line.startswith(f"{day(1)}")]
    assert line.split() == [str(day(1)), f"{day(1)}.jsonl", str(len(server.files[f"/{day(1)}.jsonl"])), "4", "landed"]
    assert "nothing there (yet)" in done.text
    assert "landed 1 file with 4 rows on 1 day" in done.out
    document = json.loads(cli.ok(*arguments, "--json").out)
    assert (document["files"], document["unchanged_files"], document["empty_days"]) == (1, 1, 1)
    assert [each["outcome"] for each in document["pulled"]] == ["unchanged"]


@pytest.mark.usefixtures("hasty")
def test_the_command_fails_where_a_file_cannot_be_had(cli: CommandLine, server: FileServer) -> None:
    """Exit status 1, the file and the reason, now and in `status`; the other file is in."""
    put(server, day(1), 4)
    put(server, day(2), 4)
    server.fail(f"/{day(1)}.jsonl", *[cut] * 40)
    result = cli("land", "--source", SOURCE, "--from", day(1), "--to", day(2))
    assert result.status == 1
    assert "landed 1 file with 4 rows" in result.out
    assert "not landed" in result.out
    assert "the connection was cut" in result.text
    assert f"{day(1)}.jsonl" in cli.ok("status").text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--source", "demo_shop"), "names no address to pull from"),
        (("--source", "nobody"), "there is no contract of this source"),
        (("--source", SOURCE, "--from", "2026-03-02"), "name both days"),
        (("--from", "2026-03-02", "--to", "2026-03-03"), "it goes with --source, and without paths"),
        (("--dry-run",), "it goes with --source, and without paths"),
        (("--source", SOURCE, "--from", "2025-01-01", "--to", "2025-01-02"), "before the first day of this root"),
    ],
)
def test_arguments_that_make_no_sense_are_explained(cli: CommandLine, arguments: tuple[str, ...], says: str) -> None:
    """Nothing is asked of any server."""
    result = cli("land", *arguments)
    assert result.status in {1, 2}
    assert says in result.text
