"""Removing what nothing refers to any more: objects of old generations, litter of crashes.

Belongs here: what is kept and why, and the rule that keeps a collector away from a commit under way. Does not belong
here: repairing (`recovery`), deleting what is not the platform's.

The rule holds on any medium, without a lock: only what was written longer ago than the grace is removed; whoever
refers to an object that is there already makes it young first (`ObjectStore.put_object`) and gives up when that was
more than half of the grace ago (`Deadline`).

An old generation goes because of newer ones, which must outlast a power cut first: after it, a log that lost them would
name objects that are gone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from ml_data_platform.errors import CommitExpiredError, SettingsError
from ml_data_platform.storage.commit_log import CommitLog
from ml_data_platform.storage.durability import file_sha256
from ml_data_platform.storage.layout import (
    LANDED_FILES,
    SNAPSHOTS_FOLDER,
    TOO_LATE_ROWS,
    UNDATED_ROWS,
    Layout,
)
from ml_data_platform.storage.ledger import Ledger
from ml_data_platform.storage.object_store import GRACE, ObjectStore, Stored
from ml_data_platform.storage.recovery import logged_assets
from ml_data_platform.storage.snapshot_files import require_snapshots

_HASH_IN_TEXT = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_FRAGMENTS = (LANDED_FILES, UNDATED_ROWS, TOO_LATE_ROWS)


class Deadline:
    """The instant after which a commit must not refer to objects that it found or wrote.

    Args:
        clock: Returns the present, with a time zone; now is when the commit begins.
        grace: Age below which nothing is collected.
    """

    def __init__(self, clock: Callable[[], datetime], grace: timedelta = GRACE) -> None:
        self._clock = clock
        self._end = clock() + grace / 2

    def check(self, **facts: str) -> None:
        """Let a commit go on, or stop it.

        Raises:
            CommitExpiredError: It began so long ago that its objects may be collected.
        """
        if self._clock() > self._end:
            raise CommitExpiredError(
                "A commit took so long that what it refers to may have been collected.", expected=self._end, **facts
            )


@dataclass(frozen=True)
class Collection:
    """What a collection removed, or would remove.

    Attributes:
        generations_expired: Objects of old generations.
        orphans_removed: Objects that no record ever named: of commits and landings that never ended.
        bytes_removed: Size of both.
        objects_kept: Objects that stay.
        uploads_removed: Unfinished uploads.
        keys: Keys of what is removed, in order.
    """

    generations_expired: int
    orphans_removed: int
    bytes_removed: int
    objects_kept: int
    uploads_removed: int = 0
    keys: tuple[str, ...] = ()


def collect(
    objects: ObjectStore,
    log: CommitLog,
    *,
    keep_last: int,
    older_than: timedelta,
    now: datetime,
    is_dry_run: bool = False,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Collection:
    """Remove objects that no kept generation refers to.

    Kept are: the head and the last ``keep_last`` generations of each partition, generations that were
    replaced less than ``older_than`` ago, and whatever a snapshot names. Log records are kept for ever:
    they are the lineage; so are landed bytes. An object that no record ever named, of a partition or of a landed
    file, is litter of a crash once it is older than ``older_than``; so are rows that came too late and are shown no more.

    Args:
        objects: The bytes.
        log: The commit log.
        keep_last: Generations of each partition to keep, at least 1.
        older_than: Age below which nothing is removed.
        now: The present, with a time zone.
        is_dry_run: Say what would be removed, and remove nothing.
        on_progress: Called with the name of each asset before it is looked at.

    Raises:
        SettingsError: ``keep_last`` is below 1, or ``now`` has no time zone.
        RecordError: A snapshot, or a record of the log or the ledger, was changed or cannot be read: what it names is not
            known, and nothing of its asset is removed then.
    """
    if keep_last < 1 or older_than < objects.least_age_to_collect or now.tzinfo is None:
        raise SettingsError(
            "A collection needs an aware now, keep_last >= 1 and a long enough age.",
            remedy="A bucket is written to by machines that do not see each other's locks, so that age protects a commit.",
            expected=f"at least {objects.least_age_to_collect}",
            keep_last=keep_last,
            older_than=older_than,
            now=now,
        )
    require_snapshots(objects)
    pinned = hashes_below(objects, SNAPSHOTS_FOLDER)
    expired: dict[str, Stored] = {}
    orphans: dict[str, Stored] = {}
    kept = 0
    for asset in [*logged_assets(objects), *_FRAGMENTS]:
        on_progress(asset)
        # One lock covers the fragments of a landed file, of both kinds.
        with objects.lock(Layout.objects_lock_key(LANDED_FILES if asset in _FRAGMENTS else asset)):
            stored = objects.stored(Layout.objects_folder(asset))
            # Read after the listing: what was committed meanwhile is live, and what is not listed is not removed.
            named_on: dict[str, set[str]] = {}
            if asset in _FRAGMENTS:
                named = live = _needed_fragments(objects, asset, stored)
            else:
                named_on, live = _named_and_live(log, asset, keep_last, now - older_than)
                named = set(named_on)
            old = {
                key: each
                for key, each in stored.items()
                if _hash_in(key) not in live | pinned and each.is_older_than(older_than, now)
            }
            gone = {key: each for key, each in old.items() if _hash_in(key) in named}
            litter = {key: each for key, each in old.items() if key not in gone}
            kept += len(stored) - len(gone) - len(litter)
            expired |= gone
            orphans |= litter
            if not is_dry_run:
                days = sorted(set().union(*(named_on.get(_hash_in(key), ()) for key in gone)))
                objects.each(objects.flush, [Layout.log_folder(asset, day) for day in days])
                objects.each(objects.delete, [*gone, *litter])
    uploads = 0 if is_dry_run else objects.reap_uploads(older_than, now)
    removed = expired | orphans
    return Collection(
        generations_expired=len(expired),
        orphans_removed=len(orphans),
        bytes_removed=sum(each.size_bytes for each in removed.values()),
        objects_kept=kept,
        uploads_removed=uploads,
        keys=tuple(sorted(removed)),
    )


def _named_and_live(
    log: CommitLog, asset: str, keep_last: int, kept_since: datetime
) -> tuple[dict[str, set[str]], set[str]]:
    """Return the days on which each hash was ever named, and the hashes that must stay."""
    named: dict[str, set[str]] = {}
    live: set[str] = set()
    for day, history in log.histories(asset).items():
        for position, record in enumerate(history):
            hashes = {file.sha256 for file in record.files}
            for sha256 in hashes:
                named.setdefault(sha256, set()).add(day)
            newer = history[position + 1 :]
            if len(newer) < keep_last or datetime.fromisoformat(newer[0].committed_at) > kept_since:
                live |= hashes
    return named, live


def _needed_fragments(objects: ObjectStore, asset: str, stored: Mapping[str, Stored]) -> set[str]:
    if not stored:
        return set()
    if asset != TOO_LATE_ROWS:
        # Read as records, so that a changed one gives nothing away.
        records = Ledger(objects).every_record()
        return {str(each) for record in records for each in (record.fragment, record.undated_fragment) if each}
    # No record names them: they are made from fragments, and needed as long as they are shown.
    shown = objects.stored(Layout.view_root(asset))
    versions = {each.version for each in shown.values()}
    needed = {_hash_in(key) for key, each in stored.items() if each.version in versions}
    known = {each.version for each in stored.values()}
    for key in (key for key, each in shown.items() if each.version not in known):
        with objects.fetched(key) as path:
            needed.add(file_sha256(path))
    return needed


def _hash_in(key: str) -> str:
    return key.rpartition("/")[2].partition(".")[0]


def hashes_below(objects: ObjectStore, folder: str) -> set[str]:
    """Return every SHA-256 that any record below a folder names."""
    # Any hash in any record counts, whatever form the record has.
    texts = objects.each(objects.read_bytes, objects.list(folder))
    return {found.decode() for text in texts for found in _HASH_IN_TEXT.findall(text)}
