"""The quarantine: rows and files that are kept and not published, whatever the reason, found in one way.

Belongs here: counting them by reason, source and day. Does not belong here: reading them (``stages.quarantined_rows``),
why a row is quarantined (``validation``, ``landing``), letting it in after all (``stages.replay``), or printing (``cli``).

Kept apart are: per day, rows that broke rules and rows that repeat an event; per file, rows without a usable day and
rows that came too late for theirs; files that could not be landed, and files that were retracted. Of sources whose personal data is masked, the
values are masked in storage already.
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from ml_data_platform.errors import SettingsError
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.parsing import IN_THE_FUTURE, UNDATED_REASONS
from ml_data_platform.events.schemas import QUARANTINED_EVENTS
from ml_data_platform.stages.decisions import too_late
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.retraction import retracted_files
from ml_data_platform.stages.state import current_records
from ml_data_platform.storage import duck
from ml_data_platform.storage.commit_log import LogRecord
from ml_data_platform.storage.layout import Layout, parse_day
from ml_data_platform.storage.ledger import LedgerRecord
from ml_data_platform.validation.suites import rules_for

REJECTED, DUPLICATE, UNDATED, TOO_LATE, FILE = "rejected", "duplicate", "undated", "too_late", "file"
RETRACTED = "retracted"
KINDS = (REJECTED, DUPLICATE, UNDATED, TOO_LATE, FILE, RETRACTED)
UNIQUE = "event_ids_are_unique"
FILE_REFUSED, FILE_UNREADABLE = "file_refused", "file_unreadable"


@dataclass(frozen=True)
class Wanted:
    """Which part of the quarantine.

    Attributes:
        reason: Rule name, reason of an undated row, ``too_late``, ``file_refused``, ``file_unreadable``, or a kind; all
            where empty.
        source: Source name; all where empty.
        first: First UTC day; none for an open beginning. Rows without a day are left out where a range is given.
        last: Last UTC day; none for an open end.
    """

    reason: str = ""
    source: str = ""
    first: dt.date | None = None
    last: dt.date | None = None

    @property
    def is_all_days(self) -> bool:
        """Whether no range is given."""
        return self.first is None and self.last is None

    def takes_day(self, day: str | None) -> bool:
        """Tell whether a day, ``YYYY-MM-DD``, is in the range; rows without one are only where there is no range."""
        if day is None:
            return self.is_all_days
        of = parse_day(day)
        return (self.first or of) <= of <= (self.last or of)

    def takes(self, kind: str, reason: str, source: str) -> bool:
        """Tell whether a reason of a kind and a source are wanted."""
        return self.reason in {"", kind, reason} and self.source in {"", source}


@dataclass(frozen=True, order=True)
class Group:
    """Rows that are quarantined for one reason.

    Attributes:
        reason: Rule name, or why they have no day, or ``too_late``, or why a file is not landed, or ``retracted``.
        source: Source name.
        day: UTC day, ``YYYY-MM-DD``; empty for rows without one and for files.
        file: For groups of one landed file: the name that it was landed under first; else empty.
        kind: ``rejected``, ``duplicate``, ``undated``, ``too_late``, ``file`` or ``retracted``.
        rows: Rows; a row that broke several rules is in the group of each. Of a file that is not landed: 0.
        where: Where plain readers find them, relative to the root; empty for files without bytes.
        detail: For files, what was wrong; for days, whether the day was refused.
    """

    reason: str
    source: str
    day: str
    file: str
    kind: str
    rows: int
    where: str
    detail: str = ""

    def to_json(self) -> dict[str, object]:
        """Return plain values for scripts."""
        return asdict(self) | {"day": self.day or None, "file": self.file or None}


def list_quarantine(platform: Platform, wanted: Wanted) -> list[Group]:
    """Count what is quarantined, by reason, source, day and file."""
    records = current_records(platform)
    groups = [*_groups_of_days(platform, wanted), *_groups_of_files(platform, records, wanted)]
    for found in too_late(platform):
        if wanted.takes_day(found.day) and wanted.takes(TOO_LATE, TOO_LATE, found.source):
            where = Layout.too_late_view_key(found.source, found.sha256)
            came = f"came {found.arrived_at}, watermark {found.watermark}"
            groups.append(Group(TOO_LATE, found.source, found.day, found.name, TOO_LATE, found.rows, where, came))
    groups += _groups_of_retracted(platform, wanted)
    return sorted(groups)


def known_reasons(contracts: Mapping[str, SourceContract]) -> tuple[str, ...]:
    """Return what ``Wanted.reason`` may say, kinds first; rules of contracts come last of the rules."""
    rules = [rule.name for rule in rules_for("validated_events") if rule.scope == "row"]
    rules += sorted(name for contract in contracts.values() for name in contract.expect)
    named = (*KINDS, FILE_REFUSED, FILE_UNREADABLE, *rules, UNIQUE, *UNDATED_REASONS)
    return tuple(dict.fromkeys(named))


def require_reason(reason: str, contracts: Mapping[str, SourceContract]) -> None:
    """Refuse a reason that nothing is quarantined for.

    Raises:
        SettingsError: There is no such reason; the nearest one is named.
    """
    known = known_reasons(contracts)
    if reason and reason not in known:
        close = difflib.get_close_matches(reason, known, n=1)
        raise SettingsError(
            "nothing is quarantined for such a reason",
            remedy=f"Did you mean {close[0]}?"
            if close
            else "`ml-data-platform quarantine list` names those there are.",
            expected=", ".join((*KINDS, "the name of a rule")),
            got=reason,
        )


def open_engine(platform: Platform, scratch: Path) -> duckdb.DuckDBPyConnection:
    """Open an engine within the bounds of the root."""
    return duck.connect(scratch, **platform.engine.options(platform.store))


def files_of_days(platform: Platform, wanted: Wanted) -> list[tuple[LogRecord, str, str]]:
    """Return the files of quarantined days that have rows: head, kind and object path; by day."""
    heads = platform.store.heads(QUARANTINED_EVENTS.name)
    found = []
    for day in sorted(day for day in heads if wanted.takes_day(day)):
        ref = platform.store.ref(QUARANTINED_EVENTS.name, [day])
        for entry in heads[day].files:
            if entry.rows:
                kind = REJECTED if entry.name.startswith("disposition=rejected") else DUPLICATE
                found += [(heads[day], kind, path) for path in ref.paths(day, entry.name)]
    return found


def _groups_of_days(platform: Platform, wanted: Wanted) -> Iterator[Group]:
    files = {path: (head, kind) for head, kind, path in files_of_days(platform, wanted)}
    if not files:
        return
    with platform.store.scratch() as scratch, open_engine(platform, scratch) as engine:
        counts = engine.execute(
            f"""SELECT filename, source, reason, count(*) FROM (
                SELECT filename, source, unnest(rules) AS reason FROM {duck.parquet(engine, files, has_file_names=True)})
            GROUP BY ALL"""
        ).fetchall()
    for path, source, reason, rows in counts:
        head, kind = files[path]
        if wanted.takes(kind, reason, source):
            detail = "the day was refused" if head.verdict and not head.verdict["is_published"] else ""
            yield Group(reason, source, head.day, "", kind, rows, place_of(head.day, kind), detail)


def _groups_of_files(platform: Platform, records: Sequence[LedgerRecord], wanted: Wanted) -> Iterator[Group]:
    if not wanted.takes_day(None):
        return
    for record in records:
        where = Layout.undated_view_key(record.source, record.sha256)
        for reason, rows in record.undated.items():
            if rows and wanted.takes(UNDATED, reason, record.source):
                yield Group(reason, record.source, "", record.name, UNDATED, rows, where, _when(reason, record))
        if record.status == "rejected" and wanted.takes(FILE, FILE_REFUSED, record.source):
            kept, why = Layout.raw_key(record.bytes_sha256), record.reason or ""
            yield Group(FILE_REFUSED, record.source, "", record.name, FILE, 0, kept, why)
    for failure in platform.ledger.failures():
        if wanted.takes(FILE, FILE_UNREADABLE, failure.source):
            why = f"{failure.reason} ({failure.at})"
            yield Group(FILE_UNREADABLE, failure.source, "", failure.path, FILE, 0, "", why)


def _when(reason: str, record: LedgerRecord) -> str:
    is_future = reason == IN_THE_FUTURE and record.future_from is not None
    return f"from {record.future_from} on; read again when that is no longer in the future" if is_future else ""


def _groups_of_retracted(platform: Platform, wanted: Wanted) -> Iterator[Group]:
    """Yield the files whose rows count on no day, since they were retracted; of a range, their rows of its days."""
    for each in retracted_files(platform):
        record = each.record
        dated = {**record.rows_per_day, **record.too_late}
        rows = record.rows if wanted.takes_day(None) else sum(dated[day] for day in dated if wanted.takes_day(day))
        if wanted.takes(RETRACTED, RETRACTED, record.source) and (rows or wanted.takes_day(None)):
            where = Layout.raw_key(record.bytes_sha256)
            yield Group(RETRACTED, record.source, "", record.name, RETRACTED, rows, where, each.why)


def place_of(day: str, kind: str) -> str:
    """Return where plain readers find rejected or duplicate rows of a day, relative to the root."""
    name = next(name for name in QUARANTINED_EVENTS.files if name.startswith(f"disposition={kind}"))
    return Layout.view_key(QUARANTINED_EVENTS.name, day, name)
