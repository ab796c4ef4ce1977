"""What several rooms share: one small root that is built once, copies of it, and how properties are tried.

What is imported here is imported by every test run, so the platform is imported by the fixtures that need it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    import dagster as dg

    from ml_data_platform_tests.pipeline_root import PipelineRoot
    from ml_data_platform_tests.s3_server import S3Server

# A property does not depend on how busy the machine is, and a test run not on luck: the same code is tried on the same
# examples. EXPLORE=1 tries others each time.
settings.register_profile(
    "any machine",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="EXPLORE" not in os.environ,
)
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def built_root(tmp_path_factory: pytest.TempPathFactory) -> PipelineRoot:
    """Three generated days that spill into a fourth, landed and built, and an empty fifth day; to be read only.

    A quarter of the rows is damaged on purpose, all kinds of damage occur, and the tolerance allows for them. The
    generator's files and its truth lie in the root's landing folder.
    """
    from ml_data_platform.generator.generate import generate
    from ml_data_platform.generator.options import GeneratorOptions
    from ml_data_platform_tests.pipeline_root import SHOP, START, PipelineRoot, day, settings_for

    folder = tmp_path_factory.mktemp("built") / "root"
    root = PipelineRoot(settings_for(folder, tolerances={"rejected_share_is_within_tolerance": 0.5}))
    damage = GeneratorOptions(duplicate_share=0.09, broken_share=0.15, undated_share=0.06, late_share=0.05)
    generate(root.settings.landing, start=START, days=3, events_per_day=300, seed=12, options=damage)
    root.land(root.settings.landing / SHOP)
    report = root.backfill([day(number) for number in range(1, 6)])
    assert report.is_successful, report
    return root


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An S3 API over HTTP on this machine, with credentials for it in the environment."""
    from ml_data_platform_tests.s3_server import s3_server

    with s3_server() as server:
        yield server


@pytest.fixture
def copied_root(built_root: PipelineRoot, tmp_path: Path) -> PipelineRoot:
    """A copy of the built root, to be changed."""
    return built_root.copied(tmp_path / "root")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance that leaves nothing behind."""
    import dagster as dg

    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral
