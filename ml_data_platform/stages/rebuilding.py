"""Building a root again from what landed: the kept bytes, the ledger, and nothing that was computed.

Belongs here: what of a root cannot be computed, copying it, and comparing what comes out. Does not belong here: building
(``flow``), versions and models.

What was decided when a file landed (when it came, which of its rows came too late) and what people decided since stand in
the ledger, so that a rebuild on another day gives the same bytes.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ml_data_platform.errors import SettingsError
from ml_data_platform.events.planning import Status, plan
from ml_data_platform.events.schemas import RAW_EVENTS
from ml_data_platform.settings import OWN_SOURCES, Settings
from ml_data_platform.settings_file import SETTINGS_FILE
from ml_data_platform.stages.landed_files import waiting_files
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.state import TABLES, read_state
from ml_data_platform.storage.keys import FILE_ID, PII, USER_ID, key_path
from ml_data_platform.storage.layout import KEY_IDS_FOLDER, LEDGER_FOLDER, RAW_FOLDER
from ml_data_platform.storage.object_store import ObjectStore
from ml_data_platform.storage.opening import is_root

MARKER = "rebuild.json"
KEPT_SETTINGS = (
    "start_date",
    "fold_count",
    "fold_salt",
    "tolerances",
    "accepted_features",
    "max_future_hours",
    "max_unzipped_size",
)
"""The settings that the bytes of tables depend on."""

_SEEN = f"{LEDGER_FOLDER}/_seen/"
_BUILT = frozenset({Status.DIRTY, Status.WAITING, Status.BLOCKED})
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Difference:
    """A partition that did not come out the same.

    Attributes:
        asset: Name of the table.
        day: UTC day ``YYYY-MM-DD``.
        what: ``other bytes``, ``not built``, or ``not in the original``.
        why: What explains it; empty where nothing does.
    """

    asset: str
    day: str
    what: str
    why: str


@dataclass(frozen=True)
class Comparison:
    """What became of the partitions: how many are the same, byte for byte, and those that are not."""

    same: int
    differences: tuple[Difference, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for scripts."""
        return {"same_partitions": self.same, "differences": [vars(each) for each in self.differences]}


def prepare_root(original: Settings, target: Settings) -> None:
    """Make the place of a rebuild: the settings that bytes depend on, the contracts and the keys.

    A rebuild that was stopped goes on in its place.

    Raises:
        SettingsError: There is something else in that place.
    """
    if str(original.root) == str(target.root) or original.versions_folder == target.versions_folder:
        raise SettingsError(
            "a root cannot be rebuilt over itself, nor share its versions",
            remedy="Name another place.",
            got=target.root,
        )
    marker, note = target.local_folder / MARKER, json.dumps({"from": str(original.root)})
    is_taken = isinstance(target.root, Path) or is_root(target)
    if not marker.is_file() and is_taken and any(target.local_folder.glob("*")):
        raise SettingsError(
            "there is something in the place where the root is to be rebuilt",
            remedy="Name a folder that does not exist.",
            got=target.root,
        )
    if marker.is_file() and marker.read_text(encoding="utf-8") != note:
        raise SettingsError("another root is being rebuilt in this place", expected=note, file=str(marker))
    target.local_folder.mkdir(parents=True, exist_ok=True)
    marker.write_text(note, encoding="utf-8")
    chosen = original.model_dump(mode="json", include=set(KEPT_SETTINGS), exclude_defaults=True)
    settings_file = target.local_folder / SETTINGS_FILE
    settings_file.write_text(yaml.safe_dump(chosen, sort_keys=True) if chosen else "", encoding="utf-8")
    if original.sources is not None:
        shutil.copytree(original.sources, target.local_folder / OWN_SOURCES, dirs_exist_ok=True)
    _copy_keys(original.secrets_folder, target.secrets_folder)


def _copy_keys(folder: Path, target: Path) -> None:
    for name in (USER_ID, PII, FILE_ID):
        key, copy = key_path(folder, name), key_path(target, name)
        if key.is_file() and not copy.exists():
            copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            copy.touch(mode=0o600)
            copy.write_bytes(key.read_bytes())


def require_read_as_now(original: Platform) -> None:
    """Check that all files were read as their contracts are read now: what is computed anew is computed so.

    Raises:
        SettingsError: Some were read by an earlier contract or an earlier reader.
    """
    outdated = waiting_files(original).outdated
    if outdated:
        raise SettingsError(
            "files of the root were landed when their contracts, or the platform, read them otherwise",
            remedy="Run `ml-data-platform land` and `backfill` there first; kept bytes are then read again.",
            files=outdated,
        )


def copy_landed(original: ObjectStore, target: ObjectStore, progress: Progress) -> int:
    """Copy the kept bytes, the ledger and the ids of the keys; what is there already stays.

    Landed bytes are compared with their names. They come before the records that name them, so that a rebuild that is stopped never holds a record without bytes.

    Returns:
        The number of objects.

    Raises:
        DamagedObjectError: Landed bytes are not those that were landed.
    """
    of_keys = original.list(KEY_IDS_FOLDER)
    keys = [
        *of_keys,
        *original.list(RAW_FOLDER),
        *(key for key in original.list(LEDGER_FOLDER) if not key.startswith(_SEEN)),
    ]
    for number, key in enumerate(keys):
        progress("copying what landed", number, len(keys))
        if not target.exists(key):
            if key.startswith(f"{RAW_FOLDER}/"):
                target.put_if_absent(key, original.local_path(key))
                continue
            with original.fetched(key) as path:
                target.put_if_absent(key, path)
    return len(keys)


def days_of(original: Platform) -> list[dt.date]:
    """Return the days that were built in a root, in order.

    A day that only follows from a neighbour, of which features are published and no events, is none of them: it follows
    from the same neighbour again.
    """
    return sorted(dt.date.fromisoformat(day) for day in original.store.heads(RAW_EVENTS.name))


def compare_roots(original: Platform, rebuilt: Platform, days: Iterable[dt.date]) -> Comparison:
    """Compare the content hashes of all published partitions."""
    outdated = {
        (each.asset, each.day.isoformat()): f"{each.status} in the original: run backfill there first"
        for each in plan(read_state(original), sorted(days))
        if each.status in _BUILT
    }
    same, differences = 0, []
    for asset in TABLES:
        before, after = original.store.heads(asset), rebuilt.store.heads(asset)
        for day in sorted(before.keys() | after.keys()):
            why = outdated.get((asset, day), "")
            if day not in after:
                differences.append(Difference(asset, day, "not built", why))
            elif day not in before:
                differences.append(Difference(asset, day, "not in the original", why))
            elif before[day].content != after[day].content:
                differences.append(Difference(asset, day, "other bytes", why))
            else:
                same += 1
    return Comparison(same, tuple(differences))
