"""What lies at the addresses that a contract names, and which of it was not fetched yet.

Belongs here: looking at days, comparing with what was fetched, and the days that the sensor looks at. Does not belong
here: fetching and landing (``pulling``).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from ml_data_platform.errors import ContractError, RemoteFileError
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.pull_pattern import PullPattern, parse_pattern
from ml_data_platform.stages.platform import Platform
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.opening import connection_of
from ml_data_platform.storage.pulled_versions import DayOfVersions
from ml_data_platform.storage.remote_files import Patience, RemoteFile, RemotePlace, persist
from ml_data_platform.storage.remote_places import Reach, open_place

LOOKERS = 8
CAUGHT_UP_DAYS = 7
ONE_DAY = dt.timedelta(days=1)
GLANCE = Patience(attempts=1)
"""A sensor that waits is a sensor that is cut off: what fails is looked at again at the next tick."""


@dataclass(frozen=True)
class SeenDay:
    """What lies at the address of one day.

    Attributes:
        source: Whose files.
        day: UTC day of the address; the events in the files may be of others.
        address: The address, without credentials; for a pattern with hours that of the first.
        new: Files that were never fetched.
        changed: Files that were fetched in another version.
        unchanged: Files that were fetched as they are.
        unsettled: Local files that changed too short a time ago.
        failure: Why the place could not be looked at; None where it could.
    """

    source: str
    day: dt.date
    address: str
    new: tuple[RemoteFile, ...] = ()
    changed: tuple[RemoteFile, ...] = ()
    unchanged: tuple[RemoteFile, ...] = ()
    unsettled: tuple[RemoteFile, ...] = ()
    failure: str | None = None

    @property
    def due(self) -> tuple[RemoteFile, ...]:
        """What is to be fetched, by name."""
        return tuple(sorted((*self.new, *self.changed), key=lambda file: file.name))

    @property
    def is_settled(self) -> bool:
        """Whether all that lies there was fetched."""
        return not (self.due or self.unsettled or self.failure)

    @property
    def is_empty(self) -> bool:
        """Whether nothing lies there, or not yet."""
        return self.is_settled and not self.unchanged


@dataclass(frozen=True)
class Glance:
    """What the sensor sees of all sources with addresses.

    Attributes:
        days: What lies at the addresses of the days that it looked at.
    """

    days: tuple[SeenDay, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """Sources with something to fetch, in order."""
        return tuple(sorted({seen.source for seen in self.days if seen.due}))

    @property
    def fingerprint(self) -> str:
        """Changes when what is to be fetched does; empty where that is nothing."""
        due = [[file.location, file.version] for seen in self.days for file in seen.due]
        return hashlib.sha256(json.dumps(sorted(due)).encode()).hexdigest()[:32] if due else ""


def pattern_of(contract: SourceContract) -> PullPattern:
    """Return where the files of a source lie.

    Raises:
        ContractError: Its contract does not say so.
    """
    if contract.pull is None:
        raise ContractError(
            "the contract of this source names no address to pull from",
            remedy="Add `pull: {url: …/dt={date}/…}` to it, or land files by their paths.",
            got=contract.source,
        )
    return parse_pattern(contract.pull.url)


def place_of(platform: Platform, contract: SourceContract, *, is_hurried: bool = False) -> RemotePlace:
    """Return the place where the files of a source lie."""
    settings, pattern = platform.settings, pattern_of(contract)
    connection = (platform.connection or connection_of(settings)) if pattern.scheme == "s3" else None
    reach = Reach(settings.local_folder, connection)
    if is_hurried:
        reach = replace(reach, connect_timeout_seconds=3.0, read_timeout_seconds=8.0)
    return open_place(pattern, reach)


def look_at(
    platform: Platform,
    contract: SourceContract,
    days: Sequence[dt.date],
    *,
    patience: Patience,
    place: RemotePlace,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[SeenDay]:
    """Look at the addresses of days, several at once; one that cannot be looked at holds up no other.

    Returns:
        One entry per day, in the order of the days.
    """
    pattern = pattern_of(contract)

    def look(day: dt.date) -> SeenDay:
        return _look_at_day(platform, contract, pattern, day, patience=patience, place=place)

    seen: list[SeenDay] = []
    with ThreadPoolExecutor(LOOKERS, thread_name_prefix="look") as pool:
        try:
            for found in pool.map(look, days):
                seen.append(found)
                progress(len(seen), len(days))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return seen


def glance(platform: Platform, sources: Iterable[str] | None = None) -> Glance:
    """Look at the days of all sources, or of some, that the sensor watches; each is asked once, with short waits."""
    seen: list[SeenDay] = []
    for source in sorted(set(platform.contracts) if sources is None else sources):
        contract = platform.contracts[source]
        if contract.pull is not None:
            place = place_of(platform, contract, is_hurried=True)
            days = watched_days(platform, contract)
            seen += look_at(platform, contract, days, patience=GLANCE, place=place)
    note_settled(platform, seen)
    return Glance(tuple(seen))


def watched_days(platform: Platform, contract: SourceContract) -> list[dt.date]:
    """Return the days that the sensor looks at: the last few, and older ones that it has not settled.

    A day is settled once all that lay there on the last day of the window, or later, was fetched. So days that passed
    while nothing ran, or while the place did not answer, are caught up with: the oldest of them first, a few at a time.
    """
    today = platform.clock().astimezone(dt.UTC).date()
    span = contract.pull.poll_days if contract.pull else 0
    recent = [day for day in _last(today, span) if day >= platform.settings.start_date]
    marked = {name for name in platform.store.objects.names(Layout.polled_folder(contract.source)) if len(name) == 10}
    if not marked or not recent:
        return recent
    first = dt.date.fromisoformat(min(marked))
    between = (first + ONE_DAY * offset for offset in range((recent[0] - first).days))
    open_days = [day for day in between if day.isoformat() not in marked]
    return open_days[:CAUGHT_UP_DAYS] + recent


def note_settled(platform: Platform, seen: Iterable[SeenDay]) -> None:
    """Mark days whose files are all fetched and that leave the window, so that the sensor looks at them no more."""
    today = platform.clock().astimezone(dt.UTC).date()
    for each in seen:
        pull = platform.contracts[each.source].pull
        if pull is not None and each.is_settled and each.day <= today - ONE_DAY * (pull.poll_days - 1):
            platform.store.objects.put_if_absent(Layout.polled_key(each.source, each.day), b"")


def _last(today: dt.date, span: int) -> Iterator[dt.date]:
    return (today - ONE_DAY * back for back in reversed(range(span)))


def _look_at_day(
    platform: Platform,
    contract: SourceContract,
    pattern: PullPattern,
    day: dt.date,
    *,
    patience: Patience,
    place: RemotePlace,
) -> SeenDay:
    paths = pattern.paths(day)
    address = pattern.address("/".join(paths[0]))
    # A relative path alone would not say where that is.
    address = os.path.normpath(platform.settings.local_folder / address) if pattern.scheme == "local" else address
    seen = SeenDay(contract.source, day, address)
    try:
        files = [file for path in paths for file in persist(lambda: place.find(path), patience)]  # noqa: B023 - at once
    except RemoteFileError as error:
        return replace(seen, failure=reason_of(error))
    versions = DayOfVersions(platform.store.objects, contract.source, day)
    groups: dict[str, list[RemoteFile]] = {"new": [], "changed": [], "unchanged": [], "unsettled": []}
    for file in files:
        if versions.is_current(file) or versions.is_current(refused_version(platform, file, contract)):
            groups["unchanged"].append(file)
        elif not _is_still(platform, file):
            groups["unsettled"].append(file)
        else:
            groups["changed" if versions.is_known(file) else "new"].append(file)
    new, changed, unchanged, unsettled = (tuple(found) for found in groups.values())
    return replace(seen, new=new, changed=changed, unchanged=unchanged, unsettled=unsettled)


def refused_version(platform: Platform, file: RemoteFile, contract: SourceContract) -> RemoteFile:
    """Return a file as it is noted where its contract refused it and nothing of it was kept."""
    return replace(file, version=f"{file.version};refused:{platform.routing_hashes[contract.source]}")


def _is_still(platform: Platform, file: RemoteFile) -> bool:
    if file.changed_ns is None:
        return True
    age = platform.clock().timestamp() - file.changed_ns / 1e9
    return age >= platform.settings.settle_seconds or age < 0


def reason_of(error: RemoteFileError) -> str:
    """Return in one line why something could not be fetched; the same failure has the same text."""
    attempts = error.facts.get("attempts", 1)
    return f"{error.what} (tried {attempts} times)" if attempts > 1 else error.what
