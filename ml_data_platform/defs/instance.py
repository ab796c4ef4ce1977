"""The Dagster instance of a root: one root, one instance, however it is reached.

Belongs here: where the instance keeps its files, opening it, and refusing another. Does not belong here: runs.
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.instance import InstanceRef
from dagster._core.storage.runs import SqliteRunStorage
from dagster._serdes import serialize_value
from dagster_shared.check import CheckError

from ml_data_platform.defs.instance_file import INSTANCE_FILE, moved_places, settle_file, unusable
from ml_data_platform.defs.open_history import keep_open
from ml_data_platform.defs.serving.code_location import CODE_LOCATION, DEFINITIONS_MODULE
from ml_data_platform.errors import InstanceMismatchError
from ml_data_platform.settings import Settings

WORKSPACE_FILE = "workspace.yaml"
LOCK_FILE = "opening.lock"
_LOG = logging.getLogger(__name__)


def workspace_config() -> dict[str, Any]:
    """Return what Dagster's own commands load; `dev` loads the same, under the same name."""
    module = {"module_name": DEFINITIONS_MODULE, "location_name": CODE_LOCATION}
    return {"load_from": [{"python_module": module}]}


def prepare_home(settings: Settings) -> Path:
    """Bring configurations of instance and workspace into the root, and make its history; return ``DAGSTER_HOME``."""
    with open_instance(settings):
        return settings.dagster_home


def moved_ref(home: Path) -> str:
    """Return how Dagster's own processes open an instance whose file names the place that its root had before.

    Empty where they read the file themselves, as they do of every other.
    """
    moved = moved_places(home)
    return serialize_value(InstanceRef.from_dir(str(home), overrides=moved)) if moved else ""


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
                f"DAGSTER_HOME={settings.dagster_home}. If the root was moved, correct the paths in"
                f" {settings.dagster_home / INSTANCE_FILE}."
            ),
            root=str(settings.root),
            expected=str(settings.dagster_home),
            got=str(folder),
        )


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """Open the instance of a root for this process, with a history in SQLite kept open; use it as a context manager.

    Processes that open a new one at once wait for the one that makes it: two that make the same databases would leave
    them in a state that no process opens any more.

    Raises:
        SettingsError: Its configuration cannot be used.
    """
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    with opening(home):
        for notice in settle_file(home, settings.dagster):
            _LOG.warning("note: %s", notice)
        _bring_workspace(home)
        try:
            return dg.DagsterInstance.from_ref(keep_open(InstanceRef.from_dir(str(home), overrides=moved_places(home))))
        except (dg.DagsterError, CheckError, ImportError) as error:
            raise unusable(home / INSTANCE_FILE, _said(error)) from error


def open_to_read(settings: Settings) -> dg.DagsterInstance:
    """Open the instance of a root for one who only looks; an empty one where there is none, or none may be written.

    What checks said is recorded with the tables too: that is shown then.
    """
    home = settings.dagster_home
    return open_instance(settings) if os.access(home, os.W_OK) else dg.DagsterInstance.ephemeral()


def _said(error: BaseException) -> str:
    """Return what an error says, and what caused it, on one line; a missing package with what installs it."""
    texts = [str(error)]
    while (error := error.__cause__ or error.__context__) is not None:  # type: ignore[assignment]
        texts.append(str(error))
    said = " ".join(": ".join(texts).split())
    return f"{said} (`pip install ml-data-platform[postgres]`)" if "dagster_postgres" in said else said


@contextmanager
def opening(home: Path) -> Iterator[None]:
    """Keep other processes of the platform from opening the history within the block."""
    descriptor = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _bring_workspace(home: Path) -> None:
    target = home / WORKSPACE_FILE
    if not target.exists():
        target.write_text(yaml.safe_dump(workspace_config(), sort_keys=False), encoding="utf-8")
