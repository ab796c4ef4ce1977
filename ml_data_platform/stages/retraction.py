"""Taking a landed file back without a replacement, and undoing that.

Belongs here: finding the file that a person means, what taking it back would touch, and which files are taken back. Does
not belong here: the decision itself (``stages.decisions``), and building the days that it makes dirty.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_data_platform.errors import DecisionError
from ml_data_platform.events.path_columns import path_values
from ml_data_platform.landing.landing import show_again
from ml_data_platform.stages.decisions import find_landed, retract
from ml_data_platform.stages.landed_files import kept_terms, restore_landed
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.state import landed_records
from ml_data_platform.storage.decisions import UNDECIDED, Standing, applied
from ml_data_platform.storage.ledger import LedgerRecord

SHOWN_FILES = 5


@dataclass(frozen=True)
class RetractedFile:
    """A landed file, and what was decided about it.

    Attributes:
        record: As landing wrote it.
        standing: What holds after all decisions.
    """

    record: LedgerRecord
    standing: Standing

    @property
    def why(self) -> str:
        """Why and when it was retracted."""
        replaced = f" in favour of {self.standing.replaced_by[:12]}" if self.standing.replaced_by else ""
        return f"retracted{replaced} at {self.standing.decided_at}: {self.standing.reason}"


def retracted_inputs(platform: Platform) -> dict[str, dict[str, str]]:
    """Return UTC day to the inputs of its ``raw_events`` that no longer count, each to the source and name of its file.

    Those are the files with rows of that day that were retracted, also in favour of another.
    """
    found: dict[str, dict[str, str]] = {}
    for each in retracted_files(platform):
        record = each.record
        for day in {*record.rows_per_day, *record.too_late}:
            key = f"landed_files/{record.source}/{record.sha256}"
            found.setdefault(day, {})[key] = f"{record.source}/{record.name}"
    return found


@dataclass(frozen=True)
class Turn:
    """What retracting or reinstating a file does, or would do.

    Attributes:
        file: The file, as it stands now; on a dry run as it stands before.
        is_new: False where it stood so already.
        counted: UTC day to the rows of it that count, or counted until now, on that day.
    """

    file: RetractedFile
    is_new: bool
    counted: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for scripts."""
        record, standing = self.file.record, self.file.standing
        return {
            "source": record.source,
            "file": record.name,
            "sha256": record.sha256,
            "rows": record.rows,
            "days": self.counted,
            "undated_rows": sum(record.undated.values()),
            "is_new": self.is_new,
            "is_retracted": standing.is_retracted,
            "reason": standing.reason,
            "decided_at": standing.decided_at,
            "replaced_by": standing.replaced_by,
        }


def retracted_files(platform: Platform) -> list[RetractedFile]:
    """Return the landed files whose rows count on no day, by source and name: all that ``current_records`` leaves out."""
    records = landed_records(platform)
    standings = {source: platform.ledger.decisions.standings(source) for source in {each.source for each in records}}
    found = [RetractedFile(each, standings[each.source].get(each.sha256, UNDECIDED)) for each in records]
    taken_back = (each for each in found if each.standing.is_retracted)
    return sorted(taken_back, key=lambda each: (each.record.source, each.record.name, each.record.sha256))


def retract_file(platform: Platform, source: str, given: str, reason: str, *, is_dry_run: bool = False) -> Turn:
    """Take a landed file back: its rows count on no day any more, its bytes and its record stay.

    Args:
        platform: The opened root.
        source: Source name.
        given: The file: see ``find_file``.
        reason: Why, kept with the decision; not empty.
        is_dry_run: Only say what would be done.

    Raises:
        DecisionError: No such file was landed, several are meant, or there is no reason.
    """
    _require_reason(reason)
    record = find_file(platform, source, given)

    def turn() -> bool:
        return retract(platform, source, record.sha256, reason=reason)

    return _turned(platform, record, turn, is_dry_run=is_dry_run, retracts=True)


def reinstate_file(platform: Platform, source: str, given: str, reason: str, *, is_dry_run: bool = False) -> Turn:
    """Let the rows of a file that was taken back count again.

    Args:
        platform: The opened root.
        source: Source name.
        given: The file: see ``find_file``.
        reason: Why, kept with the decision; not empty.
        is_dry_run: Only say what would be done.

    Raises:
        DecisionError: No such file was landed, several are meant, there is no reason, or another file counts in its place.
    """
    _require_reason(reason)
    record = find_file(platform, source, given)
    decisions = platform.ledger.decisions
    replaced_by = decisions.standing(source, record.sha256).replaced_by
    if replaced_by is not None and not decisions.standing(source, replaced_by).is_retracted:
        raise DecisionError(
            "Another file counts in its place: rows of both would count.",
            remedy="Retract that one first, or land this file again with --replaces and the hash of that one.",
            source=source,
            file=record.sha256[:12],
            replaced_by=replaced_by[:12],
        )

    def turn() -> bool:
        at = platform.clock().isoformat()
        is_new = decisions.reinstate(source, record.sha256, reason=reason, at=at)
        restore_landed(platform, [record])
        show_again(record, kept_terms(platform))
        return is_new

    return _turned(platform, record, turn, is_dry_run=is_dry_run, retracts=False)


def find_file(platform: Platform, source: str, given: str) -> LedgerRecord:
    """Return the landed file that a person means.

    Args:
        platform: The opened root.
        source: Source name.
        given: Its SHA-256, or the first 8 digits or more; the name that it was landed under; or a path to the same
            bytes. A file whose name alone fits is meant only where its bytes cannot be compared, since they are masked.

    Raises:
        DecisionError: None or several are so.
    """
    records = [record for record in landed_records(platform) if record.source == source]
    path = Path(given)
    if path.is_file():
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        same = [record for record in records if record.bytes_sha256 == sha256 and record.masking is None]
        if len(same) > 1:
            # The same bytes under paths of other values are other rows.
            same = [
                each for each in same if dict(each.path_values) == path_values(str(path.absolute()), each.path_values)
            ]
        if same:
            return same[0]
        records = [record for record in records if record.masking is not None]
    found = _of_name(platform, records, given)
    if len(found) > 1:
        raise DecisionError(
            "Several landed files have this name.",
            remedy="Name one by its SHA-256, or the first digits that are shown.",
            source=source,
            expected=_shown(found),
            got=given,
        )
    if found:
        return found[0]
    if path.is_file():
        raise DecisionError(
            "The bytes of this file were not landed.",
            remedy="Name the landed file by its SHA-256, or the first digits that are shown.",
            source=source,
            expected=_shown(_of_name(platform, landed_records(platform), given)) or "a file that was landed as it is",
            got=given,
        )
    return find_landed(platform, source, given)


def _of_name(platform: Platform, records: Sequence[LedgerRecord], given: str) -> list[LedgerRecord]:
    """Return the files of a name: of the whole one before its last part, of the first name before later ones."""
    last = Path(given).name
    for wanted, part in ((given, str), (last, lambda name: Path(name).name)):
        found = [record for record in records if part(record.name) == wanted]
        if found:
            return found
    return [record for record in records if last in platform.ledger.names(record.source, record.sha256)]


def _shown(records: Sequence[LedgerRecord]) -> str:
    more = f" and {len(records) - SHOWN_FILES} more" if len(records) > SHOWN_FILES else ""
    names = [f"{each.sha256[:12]} ({each.source}/{each.name}, {each.rows:,} rows)" for each in records[:SHOWN_FILES]]
    return ", ".join(names) + more


def _turned(
    platform: Platform, record: LedgerRecord, turn: Callable[[], bool], *, is_dry_run: bool, retracts: bool
) -> Turn:
    decisions = platform.ledger.decisions
    before = decisions.standing(record.source, record.sha256)
    counted = dict(applied(record, before).rows_per_day)
    is_new = before.is_retracted != retracts if is_dry_run else turn()
    after = before if is_dry_run else decisions.standing(record.source, record.sha256)
    return Turn(RetractedFile(record, after), is_new, counted)


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise DecisionError(
            "A file is retracted or reinstated for a reason.", remedy='Say why: --reason "sent by mistake".'
        )
