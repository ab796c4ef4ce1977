"""What follows a commit, or is left by a crash: views behind their head, scratch of the dead, old objects.

Belongs here: projecting heads to the view, repairing after crashes, collecting what nothing refers to.
Does not belong here: committing.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from ml_data_platform.errors import PlatformError, SettingsError, bounded
from ml_data_platform.storage.commit_log import CommitLog, LogRecord
from ml_data_platform.storage.layout import SNAPSHOTS_FOLDER, STORE, Layout, check_name
from ml_data_platform.storage.object_store import LocalObjectStore

_HASH_IN_TEXT = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


@dataclass(frozen=True)
class Recovery:
    """What a recovery found and did.

    Attributes:
        partitions_checked: Published partitions looked at.
        views_repaired: Partitions whose view was behind its head.
        folders_removed: Scratch folders of dead owners.
        broken: One line for each partition that could not be read or repaired.
    """

    partitions_checked: int
    views_repaired: int
    folders_removed: int
    broken: tuple[str, ...]


@dataclass(frozen=True)
class Collection:
    """What a collection removed.

    Attributes:
        generations_expired: Objects of old generations removed.
        orphans_removed: Objects removed that no log record ever named.
        bytes_removed: Size of both.
        objects_kept: Objects that stay.
    """

    generations_expired: int
    orphans_removed: int
    bytes_removed: int
    objects_kept: int


def logged_assets(objects: LocalObjectStore) -> list[str]:
    """Return the assets that have a commit log, in order; foreign folders are ignored."""
    assets = []
    for name in sorted(objects.names(STORE)):
        try:
            if objects.local_path(Layout.log_root(check_name(name, "asset"))).is_dir():
                assets.append(name)
        except PlatformError:
            continue
    return assets


def project_head(objects: LocalObjectStore, log: CommitLog, asset: str, day: str) -> bool:
    """Show a partition's newest generation in the view; the view never goes back.

    Returns:
        True when the view changed.

    Raises:
        VerificationError: An object of the head is missing.
        RecordError: The head cannot be read.
    """
    with objects.lock(Layout.lock_key(asset, day)):
        # Read under the lock: the last to hold it shows a head at least as new as anyone's before.
        head = log.head(asset, day)
        if head is None:
            return False
        changed = [
            objects.project(Layout.object_key(asset, file.sha256), Layout.view_key(asset, day, file.name))
            for file in head.files
        ]
        stale = _stale_files(objects, log, head)
        for name in stale:
            objects.delete(Layout.view_key(asset, day, name))
        return any(changed) or bool(stale)


def recover(objects: LocalObjectStore, log: CommitLog) -> Recovery:
    """Finish or remove what crashed processes left.

    Returns:
        What was found and done. A partition that cannot be repaired is listed and does not hold others up.
    """
    checked, repaired, broken = 0, 0, []
    for asset in logged_assets(objects):
        for day in log.days(asset):
            try:
                head = log.head(asset, day)
                checked += head is not None
                if head and not _is_shown(objects, head):
                    repaired += project_head(objects, log, asset, day)
            except (PlatformError, OSError) as error:
                broken.append(bounded(f"{asset} {day}: {error}", 400))
    return Recovery(checked, repaired, objects.reap_scratch(), tuple(broken))


def collect(
    objects: LocalObjectStore, log: CommitLog, *, keep_last: int, older_than: timedelta, now: datetime
) -> Collection:
    """Remove objects that no kept generation refers to.

    Kept are: the head and the last ``keep_last`` generations of each partition, generations that were
    replaced less than ``older_than`` ago, and whatever a snapshot names. Log records are kept for ever:
    they are the lineage. An object that no record ever named is litter of a crash once it is older than
    ``older_than``. Objects of assets without a commit log (fragments of landed files) are not touched.

    Args:
        objects: The bytes.
        log: The commit log.
        keep_last: Generations of each partition to keep, at least 1.
        older_than: Age below which nothing is removed.
        now: The present, with a time zone.

    Raises:
        SettingsError: ``keep_last`` is below 1, or ``now`` has no time zone.
        RecordError: A log record cannot be read; nothing of its asset is removed then.
    """
    if keep_last < 1 or now.tzinfo is None:
        raise SettingsError("A collection needs keep_last >= 1 and an aware now.", keep_last=keep_last, now=now)
    pinned = _pinned_hashes(objects)
    expired = orphans = size = kept = 0
    for asset in logged_assets(objects):
        with objects.lock(Layout.objects_lock_key(asset)):
            named, live = _named_and_live(log, asset, keep_last, now - older_than)
            for key in objects.list(Layout.objects_folder(asset)):
                path = objects.local_path(key)
                is_orphan = path.stem not in named
                is_young = path.stat().st_mtime > (now - older_than).timestamp()
                if path.stem in live | pinned or (is_orphan and is_young):
                    kept += 1
                    continue
                size += path.stat().st_size
                orphans, expired = orphans + is_orphan, expired + (not is_orphan)
                objects.delete(key)
    return Collection(expired, orphans, size, kept)


def _named_and_live(log: CommitLog, asset: str, keep_last: int, kept_since: datetime) -> tuple[set[str], set[str]]:
    named: set[str] = set()
    live: set[str] = set()
    for day in log.days(asset):
        history = log.history(asset, day)
        for position, record in enumerate(history):
            hashes = {file.sha256 for file in record.files}
            named |= hashes
            newer = history[position + 1 :]
            if len(newer) < keep_last or datetime.fromisoformat(newer[0].committed_at) > kept_since:
                live |= hashes
    return named, live


def _pinned_hashes(objects: LocalObjectStore) -> set[str]:
    # Any hash in any snapshot pins, whatever form the snapshot has.
    texts = (objects.read_bytes(key) for key in objects.list(SNAPSHOTS_FOLDER))
    return {found.decode() for text in texts for found in _HASH_IN_TEXT.findall(text)}


def _is_shown(objects: LocalObjectStore, head: LogRecord) -> bool:
    shown = all(
        objects.is_projected(
            Layout.object_key(head.asset, file.sha256), Layout.view_key(head.asset, head.day, file.name)
        )
        for file in head.files
    )
    return shown and not _unexpected_files(objects, head)


def _unexpected_files(objects: LocalObjectStore, head: LogRecord) -> set[str]:
    folder = objects.local_path(Layout.view_folder(head.asset, head.day))
    found = {(Path(top) / name).relative_to(folder).as_posix() for top, _, names in os.walk(folder) for name in names}
    return found - {file.name for file in head.files}


def _stale_files(objects: LocalObjectStore, log: CommitLog, head: LogRecord) -> set[str]:
    """Return files of the view that earlier generations had and the head has not; never a foreign file."""
    unexpected = _unexpected_files(objects, head)
    if not unexpected:
        return set()
    return unexpected & {file.name for record in log.history(head.asset, head.day) for file in record.files}
