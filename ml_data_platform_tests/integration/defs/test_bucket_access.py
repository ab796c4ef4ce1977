"""A root in a bucket that is reached through dagster-aws's resource, with credentials nobody else sees."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource

from ml_data_platform.defs.bucket_access import PlatformInBucket
from ml_data_platform.defs.location import build_definitions
from ml_data_platform.settings import load_settings
from ml_data_platform.stages.landed_files import land_named
from ml_data_platform_tests.pipeline_root import NOW, SHOP, START, day, shop_lines
from ml_data_platform_tests.pull_root import SOURCE, offer
from ml_data_platform_tests.s3_server import CREDENTIALS, S3Server
from ml_data_platform_tests.sensor_loop import QUIET

SECRET = CREDENTIALS["AWS_SECRET_ACCESS_KEY"]


@pytest.fixture
def reached(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Resource:
    """The resource, which alone knows credentials: AWS's own variables are gone, and no file of the machine counts."""
    assert s3.client.meta.endpoint_url == s3.endpoint_url
    for name in s3.environment:
        if name not in {"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_EC2_METADATA_DISABLED"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("OUR_KEY", CREDENTIALS["AWS_ACCESS_KEY_ID"])
    monkeypatch.setenv("OUR_SECRET", SECRET)
    return S3Resource(
        endpoint_url=s3.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=dg.EnvVar("OUR_KEY"),
        aws_secret_access_key=dg.EnvVar("OUR_SECRET"),
    )


def test_the_resource_alone_reaches_the_bucket_and_its_secret_is_not_recorded(
    s3: S3Server, reached: S3Resource, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    """Without AWS's variables a run commits through the resource; no event, configuration or metadata holds the secret."""
    settings = load_settings(
        {}, tmp_path, root=f"s3://{s3.new_bucket()}/root", home=tmp_path / "home", start_date=START
    )
    platform = PlatformInBucket.through(settings, reached, NOW.isoformat()).open()
    dropped = tmp_path / "a.jsonl"
    dropped.write_text("".join(json.dumps(line) + "\n" for line in shop_lines(day(1), 5)))
    land_named(platform, SHOP, [dropped])
    definitions = build_definitions(settings, NOW, reached)
    result = definitions.resolve_job_def("rebuild").execute_in_process(
        instance=instance,
        partition_key=str(day(1)),
        asset_selection=[dg.AssetKey("raw_events")],
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    assert result.success
    (materialised,) = result.asset_materializations_for_node("raw_events")
    assert materialised.metadata["dagster/uri"].value == f"{settings.root}/data/raw_events/dt={day(1)}"
    recorded = [str(event) for event in instance.all_logs(result.run_id)] + [str(result.dagster_run.run_config)]
    assert not [text for text in recorded if SECRET in text]
    assert SECRET not in repr(definitions.resources["platform"])
    assert not [
        path for path in (tmp_path / "home").rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()
    ]
    assert os.environ["OUR_SECRET"] == SECRET


def test_landing_folder_and_pull_sources_are_reached_like_the_root(
    s3: S3Server, reached: S3Resource, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    """One resource for all three: both sensors see what waits in buckets of their own, and the run takes it in."""
    exports, drops, today = s3.new_bucket(), s3.new_bucket(), NOW.date()
    (tmp_path / "sources").mkdir()
    contract = f"source: {SOURCE}\nformat: jsonl\npull:\n  url: 's3://{exports}/dt={{date}}/*.jsonl'\n"
    (tmp_path / "sources" / f"{SOURCE}.yaml").write_text(contract)
    place = {"root": f"s3://{s3.new_bucket()}/root", "home": tmp_path / "home", "landing": f"s3://{drops}/in"}
    settings = load_settings({}, tmp_path, **place, start_date=START, sources=tmp_path / "sources")
    platform = PlatformInBucket.through(settings, reached, NOW.isoformat())
    put = partial(s3.client.put_object, ContentType="text/plain")
    put(Bucket=exports, Key=f"dt={today}/a.jsonl", Body=offer(today, 7, "a").content)
    put(Bucket=drops, Key=f"in/{SHOP}/b.jsonl", Body=json.dumps(shop_lines(day(1), 1)[0]).encode())
    definitions = build_definitions(settings, NOW, reached)
    asked = {}
    for sensor in ("landing_sensor", "pull_sensor"):
        with dg.build_sensor_context(
            instance=instance, resources={"platform": platform}, definitions=definitions, sensor_name=sensor
        ) as context:
            ticked = definitions.resolve_sensor_def(sensor).evaluate_tick(context)
        assert ticked.run_requests, ticked.skip_message
        (asked[sensor],) = ticked.run_requests
    # A run that takes files in takes in all that wait.
    result = definitions.resolve_job_def("ingest").execute_in_process(
        instance=instance, run_config={**QUIET, **asked["pull_sensor"].run_config}
    )
    assert result.success
    assert SECRET not in str(asked) + "".join(str(event) for event in instance.all_logs(result.run_id))
    assert {record.name: record.rows for record in platform.open().ledger.records()} == {
        f"dt={today}/a.jsonl": 7,
        "b.jsonl": 1,
    }
