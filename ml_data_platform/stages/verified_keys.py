"""What verification says of a root's secret keys and of the records of their ids.

Belongs here: finding what is wrong with them, and repairing what needs no decision. Does not belong here: which key a
root needs (``root_keys``), other looks (``verification``).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from ml_data_platform.errors import PlatformError, RecordError, SettingsError, bounded
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.root_keys import RootKeys
from ml_data_platform.storage.defects import Defect, Kind
from ml_data_platform.storage.keys import NAMES, OWNER_ONLY, key_path
from ml_data_platform.storage.layout import KEY_ID_KEY, KEY_IDS_FOLDER, Layout
from ml_data_platform.storage.mending import set_aside


def look_at_keys(platform: Platform, is_repair: bool) -> Iterator[Defect]:
    """Compare the keys of this machine, and the records of their ids, with what is stored."""
    for name in NAMES:
        yield from _records(platform.keys, name, is_repair=is_repair)
        yield from _file(platform.keys, name, is_repair=is_repair)
    yield from _foreign(platform.keys, is_repair=is_repair)


def _records(keys: RootKeys, name: str, *, is_repair: bool) -> Iterator[Defect]:
    numbers = keys.ids.numbers(name)
    for number in numbers:
        try:
            keys.ids.read(name, number)
        except RecordError as error:
            key = Layout.key_id_key(name, number)
            is_repaired = is_repair and _is_noted_again(keys, name, number, is_newest=number == numbers[-1])
            yield Defect(Kind.KEY_ID_DAMAGED, key, detail=bounded(error.what), is_repaired=is_repaired)
    if not numbers and _is_unnoted(keys, name):
        is_repaired = is_repair and _is_noted(keys, name, 1)
        detail = "it is made with a key, and no id of it is noted"
        yield Defect(Kind.KEY_ID_DAMAGED, Layout.key_ids_folder(name), detail=detail, is_repaired=is_repaired)


def _is_unnoted(keys: RootKeys, name: str) -> bool:
    try:
        return keys.is_unnoted(name)
    except RecordError:
        # What would tell is damaged itself, which is found with the records.
        return False


def _is_noted_again(keys: RootKeys, name: str, number: int, *, is_newest: bool) -> bool:
    """Set a damaged record aside; of the newest only where what is stored says what it held."""
    if is_newest and not keys.is_witnessed(name):
        return False
    set_aside(keys.ids.objects, Layout.key_id_key(name, number))
    return not is_newest or _is_noted(keys, name, number)


def _is_noted(keys: RootKeys, name: str, number: int) -> bool:
    try:
        return keys.note_again(name, number)
    except PlatformError:
        return False


def _file(keys: RootKeys, name: str, *, is_repair: bool) -> Iterator[Defect]:
    path = key_path(keys.settings.secrets_folder, name)
    try:
        keys.check(name)
    except SettingsError as error:
        yield Defect(Kind.KEY_LOST, str(path), detail=_said(error))
    except RecordError:
        pass  # found with the records
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return
    if mode & ~OWNER_ONLY & 0o077:
        detail = f"its mode is {mode:04o}, expected {OWNER_ONLY:04o}"
        yield Defect(Kind.KEY_EXPOSED, str(path), detail=detail, is_repaired=is_repair and _is_closed(path))


def _is_closed(path: os.PathLike[str]) -> bool:
    try:
        os.chmod(path, OWNER_ONLY)  # noqa: PTH101 - takes what `key_path` gives
    except OSError:
        return False
    return True


def _foreign(keys: RootKeys, *, is_repair: bool) -> Iterator[Defect]:
    for key in keys.ids.objects.list(KEY_IDS_FOLDER):
        folder, _, file_name = key.rpartition("/")
        if folder.rpartition("/")[2] not in NAMES or Layout.key_id_place(file_name) is None:
            yield Defect(Kind.FOREIGN_FILE, key)
    for name in NAMES:
        try:
            keys.ids.noted_before(name)
        except RecordError as error:
            is_repaired = is_repair and _is_known_without(keys, name)
            yield Defect(Kind.KEY_ID_DAMAGED, KEY_ID_KEY, detail=bounded(error.what), is_repaired=is_repaired)


def _is_known_without(keys: RootKeys, name: str) -> bool:
    """Set the record of before aside, and note the id in today's form where that is not done yet."""
    set_aside(keys.ids.objects, KEY_ID_KEY)
    return bool(keys.ids.numbers(name)) or _is_noted(keys, name, 1)


def _said(error: SettingsError) -> str:
    facts = [f"{name} {error.facts[name]}" for name in ("expected", "got") if error.facts.get(name)]
    return bounded(", ".join([error.what.rstrip("."), *facts]))
