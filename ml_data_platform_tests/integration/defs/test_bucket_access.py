"""A root in a bucket that is reached through dagster-aws's resource, with credentials nobody else sees."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource

from ml_data_platform.defs.location import build_definitions
from ml_data_platform.settings import load_settings
from ml_data_platform_tests.pipeline_root import NOW, SHOP, START, PipelineRoot, day, shop_lines
from ml_data_platform_tests.s3_server import CREDENTIALS, S3Server

SECRET = CREDENTIALS["AWS_SECRET_ACCESS_KEY"]


def test_the_resource_alone_reaches_the_bucket_and_its_secret_is_not_recorded(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> None:
    """Without AWS's variables a run commits through the resource; no event, configuration or metadata holds the secret."""
    settings = load_settings(
        {}, tmp_path, root=f"s3://{s3.new_bucket()}/root", home=tmp_path / "home", start_date=START
    )
    PipelineRoot(settings).drop("a.jsonl", shop_lines(day(1), 5), source=SHOP)
    for name in s3.environment:
        if name not in {"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_EC2_METADATA_DISABLED"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("OUR_KEY", CREDENTIALS["AWS_ACCESS_KEY_ID"])
    monkeypatch.setenv("OUR_SECRET", SECRET)
    reached = S3Resource(
        endpoint_url=s3.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=dg.EnvVar("OUR_KEY"),
        aws_secret_access_key=dg.EnvVar("OUR_SECRET"),
    )
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
