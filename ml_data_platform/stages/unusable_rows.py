"""Landed files with too many rows that reach no day, as they stand now.

Belongs here: judging the ledger's current records by the contracts of now, and examples of the rows. Does not belong here:
the verdict (``events.usable_rows``), printing (``cli``) and the asset check (``defs.unusable_rows``).

Files that were retracted or replaced do not count, and of several records of a file only the present contract's does.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ml_data_platform.events.contract_parts import UnusableRows
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.usable_rows import FileVerdict, Level, judge_counts, share_of, split_reasons
from ml_data_platform.landing.landing import LandedFile
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.quarantine import Wanted, open_engine
from ml_data_platform.stages.quarantined_rows import Row, Search
from ml_data_platform.stages.state import current_records
from ml_data_platform.storage.layout import UNDATED_ROWS, Layout
from ml_data_platform.storage.ledger import LedgerRecord

CHECK = "landed_rows_are_usable"
"""Name of the check of ``landed_files`` that tells the same."""

TOLERATED = UnusableRows()
"""What holds where a source has no contract any more."""

EXAMPLES_PER_FILE = 3


@dataclass(frozen=True)
class SourceShare:
    """The rows of all files of a source that reach no day and should.

    Attributes:
        source: Source name.
        rows: Rows that are judged.
        unusable_rows: Those that reach no day.
        red_files: Files that are red.
        warned_files: Files that are only warned of.
    """

    source: str
    rows: int
    unusable_rows: int
    red_files: int
    warned_files: int

    @property
    def share(self) -> float:
        """Share of the unusable rows."""
        return share_of(self.rows, self.unusable_rows)

    def to_json(self) -> dict[str, object]:
        """Return plain values for scripts."""
        return {
            "rows": self.rows,
            "unusable_rows": self.unusable_rows,
            "unusable_share": self.share,
            "red_files": self.red_files,
            "warned_files": self.warned_files,
        }


@dataclass(frozen=True)
class LandedVerdicts:
    """The verdicts on all files that count.

    Attributes:
        files: By source and hash.
    """

    files: tuple[FileVerdict, ...]

    @property
    def red(self) -> tuple[FileVerdict, ...]:
        """The files that are red, the largest loss first."""
        return _worst_first(self.files, Level.RED)

    @property
    def warned(self) -> tuple[FileVerdict, ...]:
        """The files that are only warned of, the largest loss first."""
        return _worst_first(self.files, Level.WARN)

    @property
    def level(self) -> Level:
        """The worst verdict of all."""
        return Level.RED if self.red else Level.WARN if self.warned else Level.OK

    @property
    def sources(self) -> tuple[SourceShare, ...]:
        """The shares of the sources, by name."""
        found = []
        for source in sorted({each.source for each in self.files}):
            files = [each for each in self.files if each.source == source]
            rows = sum(each.rows - sum(each.expected.values()) for each in files)
            levels = [each.level for each in files]
            unusable = sum(each.unusable_rows for each in files)
            found.append(SourceShare(source, rows, unusable, levels.count(Level.RED), levels.count(Level.WARN)))
        return tuple(found)

    def among(self, results: Iterable[LandedFile]) -> LandedVerdicts:
        """Return the verdicts on files that landing dealt with, whether or not they were known before."""
        wanted = {(each.source, each.record.sha256) for each in results if each.record is not None}
        return LandedVerdicts(tuple(each for each in self.files if (each.source, each.sha256) in wanted))

    def rejected_before(self, results: Iterable[LandedFile]) -> list[str]:
        """Return a line for each file that landing knew already, as one of which nothing is published."""
        known = [each for each in results if each.outcome == "known"]
        return [str(each) for each in self.among(known).red if each.refusal is not None]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for scripts; ``failed`` and ``warned`` as for the checks of days."""
        named = f"landed_files: {CHECK}"
        return {
            "failed": [named] if self.red else [],
            "warned": [named] if self.warned and not self.red else [],
            "sources": {each.source: each.to_json() for each in self.sources},
            "files": [each.to_json() for each in (*self.red, *self.warned)],
        }


def judge_landed(platform: Platform, records: Sequence[LedgerRecord] | None = None) -> LandedVerdicts:
    """Judge every landed file that counts.

    Args:
        platform: The opened root.
        records: Current ledger records, where they were read already.
    """
    records = current_records(platform) if records is None else records
    return LandedVerdicts(tuple(judge_record(record, platform.contracts.get(record.source)) for record in records))


def judge_record(record: LedgerRecord, contract: SourceContract | None) -> FileVerdict:
    """Judge one file. A rejected one is red: none of its rows is published.

    Args:
        record: Its current record.
        contract: The contract of its source; none where there is none any more.
    """
    tolerated = contract.unusable_rows if contract is not None else TOLERATED
    unusable, expected = split_reasons(record.undated, tolerated)
    is_rejected = record.status == "rejected"
    return FileVerdict(
        source=record.source,
        sha256=record.sha256,
        name=record.name,
        level=Level.RED if is_rejected else judge_counts(record.rows, record.undated, tolerated),
        rows=record.rows,
        unusable=unusable,
        expected=expected,
        refusal=record.reason if is_rejected else None,
        days=_days(record),
    )


def examples_of(platform: Platform, verdicts: Iterable[FileVerdict]) -> list[Row]:
    """Read the first unusable rows of each file, as they are kept: where a source's personal data is masked, masked.

    A file whose unusable rows are not at hand, as in a root that was built again from kept bytes, has no examples.
    """
    objects = platform.store.objects
    records = {
        (record.source, record.sha256): record
        for record in current_records(platform)
        if record.undated_fragment and objects.whole_path(Layout.object_key(UNDATED_ROWS, record.undated_fragment))
    }
    rows: list[Row] = []
    with platform.store.scratch() as scratch, open_engine(platform, scratch) as engine:
        for each in verdicts:
            record = records.get((each.source, each.sha256))
            if record is None:
                continue
            for reason in each.unusable:
                search = Search(platform, engine, (record,), Wanted(reason, each.source))
                rows += search.undated_rows(EXAMPLES_PER_FILE)
    return rows


def _days(record: LedgerRecord) -> frozenset[str]:
    if record.status == "rejected" and record.min_event_time and record.max_event_time:
        first, last = (dt.datetime.fromisoformat(at).date() for at in (record.min_event_time, record.max_event_time))
        return frozenset((first + dt.timedelta(offset)).isoformat() for offset in range((last - first).days + 1))
    return frozenset({*record.rows_per_day, *record.too_late})


def _worst_first(files: Iterable[FileVerdict], level: Level) -> tuple[FileVerdict, ...]:
    found = [each for each in files if each.level is level]
    return tuple(sorted(found, key=lambda each: (-each.unusable_rows, each.source, each.name, each.sha256)))
