"""The Dagster instance of a root: one root, one instance, however it is reached.

Belongs here: where the instance keeps its files, and opening it. Does not belong here: runs.
"""

from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from ml_data_platform.settings import Settings


def instance_config(home: str) -> dict[str, Any]:
    """Return the configuration of an instance that keeps everything below ``home``."""
    return {
        "telemetry": {"enabled": False},
        "storage": {"sqlite": {"base_dir": f"{home}/storage"}},
        "local_artifact_storage": {
            "module": "dagster._core.storage.root",
            "class": "LocalArtifactStorage",
            "config": {"base_dir": home},
        },
        "compute_logs": {
            "module": "dagster._core.storage.local_compute_log_manager",
            "class": "LocalComputeLogManager",
            "config": {"base_dir": f"{home}/compute_logs"},
        },
        "run_monitoring": {"enabled": True, "start_timeout_seconds": 180, "cancel_timeout_seconds": 60},
        "run_retries": {"enabled": True, "max_retries": 0, "retry_on_asset_or_op_failure": False},
        "concurrency": {"runs": {"max_concurrent_runs": 2}},
        "run_coordinator": {
            "module": "dagster._core.run_coordinator",
            "class": "QueuedRunCoordinator",
            "config": {"dequeue_use_threads": False},
        },
    }


def prepare_home(settings: Settings) -> Path:
    """Write the instance's configuration into the root and return its folder, for ``DAGSTER_HOME``."""
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    content = yaml.safe_dump(instance_config(str(home)), sort_keys=False)
    target = home / "dagster.yaml"
    if not target.is_file() or target.read_text(encoding="utf-8") != content:
        target.write_text(content, encoding="utf-8")
    return home


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """Open the instance of a root; use it as a context manager."""
    return dg.DagsterInstance.from_config(str(prepare_home(settings)))
