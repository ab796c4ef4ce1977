"""The file that configures the Dagster instance of a root, ``dagster.yaml``: the platform's own, or the user's.

Belongs here: what stands in it, whose it is, and what the platform misses in it. Does not belong here: opening the
instance (``defs.instance``).

The platform writes it where there is none, and writes it anew only as long as it is what the platform wrote: a changed
default, a changed section ``dagster`` of ``platform.yaml`` and the new place of a moved root then come into it. Whoever
changes a character of it has it for good.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ml_data_platform.errors import SettingsError
from ml_data_platform.settings_file import SETTINGS_FILE

INSTANCE_FILE = "dagster.yaml"
TICK_DAYS = {"skipped": 2, "started": 30, "success": 30, "failure": 90}
"""How long evaluations of sensors and schedules are kept: there are thousands of skipped ones a day."""
PLACES = ("storage", "local_artifact_storage", "compute_logs")
_MARK = """\
# Written by ml-data-platform, and written anew as long as nobody changes it. What is to be otherwise stands best in the
# section `dagster` of platform.yaml. A file that was changed is used as it is; one that is removed is made anew.
# sha256 of the rest: """


def instance_config(home: str) -> dict[str, Any]:
    """Return the configuration of an instance that keeps everything below ``home``."""
    return {
        **_first_config(home),
        "retention": {
            name: {"purge_after_days": dict(TICK_DAYS)} for name in ("sensor", "schedule", "auto_materialize")
        },
    }


def _first_config(home: str) -> dict[str, Any]:
    """Return what was written before files had a mark: such a file is the platform's own."""
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


def settle_file(home: Path, chosen: Mapping[str, Any]) -> list[str]:
    """Write the file where there is none, or none but the platform's own.

    Args:
        home: Folder of the instance.
        chosen: What the section ``dagster`` of ``platform.yaml`` says over the defaults.

    Returns:
        Of a file of the user: what the platform misses in it.

    Raises:
        SettingsError: The file cannot be read.
    """
    path = home / INSTANCE_FILE
    wanted = _marked(_yaml(merged(instance_config(str(home)), chosen)))
    if not path.exists():
        _write(path, wanted)
        return []
    text, config = _read(path)
    if _is_own(text, config):
        if text != wanted:
            _write(path, wanted)
        return []
    return [f"{path} is yours and is used as it is: {each}" for each in _missing(config, home, chosen)]


def merged(defaults: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return defaults with what was chosen over them: key by key, but a storage and whatever has a class as a whole."""
    result = dict(defaults)
    for key, value in chosen.items():
        known = defaults.get(key)
        is_whole = key == "storage" or not isinstance(known, dict) or not isinstance(value, dict) or "class" in known
        result[key] = value if is_whole or known is None else merged(known, value)
    return result


def moved_places(home: Path) -> dict[str, Any]:
    """Return the sections that name the places of the root before it was moved or copied, as they have to be here.

    They are those of the platform, but for the folder: of the user is something else in the file.
    """
    config = _read(home / INSTANCE_FILE)[1]
    before = _at(config, "local_artifact_storage", "config", "base_dir")
    if not isinstance(before, str) or before == str(home):
        return {}
    there, here = _first_config(before), _first_config(str(home))
    found = {name: here[name] for name in PLACES if config.get(name) == there[name]}
    # One alone may have been chosen.
    return found if len(found) > 1 else {}


def _is_own(text: str, config: Mapping[str, Any]) -> bool:
    """Tell whether a file is still what the platform wrote, here or where the root was before it was moved."""
    if text.startswith(_MARK):
        return text == _marked(text.removeprefix(_MARK).partition("\n")[2])
    artifacts = _at(config, "local_artifact_storage", "config", "base_dir")
    return isinstance(artifacts, str) and text == _yaml(_first_config(artifacts))


def _missing(config: Mapping[str, Any], home: Path, chosen: Mapping[str, Any]) -> Iterator[str]:
    if _at(config, "concurrency", "pools", "default_limit") != 1:
        yield "it lacks `concurrency: {pools: {default_limit: 1}}`, without which two runs may cut versions at once"
    if _at(config, "run_monitoring", "enabled") is not True:
        yield "it lacks `run_monitoring: {enabled: true}`, without which a run whose start hangs waits for ever"
    coordinator = _at(config, "run_coordinator", "class")
    if coordinator not in {None, "QueuedRunCoordinator"}:
        yield f"its run coordinator is {coordinator}, where the platform needs Dagster's QueuedRunCoordinator"
    moved = moved_places(home)
    if moved:
        yield f"its {', '.join(moved)} name the place that the root had before, and are read as those of this place"
    if chosen:
        yield f"the section `dagster` of {SETTINGS_FILE} does not come into it; remove the file to have it made anew"


def _at(config: object, *keys: str) -> object:
    """Return what stands below keys; none where a key is missing."""
    for key in keys:
        config = config.get(key) if isinstance(config, dict) else None
    return config


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    """Return text and content of a file."""
    try:
        text = path.read_text(encoding="utf-8")
        config = yaml.safe_load(text) or {}
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise unusable(path, " ".join(str(error).split())) from error
    if not isinstance(config, dict):
        raise unusable(path, "it is no mapping")
    return text, config


def unusable(path: Path, why: str) -> SettingsError:
    """Return the error of a file that does not configure an instance."""
    return SettingsError(
        f"the configuration of Dagster cannot be used: {why}",
        remedy=(
            f"Correct it, or the section `dagster` of {SETTINGS_FILE} where that is wrong; a file that is removed is made"
            " anew, with the defaults."
        ),
        file=str(path),
    )


def _yaml(config: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(config), sort_keys=False)


def _marked(rest: str) -> str:
    return f"{_MARK}{hashlib.sha256(rest.encode()).hexdigest()}\n{rest}"


def _write(path: Path, text: str) -> None:
    """Write a file that may hold the password of a database."""
    handle, temp = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(temp).replace(path)
    finally:
        Path(temp).unlink(missing_ok=True)
