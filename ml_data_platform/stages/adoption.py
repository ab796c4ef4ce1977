"""Taking over a root that earlier code made: what is kept in another form since is noted beside what is there.

Belongs here: the steps that concern ledger and commit log, and doing all steps in order. Does not belong here: steps of
other layers, which are added where the command is (``cli.adopting``), printing.

Each step can be repeated, and stopped at any moment: it does nothing where it was done. No table, and no record of
ledger or log, is rewritten.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ml_data_platform.errors import PlatformError, RecordError, bounded
from ml_data_platform.stages.platform import Platform
from ml_data_platform.storage.access import apply_access
from ml_data_platform.storage.commit_log import LogRecord
from ml_data_platform.storage.history_binding import HistoryBinding
from ml_data_platform.storage.layout import DECISIONS_FOLDER, LEDGER_FOLDER, Layout
from ml_data_platform.storage.records import Noted
from ml_data_platform.storage.records_of_before import has_digest, note_digests, noted_digests
from ml_data_platform.storage.recovery import logged_assets
from ml_data_platform.storage.scrub import is_own
from ml_data_platform.storage.small_records import RecordKind, kind_of, read_small


@dataclass(frozen=True)
class Taken:
    """What one step did, or would do.

    Attributes:
        what: What was done, in words.
        count: To how many.
        problems: A line for each thing that cannot be taken over, and what to do.
    """

    what: str
    count: int
    problems: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return plain values for scripts."""
        return {"what": self.what, "count": self.count, "problems": list(self.problems)}


Step = Callable[[Platform, bool], Taken]
"""A step of taking a root over: it is told whether it is a dry run."""


def take_over(platform: Platform, steps: Sequence[Step], *, is_dry_run: bool = False) -> list[Taken]:
    """Do all steps, in order; returns what each did."""
    return [step(platform, is_dry_run) for step in steps]


def is_of_before(platform: Platform) -> bool:
    """Tell whether a root was made by earlier code and not taken over since.

    Raises:
        RecordError: What was noted then was changed.
    """
    objects = platform.store.objects
    return noted_digests(objects) is None and bool(platform.ledger.sources() or logged_assets(objects))


def note_records(platform: Platform, is_dry_run: bool) -> Taken:
    """Note the digests of all records that have none of their own; from then on others without one are foreign."""
    what = "records without a digest of their own: theirs was noted"
    objects = platform.store.objects
    if noted_digests(objects) is not None:
        return Taken(what, 0)
    digests: dict[str, str] = {}
    problems: list[str] = []
    for key, data in _records_of(platform):
        if has_digest(data, key):
            continue
        try:
            _check(key, data)
        except PlatformError as error:
            problems.append(bounded(f"{key}: {error.what} `ml-data-platform verify --repair` looks after it.", 400))
        else:
            digests[key] = hashlib.sha256(data).hexdigest()
    if not is_dry_run and not problems:
        note_digests(objects, digests)
    return Taken(what, len(digests), tuple(problems))


def keep_twins(platform: Platform, is_dry_run: bool) -> Taken:
    """Keep a second copy of each decision that has none."""
    decisions, count = platform.ledger.decisions, 0
    for source in sorted(platform.store.objects.names(DECISIONS_FOLDER)):
        kept = set(platform.store.objects.names(Layout.twins_folder(source)))
        for decision in decisions.of(source):
            if decision.key.rpartition("/")[2] not in kept:
                count += is_dry_run or decisions.keep_twin(decision)
    return Taken("decisions without a second copy: it was kept", count)


def keep_to_owner(platform: Platform, is_dry_run: bool) -> Taken:
    """Give files and folders the permission bits of the setting `access`; the landing folder is its producers'."""
    settings = platform.settings
    spared = [settings.landing] if isinstance(settings.landing, Path) else []
    # DVC knows its files by the bits that it gave them.
    spared += [settings.versions_folder / ".dvc" / "cache", Path(settings.versions_remote_url)]
    count = apply_access(settings.local_folder, settings.access, but=spared, is_dry_run=is_dry_run)
    return Taken(f"files and folders that others could read: they are kept to the {settings.access} now", count)


def note_key_ids(platform: Platform, is_dry_run: bool) -> Taken:
    """Note the ids of the keys that published days and masked files bear witness to."""
    what, done, problems = "keys whose ids were not noted in the root: they were", 0, []
    try:
        for name in platform.keys.unnoted():
            platform.keys.check(name) if is_dry_run else platform.keys.require(name)
            done += 1
    except PlatformError as error:
        problems.append(str(error))
    return Taken(what, done, tuple(problems))


def seal_binding(platform: Platform, is_dry_run: bool) -> Taken:
    """Give the record of the Dagster history that the root belongs to a digest."""
    binding, what = HistoryBinding(platform.store.objects), "record of the history without a digest: it was given one"
    return Taken(what, int(binding.is_of_before() if is_dry_run else binding.adopt()))


STEPS: tuple[Step, ...] = (note_records, keep_twins, note_key_ids, seal_binding, keep_to_owner)


def _records_of(platform: Platform) -> Iterable[tuple[str, bytes]]:
    objects = platform.store.objects
    keys = [key for key in objects.list(LEDGER_FOLDER) if kind_of(key) not in {None, RecordKind.POLLED}]
    keys += [key for asset in logged_assets(objects) for key in objects.list(Layout.log_root(asset))]
    return zip(keys, objects.each(objects.read_bytes, keys), strict=True)


def _check(key: str, data: bytes) -> None:
    """Check what can be checked of a record without a digest: its form, its place, and the identity of a commit."""
    accepted: Noted = lambda _key, _data: None  # noqa: E731 - a name for what is asked
    if kind_of(key) is not None:
        read_small(key, data, accepted)
        return
    record = LogRecord.from_json(data, where=key, noted=accepted)
    at = Layout.log_key(record.asset, record.day, record.generation)
    if at != key or not is_own(record):
        raise RecordError("A commit record is not what its identity says.", file=key, got=at)
