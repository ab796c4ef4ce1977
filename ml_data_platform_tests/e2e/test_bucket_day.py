"""A user's day on a root in a bucket: nothing but the root, its landing folder and what is pulled lie elsewhere."""

from __future__ import annotations

import datetime as dt
import io
import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ml_data_platform.locations import S3Location
from ml_data_platform.settings import default_home
from ml_data_platform.stages.state import TABLES
from ml_data_platform_tests.e2e.checkout import CHECKOUT, COMMAND_SECONDS, installed
from ml_data_platform_tests.e2e.conftest import TEST_SECONDS
from ml_data_platform_tests.e2e.dagster_process import DagsterDev, clean_environment
from ml_data_platform_tests.e2e.killed_daemons import UNFINISHED
from ml_data_platform_tests.e2e.user_interface import Run, UserInterface
from ml_data_platform_tests.pipeline_root import SHOP, shop_lines
from ml_data_platform_tests.pull_root import SOURCE, offer
from ml_data_platform_tests.s3_server import CREDENTIALS, S3Server

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(TEST_SECONDS)]
REST_SECONDS = 600
LONG_AGO = dt.date(2026, 3, 5)
EVENTS, LATE, PULLED = 20, 5, 7


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
        self.root = f"s3://{self.bucket}/team/root"
        self.home = self.folder / default_home(S3Location.parse(self.root), None).relative_to(Path.home())
        self.environment = clean_environment(
            HOME=str(self.folder),
            PYTHONPATH=str(CHECKOUT),
            **self.s3.environment,
            ML_DATA_PLATFORM_ROOT=self.root,
            ML_DATA_PLATFORM_LANDING=f"s3://{self.bucket}/drops",
            ML_DATA_PLATFORM_START_DATE=str(LONG_AGO),
            ML_DATA_PLATFORM_SENSOR_INTERVAL_SECONDS="1",
            ML_DATA_PLATFORM_PULL_INTERVAL_SECONDS="1",
        )
        (self.home / "sources").mkdir(parents=True)
        contract = f"source: {SOURCE}\nformat: jsonl\npull: {{url: 's3://{self.bucket}/exports/dt={{date}}/*.jsonl'}}\n"
        (self.home / "sources" / f"{SOURCE}.yaml").write_text(contract, encoding="utf-8")

    def dev(self) -> DagsterDev:
        """Return what `ml-data-platform dev` starts."""
        return DagsterDev(self.folder, self.folder / "dev.log", self.environment)

    def drop(self, name: str, of: dt.date, count: int) -> None:
        """Put a file of events into the landing folder."""
        text = "".join(json.dumps(line) + "\n" for line in shop_lines(of, count, name=name))
        self._put(f"drops/{SHOP}/{name}.jsonl", text.encode())

    def offer(self, on: dt.date, of: dt.date) -> None:
        """Put a file of events of some day where the contract says that they are pulled from on another."""
        self._put(f"exports/dt={on}/a.jsonl", offer(of, PULLED, "pulled").content)

    def run(self, *arguments: str) -> None:
        """Run a command of the platform, which must end well."""
        done = subprocess.run(
            [str(installed("ml-data-platform")), *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        (self.folder / f"{arguments[0]}.log").write_text(done.stdout + done.stderr, encoding="utf-8")
        assert done.returncode == 0, done.stderr

    def rows(self, asset: str, of: dt.date) -> int:
        """Count the rows of a partition in the view, with a plain client."""
        key = f"team/root/data/{asset}/dt={of}/data.parquet"
        return int(pq.ParquetFile(io.BytesIO(self._get(key))).metadata.num_rows)

    def written(self) -> list[tuple[str, bytes]]:
        """Return everything that is in the bucket or below the user's home, by name."""
        paths = [path for path in self.folder.rglob("*") if path.is_file()]
        pages = self.s3.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        keys = [each["Key"] for page in pages for each in page["Contents"]]
        return [*((str(path), path.read_bytes()) for path in paths), *((key, self._get(key)) for key in keys)]

    def _put(self, key: str, body: bytes) -> None:
        self.s3.client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def _get(self, key: str) -> bytes:
        return bytes(self.s3.client.get_object(Bucket=self.bucket, Key=key)["Body"].read())


def settled(dagster: DagsterDev, ui: UserInterface, known: set[str]) -> list[Run]:
    """Wait until days were refreshed and all sensors say that there is nothing to do; return the runs not known before."""

    def found() -> list[Run] | None:
        if ui.runs(statuses=UNFINISHED):
            return None
        new = [run for run in ui.runs() if run.run_id not in known]
        said = [ui.sensor(name)["ticks"] for name in ("landing_sensor", "pull_sensor", "late_data_sensor")]
        reasons = [str(ticks[0]["skipReason"]) if ticks else "" for ticks in said]
        wanted = ("no file to take in", "nothing new at the addresses", " clean")
        is_done = all(each in reason for each, reason in zip(wanted, reasons, strict=True))
        return new if is_done and any(run.job == "refresh_day" for run in new) else None

    return dagster.wait_until(found, REST_SECONDS, "all is done")


def test_a_day_on_a_bucket(tmp_path: Path, s3: S3Server) -> None:
    """Days were built by the command line; of files that are dropped and pulled then, the daemon runs only what they touch.

    Everything is green, and its pages say where in the bucket it lies. The credentials are in no file of the instance,
    in no log, in no object, and on no page of the UI.
    """
    mine = Deployment(tmp_path, s3, s3.new_bucket())
    touched, untouched = LONG_AGO, LONG_AGO + dt.timedelta(days=10)
    for of in (touched, untouched):
        mine.drop(f"first-{of}", of, EVENTS)
    mine.run("land", "--historical")
    mine.run("backfill", "--json")
    mine.drop("late", touched, LATE)
    mine.offer(mine.today - dt.timedelta(days=1), touched)
    with mine.dev() as dagster:
        ui = UserInterface(dagster)
        before = {run.run_id for run in ui.runs() if "ml_data_platform/due" not in run.tags}
        new = settled(dagster, ui, before)
        assert {run.status for run in new} == {"SUCCESS"}, [ui.failures(run.run_id) for run in new]
        assert {run.day for run in new if "raw_events" in run.assets} == {str(touched)}
        assert str(untouched) not in {run.day for run in new}
        for asset in TABLES:
            assert ui.partitions(asset)[str(touched)] == "MATERIALIZED", asset
            red = {check for check, found in ui.checks(asset).items() if found.get(str(touched)) != "SUCCEEDED"}
            # That many of its rows came late is warned of.
            assert red <= {"late_share_is_within_tolerance"}, asset
        assert ui.place("validated_events", str(touched)) == f"{mine.root}/data/validated_events/dt={touched}"
        shown = ui.resources()
    assert mine.rows("validated_events", touched) == EVENTS + LATE + PULLED
    assert mine.rows("validated_events", untouched) == EVENTS

    secrets = [CREDENTIALS["AWS_SECRET_ACCESS_KEY"], CREDENTIALS["AWS_ACCESS_KEY_ID"]]
    written = [*mine.written(), ("the page of the resources", shown.encode())]
    assert len(written) > 100
    assert not [name for name, content in written for secret in secrets if secret.encode() in content]
