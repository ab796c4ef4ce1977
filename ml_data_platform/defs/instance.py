"""The Dagster instance of a root: one root, one instance, however it is reached.

Belongs here: where the instance keeps its files, opening it, and refusing another. Does not belong here: runs.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.instance import InstanceRef
from dagster._core.storage.runs import SqliteRunStorage

from ml_data_platform.defs.open_history import keep_open
from ml_data_platform.defs.serving.code_location import CODE_LOCATION, DEFINITIONS_MODULE
from ml_data_platform.errors import InstanceMismatchError
from ml_data_platform.settings import Settings

WORKSPACE_FILE = "workspace.yaml"
LOCK_FILE = "opening.lock"


def instance_config(home: str) -> dict[str, Any]:
    """Return the configuration of an instance that keeps everything below ``home``."""
    return {
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
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
        "concurrency": {
            "runs": {"max_concurrent_runs": 2},
            # what takes one writer at a time says so by a pool of its own
            "pools": {"default_limit": 1},
        },
        "run_coordinator": {
            "module": "dagster._core.run_coordinator",
            "class": "QueuedRunCoordinator",
            "config": {"dequeue_interval_seconds": 1, "dequeue_use_threads": False},
        },
    }


def workspace_config() -> dict[str, Any]:
    """Return what Dagster's own commands load; `dev` loads the same, under the same name."""
    module = {"module_name": DEFINITIONS_MODULE, "location_name": CODE_LOCATION}
    return {"load_from": [{"python_module": module}]}


def prepare_home(settings: Settings) -> Path:
    """Write configurations of instance and workspace into the root, and make its history; return ``DAGSTER_HOME``."""
    with open_instance(settings):
        return settings.dagster_home


def require_own_folder(settings: Settings, instance: dg.DagsterInstance) -> None:
    """Refuse an instance that keeps its runs in the folder of another root, before anything is recorded there.

    Raises:
        InstanceMismatchError: The instance's SQLite files are not below this root.
    """
    if not isinstance(instance.run_storage, SqliteRunStorage):
        return
    folder = Path(instance.root_directory).resolve()
    if folder != settings.dagster_home.resolve():
        raise InstanceMismatchError(
            "this Dagster instance is not the one of this root: runs and checks would be split over two histories",
            remedy=(
                f"Open the root with `ml-data-platform dev --root {settings.root}`, or start `dagster dev` with "
                f"DAGSTER_HOME={settings.dagster_home}."
            ),
            root=str(settings.root),
            expected=str(settings.dagster_home),
            got=str(folder),
        )


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """Open the instance of a root for this process, with its history kept open; use it as a context manager.

    Processes that open a new one at once wait for the one that makes it: two that make the same databases would leave
    them in a state that no process opens any more.
    """
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    with _opening(home):
        _write_configurations(home)
        return dg.DagsterInstance.from_ref(keep_open(InstanceRef.from_dir(str(home)), f"{home}/storage"))


@contextmanager
def _opening(home: Path) -> Iterator[None]:
    descriptor = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_configurations(home: Path) -> None:
    for name, config in (("dagster.yaml", instance_config(str(home))), (WORKSPACE_FILE, workspace_config())):
        content, target = yaml.safe_dump(config, sort_keys=False), home / name
        if not target.is_file() or target.read_text(encoding="utf-8") != content:
            target.write_text(content, encoding="utf-8")
