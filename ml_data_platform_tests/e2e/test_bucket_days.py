"""Two lives of one root in a bucket: the first `dev` is killed in the middle of a refresh, and the second goes on from there.

Nothing but the root, its landing folder and what is pulled lie in the bucket. Starting takes long, so all tests share
the two lives, and look at what came of them.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Page, expect

from ml_data_platform.defs.instance import open_instance
from ml_data_platform.locations import S3Location
from ml_data_platform.settings import default_home, load_settings
from ml_data_platform.stages.state import TABLES
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.e2e.checkout import CHECKOUT
from ml_data_platform_tests.e2e.conftest import TEST_SECONDS, Seen
from ml_data_platform_tests.e2e.dagster_process import DagsterDev, clean_environment
from ml_data_platform_tests.e2e.killed_daemons import Drop, ended_runs, faults, lose_cursors, wait_for_rest
from ml_data_platform_tests.e2e.user_interface import Run, UserInterface
from ml_data_platform_tests.pipeline_root import SHOP, PipelineRoot
from ml_data_platform_tests.pull_root import SOURCE
from ml_data_platform_tests.s3_server import CREDENTIALS, S3Server

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(TEST_SECONDS)]
TOUCHED = dt.date(2026, 3, 5)
AFTER = TOUCHED + dt.timedelta(days=1)
"""No row falls on it, and its features read the day before."""
FIRST, LATE, PULLED = (
    Drop(0, "first.jsonl", TOUCHED, 20),
    Drop(0, "late.jsonl", TOUCHED, 5),
    Drop(0, "pulled.jsonl", TOUCHED, 5, SOURCE),
)
EVENT_TABLES = ("raw_events", "validated_events", "quarantined_events")
TRAINING_TABLES = ("date_partitions", "label_partitions", "stratified_partitions")


@dataclass
class Deployment:
    """A machine that has a bucket for everything, as its user sets it up.

    Attributes:
        folder: Home of the user, and where commands are started.
        s3: Where the bucket is.
        bucket: Its name.
        today: The present UTC day.
    """

    folder: Path
    s3: S3Server
    bucket: str
    today: dt.date = field(default_factory=lambda: dt.datetime.now(dt.UTC).date())

    def __post_init__(self) -> None:
        self.url = f"s3://{self.bucket}/team/root"
        self.home = self.folder / default_home(S3Location.parse(self.url), None).relative_to(Path.home())
        self.environment = clean_environment(
            HOME=str(self.folder),
            PYTHONPATH=str(CHECKOUT),
            **self.s3.environment,
            ML_DATA_PLATFORM_ROOT=self.url,
            ML_DATA_PLATFORM_LANDING=f"s3://{self.bucket}/drops",
            ML_DATA_PLATFORM_START_DATE=str(TOUCHED),
            ML_DATA_PLATFORM_SENSOR_INTERVAL_SECONDS="5",
            ML_DATA_PLATFORM_PULL_INTERVAL_SECONDS="5",
        )
        (self.home / "sources").mkdir(parents=True)
        contract = f"source: {SOURCE}\nformat: jsonl\npull: {{url: 's3://{self.bucket}/exports/dt={{date}}/*.jsonl'}}\n"
        (self.home / "sources" / f"{SOURCE}.yaml").write_text(contract, encoding="utf-8")

    def dev(self) -> DagsterDev:
        """Return what `ml-data-platform dev` starts."""
        return DagsterDev(self.folder, self.folder / "dev.log", self.environment)

    def root(self) -> PipelineRoot:
        """Return the root as it is now."""
        here = {"home": self.home, "s3_endpoint_url": self.s3.endpoint_url}
        return PipelineRoot(load_settings(self.environment, self.folder, **here), now=dt.datetime.now(dt.UTC))

    def drop(self, file: Drop) -> None:
        """Put a file into the landing folder."""
        self._put(f"drops/{SHOP}/{file.name}", file.text)

    def offer(self, file: Drop) -> None:
        """Put a file where the contract says that yesterday's are pulled from."""
        self._put(f"exports/dt={self.today - dt.timedelta(days=1)}/{file.name}", file.text)

    def run(self, *arguments: str) -> None:
        """Run a command of the platform, which must end well."""
        done = CommandLine(self.folder)(*arguments, environment=self.environment)
        (self.folder / f"{arguments[0]}.log").write_text(done.out + done.err, encoding="utf-8")
        assert done.status == 0, done

    def ids(self, asset: str, of: dt.date) -> list[str]:
        """Return the ids of the events of a partition in the view, with a plain client."""
        keys = [key for key in self._keys(f"team/root/data/{asset}/dt={of}/") if key.endswith(".parquet")]
        tables = [pq.ParquetFile(io.BytesIO(self._get(key))).read(["event_id"]) for key in keys]
        return sorted(each.partition(":")[2] for table in tables for each in table["event_id"].to_pylist())

    def written(self) -> list[tuple[str, bytes]]:
        """Return everything that is in the bucket or below the user's home, by name."""
        paths = [path for path in self.folder.rglob("*") if path.is_file()]
        return [*((str(path), path.read_bytes()) for path in paths), *((key, self._get(key)) for key in self._keys(""))]

    def _keys(self, beginning: str) -> list[str]:
        pages = self.s3.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=beginning)
        return [each["Key"] for page in pages for each in page["Contents"]]

    def _put(self, key: str, text: str) -> None:
        self.s3.client.put_object(Bucket=self.bucket, Key=key, Body=text.encode())

    def _get(self, key: str) -> bytes:
        return bytes(self.s3.client.get_object(Bucket=self.bucket, Key=key)["Body"].read())


@dataclass(frozen=True)
class FirstLife:
    """The first process.

    Attributes:
        seen: What it showed of the days that the command line had built.
        killed: Runs that were under way when all processes were killed, each with its job.
    """

    seen: Seen
    killed: Mapping[str, str]


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory, s3: S3Server) -> Deployment:
    """A root in a bucket, in which the command line built a day with a file, and the day after."""
    found = Deployment(tmp_path_factory.mktemp("user"), s3, s3.new_bucket())
    found.drop(FIRST)
    found.run("land", "--historical")
    found.run("backfill", "--from", str(TOUCHED), "--to", str(AFTER), "--json")
    return found


@pytest.fixture(scope="module")
def first_life(mine: Deployment) -> FirstLife:
    """A late file comes, and another to be pulled; all processes are killed while a refresh of their day runs."""
    with mine.dev() as dagster:
        ui = UserInterface(dagster)
        seen = Seen.by(ui)
        mine.drop(LATE)
        mine.offer(PULLED)
        dagster.wait_until(
            lambda: "refresh_day" in {run.job for run in ui.runs(statuses=["STARTED"])}, 900, "a refresh runs"
        )
        ui.switch_sensors("pull_sensor", on=False)
        dagster.kill()
    with open_instance(mine.root().settings) as instance:
        under_way = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
        killed = {run.run_id: run.job_name for run in instance.get_runs(dg.RunsFilter(statuses=under_way))}
    return FirstLife(seen, killed)


@dataclass(frozen=True)
class SecondLife:
    """The second process, when nothing was left to do.

    Attributes:
        ui: Its UI, which is open.
        seen: What it showed at its beginning.
        pull_sensor: Status of the sensor that was stopped, at the beginning.
        ended: Runs by id, with their work and end.
        new: Runs that neither the command line nor the first process had ended.
    """

    ui: UserInterface
    seen: Seen
    pull_sensor: str
    ended: Mapping[str, str]
    new: tuple[Run, ...]


@pytest.fixture(scope="module")
def second_life(mine: Deployment, first_life: FirstLife) -> Iterator[SecondLife]:
    """What the daemon remembers of the sensors that look at files and days is lost, and the next one goes on."""
    assert lose_cursors(mine.root().settings.dagster_home, but="pull_sensor") > 0
    with mine.dev() as dagster:
        ui = UserInterface(dagster)
        seen, pull_sensor = Seen.by(ui), ui.sensor("pull_sensor")["status"]
        ui.switch_sensors("pull_sensor", on=True)
        wait_for_rest(ui, ("pull_sensor", "landing_sensor", "late_data_sensor"))
        new = tuple(run for run in ui.runs() if run.run_id not in {*first_life.seen.runs, *first_life.killed})
        yield SecondLife(ui, seen, pull_sensor, ended_runs(ui), new)


def test_what_the_command_line_built_is_shown(first_life: FirstLife) -> None:
    """Runs, partitions and checks, of a day without a row too; then a refresh was killed."""
    seen = first_life.seen

    assert set(seen.runs.values()) == {"SUCCESS"}
    for asset in TABLES:
        assert seen.partitions[asset] == {str(of): "MATERIALIZED" for of in (TOUCHED, AFTER)}, asset
    assert seen.checks["validated_events"]["event_ids_are_unique"] == {str(of): "SUCCEEDED" for of in (TOUCHED, AFTER)}
    assert "refresh_day" in first_life.killed.values()


def test_runs_partitions_and_checks_survive_a_restart(first_life: FirstLife, second_life: SecondLife) -> None:
    """They are shown as they were before the kill: all that had ended, and the day that no refresh had touched."""
    before, after = (life.seen.of(first_life.seen.runs, EVENT_TABLES, str(AFTER)) for life in (first_life, second_life))

    assert after == before


def test_a_sensor_that_was_stopped_stays_stopped(second_life: SecondLife) -> None:
    """Also after a kill; the others run without being switched on."""
    assert second_life.pull_sensor == "STOPPED"


def test_a_late_file_repairs_the_day_it_belongs_to(mine: Deployment, second_life: SecondLife) -> None:
    """Its rows reach the training partitions of a day that was built before: it is built again, and what reads it."""
    expected = sorted(str(line["event_id"]) for file in (FIRST, LATE, PULLED) for line in file.lines)

    assert {asset: mine.ids(asset, TOUCHED) for asset in TRAINING_TABLES} == dict.fromkeys(TRAINING_TABLES, expected)
    assert {run.day for run in second_life.new if "raw_events" in run.assets} == {str(TOUCHED)}
    assert {run.day for run in second_life.new if "session_features" in run.assets} == {str(TOUCHED), str(AFTER)}


def test_a_day_on_a_bucket(mine: Deployment, second_life: SecondLife) -> None:
    """Of files that are dropped and pulled the daemon runs what they touch; its pages say where in the bucket it lies.

    The credentials are in no file of the instance, in no log, in no object, and on no page of the UI.
    """
    ui, new = second_life.ui, second_life.new
    assert {run.status for run in new} == {"SUCCESS"}, [ui.failures(run.run_id) for run in new]
    for asset in TABLES:
        assert ui.partitions(asset)[str(TOUCHED)] == "MATERIALIZED", asset
        red = {check for check, found in ui.checks(asset).items() if found.get(str(TOUCHED)) != "SUCCEEDED"}
        # That many of its rows came late is warned of.
        assert red <= {"late_share_is_within_tolerance"}, asset
    assert ui.place("validated_events", str(TOUCHED)) == f"{mine.url}/data/validated_events/dt={TOUCHED}"

    secrets = [CREDENTIALS["AWS_SECRET_ACCESS_KEY"], CREDENTIALS["AWS_ACCESS_KEY_ID"]]
    written = [*mine.written(), ("the page of the resources", ui.resources().encode())]
    assert len(written) > 100
    assert not [name for name, content in written for secret in secrets if secret.encode() in content]


def test_nothing_is_missed_or_done_twice_when_the_daemon_is_killed(
    mine: Deployment, first_life: FirstLife, second_life: SecondLife, tmp_path: Path
) -> None:
    """Each change is refreshed once, and the end has the bytes of one clean build of the same files in a folder."""
    ended = second_life.ended

    assert {ended[run].split()[1] for run in first_life.killed} == {"FAILURE"}
    assert faults(mine.root(), [FIRST, LATE, PULLED], ended, tmp_path / "clean") == []


def test_the_overview_describes_the_asset(page: Page, second_life: SecondLife, tmp_path: Path) -> None:
    """Description, columns with their meaning, owner and jobs are on the first page, under no dialog."""
    page.goto(f"{second_life.ui.dagster.url}/assets/validated_events")

    expect(page.get_by_text("One row per valid event of the day")).to_be_visible()
    expect(page.get_by_text("Keyed hash of the producer's user id")).to_be_visible()
    expect(page.get_by_text("timestamp[us, tz=UTC]")).to_be_visible()
    expect(page.get_by_text("refresh_day")).to_be_visible()
    assert page.get_by_role("dialog").count() == 0
    assert page.screenshot(path=tmp_path / "overview.png").startswith(b"\x89PNG")
