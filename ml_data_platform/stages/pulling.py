"""Pull: the files of a day, from where a contract says that they lie, into the ledger.

Belongs here: fetching what was not fetched yet, landing it, and noting so. Does not belong here: looking at the
addresses (``seen_days``), and reaching places (``storage.remote_places``).

A file is landed from a passing copy; only then is it noted as fetched. A crash in between fetches that one file again,
whose bytes the ledger then knows. Of a source with a ``pii`` section that copy is memory, and no file.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ml_data_platform.errors import RemoteFileError
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.path_columns import path_values
from ml_data_platform.landing.landing import land_file
from ml_data_platform.landing.masked_files import content_id
from ml_data_platform.landing.terms import LandingTerms, with_one_engine
from ml_data_platform.stages.landed_files import landing_terms
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.pull_report import PulledFile, PullReport
from ml_data_platform.stages.pulled_changes import contents_of, replaces, retract_others
from ml_data_platform.stages.seen_days import (
    SeenDay,
    look_at,
    note_settled,
    place_of,
    reason_of,
    refused_version,
    watched_days,
)
from ml_data_platform.storage.passing_copies import CopyRoom, PassingCopy, copy_room
from ml_data_platform.storage.pulled_versions import DayOfVersions
from ml_data_platform.storage.remote_files import Patience, RemoteFile, RemotePlace, fetch_whole

FETCHERS = 4
AHEAD = 8
"""Files that are fetched before the one that is landed: bounds the disk that copies take."""

PATIENT = Patience()
Progress = Callable[[str, int, int], None]


def _silent(_what: str, _done: int, _total: int) -> None:
    return


def pull_days(
    platform: Platform,
    source: str,
    days: Sequence[dt.date] | None = None,
    *,
    is_dry_run: bool = False,
    is_historical: bool = False,
    patience: Patience = PATIENT,
    progress: Progress = _silent,
) -> PullReport:
    """Fetch and land what lies at the addresses of days and was not fetched yet.

    Args:
        platform: The opened root.
        source: Whose files.
        days: UTC days; by default those that the sensor watches.
        is_dry_run: Only look.
        is_historical: The files are not late, whatever days they have rows of.
        patience: How long is tried what fails.
        progress: Called with what is done, the number done, and the number in all.

    Returns:
        What was found and done. What could not be fetched is in it, and in the ledger's failures.

    Raises:
        ContractError: There is no such source, or its contract names no address.
        OSError: The platform's own storage failed.
    """
    contract = platform.contracts.of(source)
    place = place_of(platform, contract)
    wanted = watched_days(platform, contract) if days is None else days
    seen = look_at(
        platform,
        contract,
        wanted,
        patience=patience,
        place=place,
        progress=lambda done, total: progress("looking", done, total),
    )
    files = [file for each in seen for file in _found(each)]
    if is_dry_run:
        return PullReport(tuple(seen), tuple(files))
    for each in seen:
        if each.failure:
            platform.ledger.note_failure(source, each.address, each.failure, _now(platform))
        else:
            platform.ledger.forget_failures(source, each.address)
    due = [(each.day, file) for each in seen for file in each.due]
    terms = landing_terms(platform, is_historical=is_historical)
    done = {
        (file.day, file.location): file
        for file in _fetch_and_land(platform, contract, place, due, terms, patience=patience, progress=progress)
    }
    if replaces(contract):
        for each in seen:
            _make_good(platform, contract, each)
    final = tuple(done.get((file.day, file.location), file) for file in files)
    note_settled(platform, [_after(each, done) for each in seen])
    return PullReport(tuple(seen), final)


def pull_watched(
    platform: Platform, sources: Sequence[str] | None = None, *, is_dry_run: bool = False, progress: Progress = _silent
) -> list[PullReport]:
    """Pull what the sensor watches, of all sources that name an address, or of some of them."""
    known = [source for source, contract in sorted(platform.contracts.items()) if contract.pull is not None]
    wanted = [source for source in known if sources is None or source in sources]
    return [pull_days(platform, source, is_dry_run=is_dry_run, progress=progress) for source in wanted]


def _found(seen: SeenDay) -> Iterator[PulledFile]:
    """Yield what was found on a day, by name, as a dry run reports it."""
    outcomes = {"new": seen.new, "changed": seen.changed, "unchanged": seen.unchanged, "unsettled": seen.unsettled}
    found = [(file, outcome) for outcome, files in outcomes.items() for file in files]
    for file, outcome in sorted(found, key=lambda each: each[0].name):
        why = "it changed a moment ago; pull again when it stands still" if outcome == "unsettled" else None
        yield PulledFile(seen.source, seen.day, file.name, file.location, file.size_bytes, outcome, reason=why)


def _after(seen: SeenDay, done: Mapping[tuple[dt.date, str], PulledFile]) -> SeenDay:
    """Return a day without the files that are fetched by now."""
    left = [file for file in seen.due if not _is_taken_in(done[seen.day, file.location])]
    return replace(seen, new=tuple(left), changed=())


def _is_taken_in(file: PulledFile) -> bool:
    return file.outcome not in {"failed", "unreadable"}


def _fetch_and_land(
    platform: Platform,
    contract: SourceContract,
    place: RemotePlace,
    due: Sequence[tuple[dt.date, RemoteFile]],
    common: LandingTerms,
    *,
    patience: Patience,
    progress: Progress,
) -> Iterator[PulledFile]:
    """Land files one after the other, while the next ones are fetched."""
    if not due:
        return
    with (
        with_one_engine(common) as terms,
        platform.store.scratch() as folder,
        copy_room(folder, in_memory=contract.pii is not None) as room,
        _fetching(place, due, room, patience) as copies,
    ):
        for number, ((day, file), copy) in enumerate(zip(due, copies, strict=True), start=1):
            pulled = PulledFile(contract.source, day, file.name, file.location, file.size_bytes, "failed")
            try:
                fetched = copy.result()
            except RemoteFileError as error:
                pulled = replace(pulled, reason=reason_of(error))
                platform.ledger.note_failure(contract.source, file.location, reason_of(error), terms.landed_at)
            else:
                pulled = _land(platform, contract, terms, pulled, fetched)
                room.discard(fetched.copy)
            yield pulled
            progress("landing", number, len(due))


@dataclass(frozen=True)
class _Copy:
    """A file as it was fetched, and its passing copy."""

    file: RemoteFile
    copy: PassingCopy
    size_bytes: int


@contextmanager
def _fetching(
    place: RemotePlace, due: Sequence[tuple[dt.date, RemoteFile]], room: CopyRoom, patience: Patience
) -> Iterator[Iterator[Future[_Copy]]]:
    """Fetch files in the background, no more than a few ahead of who takes them; in the order of the files."""
    stopped = threading.Event()

    def fetch(number: int) -> _Copy:
        copy = room.make()
        try:
            file = fetch_whole(place, due[number][1], copy.path, patience, stopped.is_set, max_bytes=room.max_bytes)
            return _Copy(file, copy, copy.path.stat().st_size)
        except BaseException:
            room.discard(copy)
            raise

    def copies() -> Iterator[Future[_Copy]]:
        under_way: deque[Future[_Copy]] = deque()
        for number in range(len(due)):
            under_way.append(pool.submit(fetch, number))
            if len(under_way) > ahead:
                yield under_way.popleft()
        yield from under_way

    ahead = AHEAD if room.max_bytes is None else 0
    pool = ThreadPoolExecutor(FETCHERS, thread_name_prefix="fetch")
    try:
        yield copies()
    finally:
        stopped.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _land(
    platform: Platform, contract: SourceContract, terms: LandingTerms, found: PulledFile, copy: _Copy
) -> PulledFile:
    """Land a fetched copy, note it as fetched, and retract what the file held before where the contract says so."""
    file, at = copy.file, terms.landed_at
    versions = DayOfVersions(platform.store.objects, contract.source, found.day)
    values = path_values(file.location, contract.named_columns)
    if replaces(contract):
        # Killed after landing it, the next pull must know of this content, also when the file has changed once more.
        versions.note(file, content_id(copy.copy.path, contract, terms.masking_keys, values), at, is_done=False)
    landed = land_file(copy.copy.path, contract, terms, name=file.name, origin=file.location)
    pulled = replace(found, outcome=landed.outcome, landed=landed, reason=landed.reason, size_bytes=copy.size_bytes)
    if landed.record is None:
        if landed.outcome == "rejected":
            # Nothing of it was kept: only under another contract is it worth fetching again.
            versions.note(refused_version(platform, file, contract), None, at)
        return pulled
    retracted = retract_others(platform, contract, versions, file, landed.record)
    platform.ledger.forget_failures(contract.source, file.location)
    versions.note(file, landed.record.sha256, at)
    return replace(pulled, replaced=retracted)


def _make_good(platform: Platform, contract: SourceContract, seen: SeenDay) -> None:
    """Retract what a pull that was killed left to be retracted."""
    versions = DayOfVersions(platform.store.objects, contract.source, seen.day)
    several = [file for file in seen.unchanged if versions.has_several(file)]
    landed = contents_of(platform, contract.source) if several else {}
    for file in several:
        if (record := landed.get(versions.content(file) or "")) is not None:
            retract_others(platform, contract, versions, file, record)


def _now(platform: Platform) -> str:
    return platform.clock().astimezone(dt.UTC).isoformat()
