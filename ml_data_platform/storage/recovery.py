"""What follows a commit, or is left by a crash: views behind their head, scratch of the dead.

Belongs here: projecting heads to the view, and repairing after crashes. Does not belong here: committing, or
collecting what nothing refers to (`collection`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ml_data_platform.errors import PlatformError, bounded
from ml_data_platform.storage.commit_log import CommitLog, LogRecord
from ml_data_platform.storage.layout import STORE, Layout, check_name
from ml_data_platform.storage.object_store import ObjectStore, Stored, Version


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


def logged_assets(objects: ObjectStore) -> list[str]:
    """Return the assets that have a commit log, in order; foreign folders are ignored."""
    assets = []
    for name in sorted(objects.names(STORE)):
        try:
            if objects.names(Layout.log_root(check_name(name, "asset"))):
                assets.append(name)
        except PlatformError:
            continue
    return assets


def project_head(objects: ObjectStore, log: CommitLog, asset: str, day: str, *, durable: int = 0) -> bool:
    """Show a partition's newest generation in the view; the view never goes back, nor ahead of what a power cut leaves.

    Args:
        objects: The bytes.
        log: The commit log.
        asset: Asset name.
        day: UTC day.
        durable: A generation that the caller has just made durable; 0 for none.

    Returns:
        True when the view changed.

    Raises:
        VerificationError: An object of the head is missing.
        RecordError: The head cannot be read.
    """
    changed = False
    # The first lock keeps collectors from taking what is about to be shown and was replaced meanwhile.
    with objects.lock(Layout.objects_lock_key(asset), shared=True), objects.lock(Layout.lock_key(asset, day)):
        # Read under the lock: the last to hold it shows a head at least as new as anyone's before.
        head = log.head(asset, day)
        while head is not None:
            if head.generation != durable:
                # Who wrote it may have died, or be about to, before it was flushed: then the log loses what was shown.
                objects.flush(Layout.log_folder(asset, day))
                durable = head.generation
            changed |= _show(objects, log, head)
            shown, head = head, log.head(asset, day)
            # The lock holds on one machine: another one may have committed, and shown, meanwhile.
            if head is not None and head.generation == shown.generation:
                break
        return changed


def _show(objects: ObjectStore, log: CommitLog, head: LogRecord) -> bool:
    changed = [
        objects.project(
            Layout.object_key(head.asset, file.sha256),
            Layout.view_key(head.asset, head.day, file.name),
            generation=head.generation,
        )
        for file in head.files
    ]
    stale = _stale_files(objects, log, head)
    for name in stale:
        objects.withdraw(Layout.view_key(head.asset, head.day, name))
    # Who withdrew a file may have died before that was flushed; folders of the head's files were flushed just now.
    shown = {Layout.view_key(head.asset, head.day, file.name).rpartition("/")[0] for file in head.files}
    objects.settle_below(Layout.view_folder(head.asset, head.day), but=shown)
    return any(changed) or bool(stale)


def recover(objects: ObjectStore, log: CommitLog) -> Recovery:
    """Finish or remove what crashed processes left.

    Returns:
        What was found and done. A partition that cannot be repaired is listed and does not hold others up.
    """
    checked, repaired, broken = 0, 0, []
    for asset in logged_assets(objects):
        generations = log.generations(asset)
        views = _views(objects, asset)

        def look(
            one: tuple[str, Mapping[int, Version]], views: Mapping[str, Mapping[str, Stored]] = views, of: str = asset
        ) -> tuple[bool, str]:
            day, versions = one
            try:
                return _recover_day(objects, log, of, day, versions=versions, view=views.get(day, {})), ""
            except (PlatformError, OSError) as error:
                return False, bounded(f"{of} {day}: {error}", 400)

        found = objects.each(look, generations.items())
        checked += len(found)
        repaired += sum(is_repaired for is_repaired, _ in found)
        broken += [why for _, why in found if why]
    return Recovery(checked, repaired, objects.reap_scratch(), tuple(broken))


def _recover_day(
    objects: ObjectStore,
    log: CommitLog,
    asset: str,
    day: str,
    *,
    versions: Mapping[int, Version],
    view: Mapping[str, Stored],
) -> bool:
    newest = max(versions)
    head = log.at(asset, day, newest, versions[newest])
    expected = {Layout.view_key(asset, day, file.name): file.sha256 for file in head.files}
    is_shown = view.keys() == expected.keys() and all(
        objects.is_projected(Layout.object_key(asset, sha256), key, view[key]) for key, sha256 in expected.items()
    )
    if not is_shown:
        return project_head(objects, log, asset, day)
    # Who showed it may have died before it was flushed; the log first, so that it is never behind the view.
    objects.settle(Layout.log_folder(asset, day))
    objects.settle_below(Layout.view_folder(asset, day))
    return False


def _views(objects: ObjectStore, asset: str) -> dict[str, dict[str, Stored]]:
    """Return the files that an asset's view shows, by day."""
    views: dict[str, dict[str, Stored]] = {}
    beginning = f"{Layout.view_root(asset)}/dt="
    for key, stored in objects.stored(Layout.view_root(asset)).items():
        day = key.removeprefix(beginning).partition("/")[0]
        views.setdefault(day, {})[key] = stored
    return views


def _stale_files(objects: ObjectStore, log: CommitLog, head: LogRecord) -> set[str]:
    """Return files of the view that earlier generations had and the head has not; never a foreign file."""
    folder = Layout.view_folder(head.asset, head.day)
    shown = {key.removeprefix(f"{folder}/") for key in objects.list(folder)}
    unexpected = shown - {file.name for file in head.files}
    if not unexpected:
        return set()
    return unexpected & {file.name for record in log.history(head.asset, head.day) for file in record.files}
