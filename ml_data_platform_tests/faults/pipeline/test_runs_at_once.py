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

DAYS = [day(1), day(2)]
EVENTS = ["raw_events", "validated_events", "quarantined_events"]


def put_key(home: Path) -> None:
    """Give a machine the key of the user ids, as a person copies it."""
    (home / "secrets").mkdir(parents=True)
    (home / "secrets" / "user_id.key").write_text("5a" * 32)
    (home / "secrets" / "user_id.key").chmod(0o600)


@pytest.fixture(params=["local", "s3"])
def machines(request: pytest.FixtureRequest, tmp_path: Path) -> list[PipelineRoot]:
    """One root as two machines see it; on a disk they share all, in a bucket nothing but the bucket and the key."""
    if request.param == "local":
        put_key(tmp_path / "root")
        return [PipelineRoot(settings_for(tmp_path / "root"))] * 2
    server = request.getfixturevalue("s3")
    bucket = server.new_bucket()
    made = []
    for name in ("one", "two"):
        home = tmp_path / name
        put_key(home)
        place = {"root": S3Location(bucket, "root"), "home": home, "s3_endpoint_url": server.endpoint_url}
        made.append(PipelineRoot(load_settings({}, tmp_path, **place, start_date=START)))
        assert made[-1].platform
    return made


def test_eight_runs_at_once_build_each_partition_once(machines: list[PipelineRoot], tmp_path: Path) -> None:
    """Two machines build each of two days four times at the same time: one generation, the one a single run makes."""
    alone = PipelineRoot(settings_for(tmp_path / "alone"))
    put_key(alone.folder)
    for root in (machines[0], alone):
        for of in DAYS:
            root.drop(f"{of}.jsonl", shop_lines(of, 20), source=SHOP)

    # First, so that no two threads load the same libraries at once: runs are processes of their own.
    with dg.DagsterInstance.ephemeral() as instance:
        for of in DAYS:
            assert alone.run(of, EVENTS, instance).success

    def run(number: int) -> list[str]:
        with dg.DagsterInstance.ephemeral() as instance:
            result = machines[number % 2].run(DAYS[number // 4], EVENTS, instance)
        return [str(event.step_failure_data.error) for event in result.all_events if event.is_step_failure]

    with ThreadPoolExecutor(8) as pool:
        assert [why for failures in pool.map(run, range(8)) for why in failures] == []
    assert set(machines[0].generations().values()) == {1}
    assert machines[0].contents() == machines[1].contents() == alone.contents()
    assert verify(machines[0].platform).defects == ()
