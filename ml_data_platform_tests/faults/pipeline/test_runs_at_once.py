"""Runs at once, of the same and of other partitions, on a disk and in a bucket: nothing is lost, doubled or mixed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest

from ml_data_platform.locations import S3Location
from ml_data_platform.settings import load_settings
from ml_data_platform.stages.verification import verify
from ml_data_platform_tests.pipeline_root import SHOP, START, PipelineRoot, day, settings_for, shop_lines

DAYS = [day(number) for number in range(1, 5)]
EVENTS = ["raw_events", "validated_events", "quarantined_events"]


@pytest.fixture(params=["local", "s3"])
def machines(request: pytest.FixtureRequest, tmp_path: Path) -> list[PipelineRoot]:
    """One root as two machines see it; on a disk they share all, in a bucket nothing but the bucket and the key."""
    if request.param == "local":
        return [PipelineRoot(settings_for(tmp_path / "root"))] * 2
    server = request.getfixturevalue("s3")
    bucket = server.new_bucket()
    made = []
    for name in ("one", "two"):
        home = tmp_path / name
        if made:
            (home / "secrets").mkdir(parents=True)
            key = made[0].settings.secrets_folder / "user_id.key"
            (home / "secrets" / key.name).write_bytes(key.read_bytes())
        place = {"root": S3Location(bucket, "root"), "home": home, "s3_endpoint_url": server.endpoint_url}
        made.append(PipelineRoot(load_settings({}, tmp_path, **place, start_date=START)))
        assert made[-1].platform
    return made


def test_eight_runs_at_once_build_each_partition_once(machines: list[PipelineRoot], tmp_path: Path) -> None:
    """Two machines build the same four days at the same time: one generation each, the one a single run makes."""
    files = [tmp_path / f"{of}.jsonl" for of in DAYS]
    alone = PipelineRoot(settings_for(tmp_path / "alone"))
    (alone.folder / "secrets").mkdir(parents=True)
    key = machines[0].platform.settings.secrets_folder / "user_id.key"
    (alone.folder / "secrets" / key.name).write_bytes(key.read_bytes())
    for root in (machines[0], alone):
        for of in DAYS:
            root.drop(f"{of}.jsonl", shop_lines(of, 20), source=SHOP)
    assert files

    def run(number: int) -> bool:
        with dg.DagsterInstance.ephemeral() as instance:
            return machines[number % 2].run(DAYS[number // 2], EVENTS, instance).success

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(run, range(8)))
    with dg.DagsterInstance.ephemeral() as instance:
        for of in DAYS:
            assert alone.run(of, EVENTS, instance).success
    assert set(machines[0].generations().values()) == {1}
    assert machines[0].contents() == machines[1].contents() == alone.contents()
    assert verify(machines[0].platform).defects == ()
