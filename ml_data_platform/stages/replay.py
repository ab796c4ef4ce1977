"""Replay: let in what was quarantined, once the contract, the rule or the mind has changed.

Belongs here: what a replay would do and why, and the part of it that changes what is landed. Does not belong here:
building the days (``defs.replay``): they are dirty by then, like any other.

A replay invents nothing. Rows that broke a rule get through where the contract, the rules or their tolerances are
others than when they were judged; rows without a day where their file is read under a changed contract; rows that came
too late because somebody says so, which the ledger keeps. Where nothing changed there is nothing to do.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ml_data_platform.events.half_built import half_built_days
from ml_data_platform.events.lateness import ONE_DAY
from ml_data_platform.events.parsing import IN_THE_FUTURE
from ml_data_platform.events.planning import Status, expected_days, plan
from ml_data_platform.landing.landing import LandedFile, reroute_outdated, show_again
from ml_data_platform.landing.rereading import is_no_longer_future, is_outdated
from ml_data_platform.landing.terms import with_one_engine
from ml_data_platform.stages.decisions import TooLate, admit, too_late
from ml_data_platform.stages.landed_files import kept_terms, landing_terms
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.quarantine import (
    DUPLICATE,
    FILE,
    RETRACTED,
    TOO_LATE,
    UNDATED,
    UNIQUE,
    Wanted,
    list_quarantine,
)
from ml_data_platform.stages.state import current_records, landed_records, read_state
from ml_data_platform.storage.ledger import LedgerRecord

Progress = Callable[[LandedFile], None]


@dataclass(frozen=True)
class ReplayPlan:
    """What a replay would do.

    Attributes:
        rows: Rows that are quarantined for the reason now; of files that are not landed, the files.
        outdated: Landed files that are to be read again, because their contract changed since.
        admissions: Rows that came too late and are to be admitted.
        dirty_days: Days with such rows that differ from what they should be built from, or will once these are
            admitted; and those that an interrupted replay left; sorted.
        unchanged_days: Days with such rows for which nothing changed since they were judged, sorted.
        undone: Files that an interrupted replay let in, and whose days are still to be built.
        asks_for_future: Whether it is about rows that lay in the future, see `is_no_longer_future`.
    """

    rows: int
    outdated: tuple[LedgerRecord, ...]
    admissions: tuple[TooLate, ...]
    dirty_days: tuple[dt.date, ...]
    unchanged_days: tuple[dt.date, ...]
    undone: tuple[LedgerRecord, ...] = ()
    asks_for_future: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.outdated and not self.admissions and not self.dirty_days


def count_rows(platform: Platform, wanted: Wanted) -> int:
    """Count the rows that are quarantined; a file that is not landed counts as one."""
    return sum(1 if group.kind == FILE else group.rows for group in list_quarantine(platform, wanted))


def prepare_replay(platform: Platform, wanted: Wanted) -> ReplayPlan:
    """Find out what a replay would do, what an interrupted one left to be done included; changes nothing."""
    groups = list_quarantine(platform, wanted)
    admissions: list[TooLate] = []
    if wanted.reason == TOO_LATE:
        of_source = [found for found in too_late(platform) if wanted.source in {"", found.source}]
        admissions = [found for found in of_source if wanted.takes_day(found.day)]
    held = {dt.date.fromisoformat(group.day) for group in groups if group.day}
    undone, unfinished = _undone(platform, wanted)
    admitted = (dt.date.fromisoformat(found.day) for found in admissions)
    dirty = {*dirty_among(platform, held), *unfinished, *admitted}
    return ReplayPlan(
        rows=sum(1 if group.kind == FILE else group.rows for group in groups),
        outdated=tuple(_outdated(platform, wanted, {group.source for group in groups})),
        admissions=tuple(admissions),
        dirty_days=tuple(sorted(dirty)),
        unchanged_days=tuple(sorted(held - dirty)),
        undone=tuple(undone),
        asks_for_future=_asks_for_future(wanted),
    )


def _undone(platform: Platform, wanted: Wanted) -> tuple[list[LedgerRecord], set[dt.date]]:
    """Return files whose rows were let in and not built since, and the days that are to be built from them.

    A decision, and a file that was read again, stand in the ledger before any day is built. What was half built is found
    by what was published since. So whoever was killed in between leaves nothing that the next replay does not find.
    """
    records = current_records(platform)
    state = read_state(platform, records)
    read_again = {
        (source, sha256)
        for source in {record.source for record in records}
        for sha256, readings in Counter(_contents(platform, source)).items()
        if readings > 1
    }
    contents: set[tuple[str, str]] = set()
    days: set[dt.date] = set()
    for day in expected_days(state):
        head, required = state.head("raw_events", day), state.landed.get(day, {})
        built = {key: value for key, value in head.inputs.items() if key.count("/") == 2} if head else {}
        for key in required.keys() | built.keys():
            kind, source, sha256 = key.split("/")
            is_let_in = kind == "admitted" or (source, sha256) in read_again
            if is_let_in and required.get(key) != built.get(key) and wanted.source in {"", source}:
                contents.add((source, sha256))
                days.add(day)
    half_built = half_built_days(state, plan(state, expected_days(state)))
    days = {day for day in days | half_built if wanted.is_all_days or _is_beside(wanted, day)}
    undone = [record for record in records if (record.source, record.sha256) in contents]
    return undone, set(dirty_among(platform, days)) if days else set()


def _contents(platform: Platform, source: str) -> list[str]:
    """Return the content of each reading of a source's files."""
    return [key.rpartition("/")[2].partition(".")[0] for key in platform.ledger.record_keys(source)]


def _is_beside(wanted: Wanted, day: dt.date) -> bool:
    return any(wanted.takes_day((day + offset * ONE_DAY).isoformat()) for offset in (-1, 0, 1))


def _outdated(platform: Platform, wanted: Wanted, sources: Iterable[str]) -> list[LedgerRecord]:
    if wanted.reason in {TOO_LATE, DUPLICATE, UNIQUE, RETRACTED}:
        return []
    start_date, terms = platform.settings.start_date, kept_terms(platform)
    chosen = {source for source in sources if source in platform.contracts}
    return [
        record
        for record in landed_records(platform)
        if record.source in chosen
        and (
            is_outdated(record, platform.contracts[record.source], start_date)
            or is_no_longer_future(record, terms, is_asked_for=_asks_for_future(wanted))
        )
    ]


def _asks_for_future(wanted: Wanted) -> bool:
    return wanted.reason in {"", IN_THE_FUTURE, UNDATED}


def dirty_among(platform: Platform, days: Iterable[dt.date]) -> list[dt.date]:
    """Return those of ``days`` of which anything differs from what it should be built from, sorted."""
    decisions = plan(read_state(platform), days)
    return sorted({each.day for each in decisions if each.status in {Status.DIRTY, Status.WAITING}})


@dataclass(frozen=True)
class Applied:
    """What a replay changed about what is landed.

    Attributes:
        files_read_again: Files that were read again under their present contract.
        rows_admitted: Rows that are no longer too late.
        days: Days that these touched or that hold rows of the reason, and that are dirty now; sorted.
    """

    files_read_again: int
    rows_admitted: int
    days: tuple[dt.date, ...]


def apply_replay(platform: Platform, found: ReplayPlan, why: str, progress: Progress = lambda _: None) -> Applied:
    """Read again and admit what the plan says; killed in between, doing it again ends it.

    Args:
        platform: The opened root.
        found: What `prepare_replay` found.
        why: Kept with each admission.
        progress: Called after each file that was read again.
    """
    touched = {*found.dirty_days, *found.unchanged_days}
    for record in found.undone:
        show_again(record, kept_terms(platform))
    landed: list[LandedFile] = []
    if found.outdated:
        sources = {record.source for record in found.outdated}
        contracts = {source: platform.contracts[source] for source in sorted(sources)}
        with with_one_engine(landing_terms(platform)) as terms:
            landed = reroute_outdated(contracts, terms, progress=progress, is_asked_for=found.asks_for_future)
        records = [*found.outdated, *(result.record for result in landed if result.record is not None)]
        touched |= {dt.date.fromisoformat(day) for record in records for day in record.rows_per_day}
    admitted = sum(admit(platform, each.source, each.sha256, [each.day], why) for each in found.admissions)
    touched |= {dt.date.fromisoformat(each.day) for each in found.admissions}
    return Applied(len(landed), admitted, tuple(dirty_among(platform, touched)))
