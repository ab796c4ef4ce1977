"""What several rooms share: one small root that is built once, copies of it, how properties are tried, and what all cost.

What is imported here is imported by every test run, so the platform is imported by the fixtures that need it.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from ml_data_platform_tests.examples import IS_EXPLORING, in_suite

if TYPE_CHECKING:
    import dagster as dg
    from alembic.config import Config

    from ml_data_platform_tests.pipeline_root import PipelineRoot
    from ml_data_platform_tests.s3_server import S3Server

# A property does not depend on how busy the machine is, and a test run not on luck: the same code is tried on the same
# examples. EXPLORE=1 tries others each time.
settings.register_profile(
    "any machine",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=not IS_EXPLORING,
    max_examples=in_suite(100),
)
settings.load_profile("any machine")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the tests cost: CPU seconds tell it on a busy machine too, where durations do not."""
    own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    seconds = [usage.ru_utime + usage.ru_stime for usage in (own, others)]
    terminalreporter.write_line(f"CPU: {sum(seconds):,.0f} s, {seconds[1]:,.0f} s of it in processes that were started")


@pytest.fixture(scope="module", autouse=True)
def _disk_is_not_waited_for(request: pytest.FixtureRequest) -> Iterator[None]:
    """Flush nothing where power is not cut; which bytes are flushed when, and that each flush is needed, faults show."""
    with pytest.MonkeyPatch.context() as patch:
        if not {"faults", "e2e"} & set(request.path.parts):
            patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def migrations_are_read_once() -> Iterator[None]:
    """Dagster reads its migrations for each of the three databases that it opens: half of what opening a history costs."""
    from alembic.script import ScriptDirectory

    read = ScriptDirectory.from_config
    known: dict[tuple[str | None, str], ScriptDirectory] = {}

    def from_config(config: Config) -> ScriptDirectory:
        place = config.get_main_option("script_location"), str(config.config_file_name)
        if place not in known:
            known[place] = read(config)
        return known[place]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", from_config)
        yield


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
