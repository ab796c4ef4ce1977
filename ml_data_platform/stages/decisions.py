"""What people decide about landed files: rows that came too late are admitted, a file is retracted, for another or not.

Belongs here: checking that a decision means something, taking it, and what it shows at once. Does not belong here: its
record (``storage.decisions``), or building the days that it touches: they are dirty from then on, like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ml_data_platform.errors import DecisionError
from ml_data_platform.landing.landing import show_undated
from ml_data_platform.landing.too_late import show_too_late
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.state import current_records, landed_records
from ml_data_platform.storage.decisions import UNDECIDED, applied
from ml_data_platform.storage.ledger import LedgerRecord

MIN_PREFIX = 8
SHOWN_FILES = 5


@dataclass(frozen=True, order=True)
class TooLate:
    """Rows of one landed file that came too late for a day, and were not admitted since.

    Attributes:
        source: Source name.
        day: UTC day, ``YYYY-MM-DD``.
        sha256: Hash of the landed bytes, hex.
        name: File name it was landed under first.
        rows: Their number.
        arrived_at: When the file arrived, ISO-8601 with an offset.
        watermark: The source's watermark then, ISO-8601 with an offset.
    """

    source: str
    day: str
    sha256: str
    name: str
    rows: int
    arrived_at: str
    watermark: str


@dataclass(frozen=True)
class Replacement:
    """What replacing a file did.

    Attributes:
        sha256: The content that gave up its place, hex: the one that was named, or what had replaced it meanwhile.
        is_new: False where the replacement stood there already.
        days: UTC days on which its rows counted until now, sorted.
        record: The replacement, as it counts now.
    """

    sha256: str
    is_new: bool
    days: tuple[str, ...]
    record: LedgerRecord


def too_late(platform: Platform) -> list[TooLate]:
    """Return what came too late and was not admitted, by source, day and file."""
    return sorted(
        TooLate(
            source=record.source,
            day=day,
            sha256=record.sha256,
            name=record.name,
            rows=rows,
            arrived_at=record.admission.arrived_at,
            watermark=str(record.admission.watermark),
        )
        for record in current_records(platform)
        for day, rows in record.too_late.items()
        if record.admission is not None
    )


def admit(platform: Platform, source: str, sha256: str, days: Collection[str], reason: str) -> int:
    """Admit rows that came too late: from now on they belong to their days, which are thereby dirty.

    Args:
        platform: The opened root.
        source: Source name.
        sha256: The landed content, hex, or the beginning of it that is its alone.
        days: UTC days, ``YYYY-MM-DD``. Of other days than the file has too-late rows on nothing is decided.
        reason: Why, kept with the decision.

    Returns:
        The number of rows that were admitted now; 0 where that was decided before.

    Raises:
        DecisionError: No such content was landed.
        PartitionKeyError: A day is none.
    """
    record = find_landed(platform, source, sha256)
    wanted = [day for day in days if day in record.too_late]
    at = platform.clock().isoformat()
    new = platform.ledger.decisions.admit(source, record.sha256, wanted, reason=reason, at=at)
    # Also where nothing is new: whoever decided may have been killed before.
    _show(platform, record)
    return sum(record.too_late[day] for day in new)


def retract(platform: Platform, source: str, sha256: str, *, reason: str, replaced_by: str | None = None) -> bool:
    """Retract a landed content: its rows count on no day any more, and the days they were on are dirty.

    The bytes stay, so that it can be reinstated. The same bytes landed again stay retracted.

    Args:
        platform: The opened root.
        source: Source name.
        sha256: The content, hex, or the beginning of it that is its alone.
        reason: Why, kept with the decision.
        replaced_by: The content in whose favour.

    Returns:
        False where it was retracted before.

    Raises:
        DecisionError: No such content was landed.
    """
    record = find_landed(platform, source, sha256)
    at = platform.clock().isoformat()
    is_new = platform.ledger.decisions.retract(source, record.sha256, replaced_by=replaced_by, reason=reason, at=at)
    _show(platform, record)
    return is_new


def replace_landed(platform: Platform, source: str, sha256: str, replacement: LedgerRecord) -> Replacement:
    """Let a landed file take the place of another one.

    The new file counts before the old one no longer does: killed in between, both count, none is missing, and doing it
    again ends it. It is admitted on the days on which the old one was, however late it comes. Where the old one was
    replaced before, the file that stands in its place now is: of all that ever replaced a file, one counts.

    Args:
        platform: The opened root.
        source: Source name.
        sha256: The content to be retracted, hex, or the beginning of it that is its alone.
        replacement: The record of the file in whose favour.

    Raises:
        DecisionError: No such content was landed, it is the replacement itself, or that holds no rows of any day.
    """
    named = find_landed(platform, source, sha256)
    check_replacement(named, replacement)
    decisions, at = platform.ledger.decisions, platform.clock().isoformat()
    old = _in_place_of(platform, named)
    if old.sha256 == replacement.sha256:
        _show(platform, replacement)
        return Replacement(named.sha256, False, (), applied(replacement, decisions.standing(source, old.sha256)))
    reason = f"replaces {old.sha256}"
    standing = decisions.standing(source, old.sha256)
    counted = {} if standing.is_retracted else {**old.rows_per_day, **dict.fromkeys(standing.admitted, 0)}
    # A replacement that an interrupted command landed is known, and may itself have been retracted once.
    decisions.reinstate(source, replacement.sha256, reason=reason, at=at)
    was_open = [
        day
        for day in replacement.too_late
        if day in standing.admitted or not (old.admission and old.admission.is_too_late(day))
    ]
    admit(platform, source, replacement.sha256, was_open, reason)
    is_new = retract(platform, source, old.sha256, reason="replaced", replaced_by=replacement.sha256)
    now = applied(replacement, decisions.standing(source, replacement.sha256))
    return Replacement(old.sha256, is_new, tuple(sorted(counted)), now)


def _in_place_of(platform: Platform, named: LedgerRecord) -> LedgerRecord:
    """Return what counts in the place of a landed content: itself, or the last one that replaced it."""
    standings = platform.ledger.decisions.standings(named.source)
    passed, sha256 = {named.sha256}, named.sha256
    while (following := standings.get(sha256, UNDECIDED).replaced_by) is not None and following not in passed:
        passed.add(following)
        sha256 = following
    return named if sha256 == named.sha256 else find_landed(platform, named.source, sha256)


def retracted_among(platform: Platform, records: Iterable[LedgerRecord]) -> list[str]:
    """Return a line about each record of a content that was retracted: landing it again does not bring it back."""
    landed = list(records)
    standings = {source: platform.ledger.decisions.standings(source) for source in {each.source for each in landed}}
    standing = [(record, standings[record.source].get(record.sha256, UNDECIDED)) for record in landed]
    return [
        f"{record.name} was retracted"
        + (
            f" in favour of {found.replaced_by[:12]}, which --replaces can turn round"
            if found.replaced_by
            else f" at {found.decided_at} ({found.reason}); `ml-data-platform reinstate {record.sha256[:12]} --source"
            f" {record.source} --reason …` brings it back"
        )
        for record, found in standing
        if found.is_retracted
    ]


def check_replacement(old: LedgerRecord, replacement: LedgerRecord) -> None:
    """Refuse a replacement that cannot stand for the old file; raises DecisionError."""
    if old.sha256 == replacement.sha256:
        raise DecisionError(
            "A file cannot replace itself: the bytes are the same.",
            remedy="Name the corrected file, and the SHA-256 of the one that it corrects.",
            source=old.source,
            file=old.sha256,
        )
    if replacement.fragment is None:
        raise DecisionError(
            "The replacement has no rows with a usable day, so the old file stays as it is.",
            remedy="Look at why with `ml-data-platform quarantine list`, correct it and land it again.",
            source=old.source,
            file=replacement.name,
            expected="rows of some day",
            got=replacement.reason or f"{replacement.status}, {replacement.rows:,} rows",
        )


def find_landed(platform: Platform, source: str, sha256: str) -> LedgerRecord:
    """Return the record of a landed content, as landing wrote it, also of one that was retracted.

    Args:
        platform: The opened root.
        source: Source name.
        sha256: The content, hex, or at least its first 8 digits where no other content begins so.

    Raises:
        DecisionError: None or several are so.
    """
    of_source = [record for record in landed_records(platform) if record.source == source]
    wanted = sha256.lower()
    found = [record for record in of_source if len(wanted) >= MIN_PREFIX and record.sha256.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    latest = sorted(of_source, key=lambda record: record.ingested_at, reverse=True)[:SHOWN_FILES]
    shown = ", ".join(f"{record.sha256[:12]} ({record.name})" for record in found[:SHOWN_FILES] or latest)
    raise DecisionError(
        "Several landed files begin so." if found else "No such file was landed.",
        remedy=f"Name one by its SHA-256, or its first {MIN_PREFIX} digits or more.",
        source=source,
        expected=shown or "a landed file; there is none of this source",
        got=sha256,
    )


def _show(platform: Platform, record: LedgerRecord) -> None:
    standing = platform.ledger.decisions.standing(record.source, record.sha256)
    show_undated(record, platform.store.objects, standing)
    show_too_late(
        record,
        platform.store,
        standing=standing,
        memory_limit=platform.engine.memory_limit,
        threads=platform.engine.threads,
    )
