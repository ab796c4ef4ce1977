"""A user's day on a root in a bucket: nothing but the root, its landing folder and what is pulled lie elsewhere."""

from __future__ import annotations

import datetime as dt
import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ml_data_platform.locations import S3Location
from ml_data_platform.settings import default_home
from ml_data_platform.stages.state import TABLES
from ml_data_platform_tests.e2e.checkout import CHECKOUT, installed
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
        command = (str(installed("ml-data-platform")), "dev")
        return DagsterDev(self.folder, self.folder / "dev.log", self.environment, command, host=())

    def drop(self, name: str, of: dt.date, count: int) -> None:
        """Put a file of events into the landing folder."""
        text = "".join(json.dumps(line) + "\n" for line in shop_lines(of, count, name=name))
        self._put(f"drops/{SHOP}/{name}.jsonl", text.encode())

    def offer(self, of: dt.date) -> None:
        """Put a file of events where the contract says that they are pulled from."""
        self._put(f"exports/dt={of}/a.jsonl", offer(of, PULLED, "pulled").content)

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
    """Wait until runs that were not known have ended, and all sensors say that there is nothing to do; return the runs."""

    def found() -> list[Run] | None:
        new = [run for run in ui.runs() if run.run_id not in known]
        if not any(run.job == "refresh_day" for run in new) or ui.runs(statuses=UNFINISHED):
            return None
        said = [ui.sensor(name)["ticks"] for name in ("landing_sensor", "pull_sensor", "late_data_sensor")]
        reasons = [str(ticks[0]["skipReason"]) if ticks else "" for ticks in said]
        wanted = ("no file to take in", "nothing new at the addresses", " clean")
        return new if all(each in reason for each, reason in zip(wanted, reasons, strict=True)) else None

    return dagster.wait_until(found, REST_SECONDS, "all is done")


def test_a_day_on_a_bucket(tmp_path: Path, s3: S3Server) -> None:
    """Dropped and pulled files become green partitions; after a restart a late file runs its own days, and no other.

    Afterwards the credentials are in no file of the instance, in no log, in no object, and on no page of the UI.
    """
    mine = Deployment(tmp_path, s3, s3.new_bucket())
    yesterday = mine.today - dt.timedelta(days=1)
    mine.drop("first", LONG_AGO, EVENTS)
    mine.offer(yesterday)
    with mine.dev() as dagster:
        ui = UserInterface(dagster)
        first = settled(dagster, ui, set())
        assert {run.status for run in first} == {"SUCCESS"}, [ui.failures(run.run_id) for run in first]
        built = {asset: ui.partitions(asset) for asset in TABLES}
        for asset in TABLES:
            days = {str(LONG_AGO), str(yesterday)}
            assert {built[asset].get(of) for of in days} == {"MATERIALIZED"}, asset
            assert {found.get(of) for found in ui.checks(asset).values() for of in days} == {"SUCCEEDED"}, asset
        assert ui.place("validated_events", str(LONG_AGO)) == f"{mine.root}/data/validated_events/dt={LONG_AGO}"
    assert (mine.rows("validated_events", LONG_AGO), mine.rows("validated_events", yesterday)) == (EVENTS, PULLED)

    mine.drop("late", LONG_AGO, LATE)
    with mine.dev() as dagster:
        ui = UserInterface(dagster)
        again = settled(dagster, ui, {run.run_id for run in first})
        assert {run.status for run in again} == {"SUCCESS"}
        assert {run.day for run in again if "raw_events" in run.assets} == {str(LONG_AGO)}
        assert str(yesterday) not in {run.day for run in again}
        assert {asset: ui.partitions(asset) for asset in TABLES} == built
        shown = ui.resources()
    assert mine.rows("date_partitions", LONG_AGO) == EVENTS + LATE

    secrets = [CREDENTIALS["AWS_SECRET_ACCESS_KEY"], CREDENTIALS["AWS_ACCESS_KEY_ID"]]
    written = [*mine.written(), ("the page of the resources", shown.encode())]
    assert len(written) > 100
    assert not [name for name, content in written for secret in secrets if secret.encode() in content]
