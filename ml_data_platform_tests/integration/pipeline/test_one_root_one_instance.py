"""A root has one Dagster history, however it is reached; any other instance is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path

import dagster as dg
import pytest
import yaml

from ml_data_platform.defs.instance import open_instance, workspace_config
from ml_data_platform.defs.instance_file import instance_config
from ml_data_platform.errors import InstanceMismatchError
from ml_data_platform_tests.pipeline_root import PipelineRoot, settings_for

CHECKOUT = Path(__file__).parents[3]
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def ingest(root: PipelineRoot, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Run the job that takes files in."""
    job = root.definitions.resolve_job_def("ingest")
    return job.execute_in_process(instance=instance, run_config=QUIET, raise_on_error=False)


def test_the_checkout_and_the_command_line_configure_the_same_instance() -> None:
    """`dagster dev` in the checkout keeps its history where the command line keeps that of the default root."""
    of_checkout = yaml.safe_load((CHECKOUT / "dagster.yaml").read_text(encoding="utf-8"))

    assert of_checkout == instance_config(".platform/dagster")


def test_the_code_location_has_one_name() -> None:
    """Dagster knows a sensor by its code location's name too: under another it would forget that it was stopped."""
    of_checkout = yaml.safe_load((CHECKOUT / "workspace.yaml").read_text(encoding="utf-8"))
    of_dg = tomllib.loads((CHECKOUT / "dg.toml").read_text(encoding="utf-8"))["project"]

    assert of_checkout == workspace_config()
    (location,) = of_checkout["load_from"]
    assert of_dg["code_location_name"] == location["python_module"]["location_name"]
    assert of_dg["code_location_target_module"] == location["python_module"]["module_name"]


def test_nothing_in_pyproject_goes_before_the_workspace_file() -> None:
    """`dagster dev` ignores workspace.yaml without a word where pyproject.toml has one of these tables."""
    tools = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]

    assert not {"dagster", "dg"} & set(tools)


def test_an_instance_of_another_root_is_refused_before_the_root_is_bound(tmp_path: Path) -> None:
    """A root that was never used belongs to its own folder's instance already."""
    root, other = (PipelineRoot(settings_for(tmp_path / name)) for name in ("root", "other"))

    with open_instance(other.settings) as instance:
        result = ingest(root, instance)

    assert not result.success
    text = "\n".join(str(event.event_specific_data) for event in result.all_events if event.is_failure)
    assert "this Dagster instance is not the one of this root" in text
    with open_instance(root.settings) as instance:
        assert ingest(root, instance).success


def test_new_files_in_the_folder_of_the_instance_are_another_instance(tmp_path: Path) -> None:
    """A root whose Dagster files were replaced is not given a second history silently; the error names both."""
    root = PipelineRoot(settings_for(tmp_path / "root"))
    with open_instance(root.settings) as instance:
        assert ingest(root, instance).success
    (root.settings.dagster_home / "storage").rename(tmp_path / "moved")

    with open_instance(root.settings) as instance, pytest.raises(InstanceMismatchError) as refused:
        root.platform.bind_instance(instance.run_storage.get_run_storage_id())

    assert "is not the one that this root is bound to" in str(refused.value)
    assert str(root.folder) in str(refused.value)
