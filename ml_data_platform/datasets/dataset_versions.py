"""dataset_versions: cutting a version, step by step.

Belongs here: the order of the steps. Each can be repeated: a cut that dies at any of them leaves no tag, and the
next one starts from the same place. Does not belong here: what each step does.

Steps: 1. the newest generations that fit each other are chosen, unless too many rows of landed files are missing; 2. a snapshot pins their bytes; 3. changed files are
copied from immutable objects; 4. folds are dealt where they are asked for; 5. DVC tracks all, and its listing is compared
with the snapshot; 6. event ids are unique over all days; 7. DVC pushes; 8. what is new in the remote is read back; 9. the
tag: the commit point.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ml_data_platform.datasets.dvc_files import MISSING
from ml_data_platform.datasets.event_ids import require_unique_events
from ml_data_platform.datasets.manifest import FOLDS, FoldFacts, Manifest
from ml_data_platform.datasets.manifest_fields import DATA
from ml_data_platform.datasets.repository import VersionsRepository, snapshot_of_tag
from ml_data_platform.datasets.selection import Request, Selection, select_partitions
from ml_data_platform.datasets.snapshots import remove_unnamed_snapshots, snapshot_of, write_snapshot
from ml_data_platform.datasets.spanned_files import require_none_retracted, spanned_files
from ml_data_platform.datasets.stored_folds import answers, deal_folds
from ml_data_platform.datasets.version_facts import commit_message, describe_version, path_of
from ml_data_platform.datasets.workspace import Wanted
from ml_data_platform.errors import CorruptVersionError, VersionError
from ml_data_platform.events.usable_rows import FileVerdict
from ml_data_platform.storage.snapshot_files import snapshot_id
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform.training.folds import FoldChoice

Step = Literal["choose", "pin", "copy", "deal", "track", "count", "push", "read back", "tag"]
Progress = Callable[[Step, str, int, int], None]
WAIT_SECONDS = 600.0


@dataclass(frozen=True)
class Cut:
    """What a cut did.

    Attributes:
        manifest: The version; on a dry run, what it would be, with a tag that does not exist.
        outcome: ``cut``; ``unchanged`` when the newest version says the same; ``dry run``.
        copied: Paths of the files that were copied, or on a dry run those that are not in the newest version.
    """

    manifest: Manifest
    outcome: Literal["cut", "unchanged", "dry run"]
    copied: tuple[str, ...]


def no_progress(_step: Step, _what: str, _done: int, _total: int) -> None:
    """Say nothing."""


def cut_version(
    repository: VersionsRepository,
    store: TableStore,
    request: Request,
    *,
    now: dt.datetime,
    unsettled: Collection[str] = (),
    verdicts: Collection[FileVerdict] = (),
    retracted: Mapping[str, Mapping[str, str]] = {},
    memory_limit: str = "1GB",
    threads: int = 2,
    wait_seconds: float = WAIT_SECONDS,
    progress: Progress = no_progress,
) -> Cut:
    """Cut a version of what is published now, unless the newest one says the same.

    Args:
        repository: Where versions are kept.
        store: The root's tables.
        request: Data sets and days, and folds.
        now: The present, aware; later than the newest version's instant, or one second after it is used.
        unsettled: Days of which rows may still arrive within their producers' time.
        verdicts: The verdicts on all landed files that count.
        retracted: UTC day to the inputs of its ``raw_events`` that were retracted, each to a name of the file.
        memory_limit: Bound of the query engine.
        threads: Its threads.
        wait_seconds: How long to wait for another cut.
        progress: Called at the start of each step, and for each file copied.

    Raises:
        VersionsBusyError: Another cut did not end in time.
        VersionError: There is no day to be cut, one holds rows of a retracted file, too many rows of its files reach
            no day and nobody accepted that, an event id occurs twice, or git or DVC failed.
        SplitError: The folds that are asked for would tear users apart, or there are too few users or rows.
        CorruptVersionError: Bytes differ from what their names say, here or in the remote.
    """
    with repository.lock(wait_seconds=wait_seconds):
        progress("choose", "generations", 0, 0)
        instant = now.astimezone(dt.UTC).replace(microsecond=0)
        parent = repository.prepare(instant.isoformat())
        newest = repository.newest()
        if newest is not None:
            instant = max(instant, dt.datetime.fromisoformat(newest.created_at) + dt.timedelta(seconds=1))
        named = [snapshot_of_tag(tag) for tag in repository.tags()]
        remove_unnamed_snapshots(store, named, repository.notes / "snapshots")
        selection = select_partitions(store, request)
        _require_days(selection)
        require_none_retracted(store, selection.days, retracted)
        spanned = spanned_files(verdicts, [chosen.day for chosen in selection.days], request.accept_unusable)
        progress("pin", f"{len(selection.days)} days", 0, 0)
        snapshot = write_snapshot(store, snapshot_of(store, selection), repository.notes / "snapshots")
        wanted = _wanted(selection)
        copied = repository.work_tree.bring_to(
            store.objects, wanted, lambda path, done, total: progress("copy", path, done, total)
        )
        folds = None
        if request.folds is not None:
            progress("deal", f"{request.folds.count} folds", 0, 0)
            folds = _deal(repository.folder, request.datasets[0], wanted, request.folds, memory_limit, threads)
        progress("track", "with DVC", 0, 0)
        md5s = repository.work_tree.md5s()
        names = (*request.datasets, FOLDS) if folds else request.datasets
        dirs = _track(repository, names, {**md5s, folds.file.path: folds.file.md5} if folds else md5s)
        manifest = describe_version(store, request, selection, snapshot, instant, unsettled, md5s, dirs, folds, spanned)
        if newest is not None and newest.facts == manifest.facts:
            return Cut(newest, "unchanged", copied)
        progress("count", "event ids", 0, 0)
        require_unique_events(repository.folder, manifest.datasets[0], memory_limit=memory_limit, threads=threads)
        progress("push", repository.remote.url, 0, 0)
        _push(repository, manifest, newest, progress)
        progress("tag", manifest.tag, 0, 0)
        repository.record(manifest, commit_message(manifest), parent)
        progress("tag", "done", 1, 1)
        return Cut(manifest, "cut", copied)


def preview_version(
    repository: VersionsRepository,
    store: TableStore,
    request: Request,
    *,
    now: dt.datetime,
    unsettled: Collection[str] = (),
    verdicts: Collection[FileVerdict] = (),
    retracted: Mapping[str, Mapping[str, str]] = {},
) -> Cut:
    """Say what a cut would hold; nothing is written anywhere.

    Raises:
        VersionError: There is no day to be cut, one holds rows of a retracted file, or too many rows of its files
            reach no day and nobody accepted that.
    """
    selection = select_partitions(store, request)
    _require_days(selection)
    require_none_retracted(store, selection.days, retracted)
    spanned = spanned_files(verdicts, [chosen.day for chosen in selection.days], request.accept_unusable)
    snapshot = snapshot_id(snapshot_of(store, selection))
    newest = repository.newest()
    known = {file.path: file for file in newest.files} if newest else {}
    wanted = _wanted(selection)
    differing = [path for path, want in wanted.items() if path not in known or known[path].sha256 != want.sha256]
    md5s = {path: known[path].md5 if path in known else "" for path in wanted}
    dirs = {dataset.name: dataset.dir_md5 for dataset in newest.datasets} if newest else {}
    instant = now.astimezone(dt.UTC).replace(microsecond=0)
    manifest = describe_version(store, request, selection, snapshot, instant, unsettled, md5s, dirs, None, spanned)
    is_same = False
    if newest is not None and answers(newest.folds, request.folds):
        # The same rows and the same choice are the same folds, so none need to be dealt to know.
        manifest = manifest.model_copy(update={"folds": newest.folds})
        is_same = not differing and newest.facts == manifest.facts
    if newest is not None and is_same:
        return Cut(newest, "unchanged", ())
    return Cut(manifest, "dry run", tuple(sorted(differing)))


def _require_days(selection: Selection) -> None:
    if not selection.days:
        reasons = "; ".join(f"{each.day} {each.reason}" for each in selection.left_out[:3])
        raise VersionError(
            "there is no day that a version could hold",
            remedy="Build days first: ml-data-platform backfill.",
            left_out=reasons or None,
        )


def _wanted(selection: Selection) -> dict[str, Wanted]:
    return {
        path_of(asset, chosen.day, file.name): Wanted(asset, file.sha256, file.size_bytes)
        for chosen in selection.days
        for asset, record in chosen.partitions.items()
        for file in record.files
    }


def _deal(  # noqa: PLR0917 - the choice, the rows and the engine's bounds
    folder: Path, dataset: str, wanted: dict[str, Wanted], choice: FoldChoice, memory_limit: str, threads: int
) -> FoldFacts:
    files = sorted(path for path, want in wanted.items() if want.asset == dataset)
    return deal_folds(folder, dataset, files, choice, memory_limit=memory_limit, threads=threads)


def _track(repository: VersionsRepository, names: Sequence[str], md5s: dict[str, str]) -> dict[str, str]:
    """Let DVC track each folder, and compare what it found with what was written; returns the MD5 of each listing."""
    dirs = {}
    added = repository.dvc.add([f"{DATA}/{dataset}" for dataset in names])
    for dataset, (dirs[dataset], listed) in zip(names, added, strict=True):
        top = f"{DATA}/{dataset}"
        expected = {path.removeprefix(f"{top}/"): md5 for path, md5 in md5s.items() if path.startswith(f"{top}/")}
        wrong = sorted(path for path in listed.keys() | expected.keys() if listed.get(path) != expected.get(path))
        if wrong:
            raise CorruptVersionError(
                "DVC lists other bytes than the snapshot names",
                remedy="Cut again: changed files are copied anew. If this comes back, check the disk.",
                dataset=dataset,
                files=wrong[:5],
            )
    for stray in (repository.folder / DATA).glob("*.dvc"):
        if stray.stem not in names:
            stray.unlink()
    # DVC has put copies of its cache in the place of what was added.
    repository.work_tree.remember()
    return dirs


def _push(repository: VersionsRepository, manifest: Manifest, newest: Manifest | None, progress: Progress) -> None:
    """Push, and do not believe it: the remote is asked for every object, and new ones are read back."""
    oids = oids_of(manifest)
    new = oids - (oids_of(newest) if newest else set())
    targets = [f"{DATA}/{folder.name}" for folder in manifest.tracked]
    # A push that was killed may have left an empty listing in a folder, on which DVC fails before it pushes anything.
    listings = repository.dvc.corrupt(oid for oid in new if oid.endswith(".dir"))
    repository.dvc.discard(oid for oid, fault in listings.items() if fault != MISSING)
    repository.dvc.push(targets)
    missing = repository.dvc.missing(oids)
    progress("read back", f"{len(new)} objects", 0, 0)
    wrong = repository.dvc.corrupt(new | missing, sync=True)
    if wrong:
        # An earlier push may have been cut short, or somebody has cleaned the remote behind DVC's back.
        repository.dvc.discard(wrong)
        repository.dvc.push(targets)
        # Where the remote has a folder's listing, DVC takes it for granted that it has the files too.
        for oid in repository.dvc.corrupt(wrong):
            cached = repository.dvc.cached(oid)
            if cached is not None:
                repository.dvc.give(oid, cached)
        wrong = repository.dvc.corrupt(wrong, sync=True)
    if wrong or not repository.dvc.is_in_cloud(targets):
        raise CorruptVersionError(
            "the remote does not hold what was pushed",
            remedy="Look at the remote and its permissions, then cut again; no tag was made.",
            remote=repository.remote.url,
            objects=[f"{oid} {what}" for oid, what in sorted(wrong.items())][:3] or None,
        )


def oids_of(manifest: Manifest) -> set[str]:
    """Return the names of a version's objects in DVC's remote: of its files, and of the listing of each folder."""
    return {file.md5 for file in manifest.files} | {f"{folder.dir_md5}.dir" for folder in manifest.tracked}
