"""Verification of a root: every byte is read again and compared with every record of it.

Belongs here: the order of the looks, and mending what needs a contract. Does not belong here: the looks
(``storage.scrub``, ``storage.scrub_landed``), printing (``cli``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from ml_data_platform.errors import PlatformError, RecordError
from ml_data_platform.landing.landing import show_again, show_undated
from ml_data_platform.landing.restoring import restore_fragments
from ml_data_platform.landing.too_late import too_late_rows
from ml_data_platform.stages.adoption import is_of_before
from ml_data_platform.stages.landed_files import kept_terms, restore_landed
from ml_data_platform.stages.lost_generations import lost_generations, mend_generations
from ml_data_platform.stages.lost_records import lost_records, mend_records
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.state import current_records, landed_records
from ml_data_platform.storage.defects import Defect, Kind
from ml_data_platform.storage.layout import LANDED_FILES, TOO_LATE_ROWS, UNDATED_ROWS, Layout
from ml_data_platform.storage.ledger import LedgerRecord
from ml_data_platform.storage.mending import mend
from ml_data_platform.storage.scrub import Progress, Scrub
from ml_data_platform.storage.scrub_landed import OUTSIDE_OF_TABLES, foreign_files, scrub_landed

Look = Callable[[Platform, bool], Iterable[Defect]]
"""A further look at what lies beside the tables: it is told whether to repair, and marks what it repaired."""

OF_BEFORE = (
    "This root was made by an earlier release, and some of its records have no digest: a change of them cannot be told."
    " Take it over once: ml-data-platform adopt"
)
_FRAGMENTS = frozenset(OUTSIDE_OF_TABLES)
_OBJECTS = frozenset({Kind.OBJECT_MISSING, Kind.OBJECT_ALTERED})
_VIEWS = frozenset({Kind.VIEW_MISSING, Kind.VIEW_STALE, Kind.VIEW_ALTERED})


@dataclass(frozen=True)
class Verification:
    """What a verification found.

    Attributes:
        defects: Everything that is wrong; what was mended says so.
        counts: What was looked at: objects and bytes read, records, files of the view.
        advice: What should be done about a root that is whole.
    """

    defects: tuple[Defect, ...]
    counts: Mapping[str, int]
    advice: tuple[str, ...] = ()

    @property
    def open(self) -> tuple[Defect, ...]:
        """The defects that were not mended."""
        return tuple(defect for defect in self.defects if not defect.is_repaired)

    def to_json(self) -> dict[str, object]:
        """Return the whole as a JSON object."""
        return {
            "is_whole": not self.open,
            "checked": dict(self.counts),
            "defects": [defect.to_json() for defect in self.defects],
            "advice": list(self.advice),
        }


def verify(
    platform: Platform,
    *,
    is_repair: bool = False,
    on_progress: Progress = lambda *_: None,
    further: Sequence[Look] = (),
) -> Verification:
    """Read everything under a root again, and compare objects, log, view, ledger and kept bytes.

    Args:
        platform: The opened root. Others may work on it meanwhile.
        is_repair: Mend what the log and the kept bytes allow. Nothing foreign is touched, nothing is deleted that
            cannot be had again.
        on_progress: Called with what is read, how many files are done and how many there are.
        further: Looks at what other layers keep: versions, models, the history of runs.
    """
    scrub = Scrub(platform.store.objects, platform.store.log, platform.settings.threads, on_progress)
    assets = scrub.assets()
    defects = [defect for asset in assets if asset not in OUTSIDE_OF_TABLES for defect in scrub.table(asset)]
    defects += lost_generations(scrub, defects)
    records, of_landing = scrub_landed(scrub, platform.ledger)
    defects += of_landing
    defects += lost_records(platform, scrub)
    defects += _hidden_rows(platform, scrub)
    defects += foreign_files(scrub, dict.fromkeys([*assets, *OUTSIDE_OF_TABLES]))
    defects += scrub.unread()
    if is_repair:
        defects = mend_generations(platform, defects)
        defects = mend(platform.store.objects, platform.store.log, defects)
        defects = mend_records(platform, defects)
        defects = [_mend_landed(platform, defect, records) for defect in defects]
    defects += [defect for look in further for defect in look(platform, is_repair)]
    return Verification(tuple(defects), scrub.counts, _advice(platform, scrub))


def _advice(platform: Platform, scrub: Scrub) -> tuple[str, ...]:
    lost = scrub.counts.get("generations_lost", 0)
    said = [f"The lineage of {lost:,} older generations is lost, as was noted when it was repaired."] if lost else []
    with suppress(RecordError):
        said += [OF_BEFORE] if is_of_before(platform) else []
    return tuple(said)


def _current(platform: Platform) -> tuple[LedgerRecord, ...]:
    """Return the records that count; none where one is damaged, which was reported then."""
    try:
        return current_records(platform)
    except RecordError:
        return ()


def _hidden_rows(platform: Platform, scrub: Scrub) -> list[Defect]:
    """Find rows without a usable day, or that came too late, that plain readers should see and do not."""
    found, defects = set(platform.store.objects.list("data")), []
    for record in _current(platform):
        undated = Layout.undated_view_key(record.source, record.sha256)
        if record.undated_fragment is not None and undated not in found:
            defects.append(Defect(Kind.VIEW_MISSING, undated, UNDATED_ROWS))
    for record, rows in _too_late(platform):
        key = Layout.too_late_view_key(record.source, record.sha256)
        detail = f"{rows} rows of {record.source}/{record.name} came too late"
        if rows and key not in found:
            defects.append(Defect(Kind.VIEW_MISSING, key, TOO_LATE_ROWS, detail=detail))
        elif key in scrub.found and scrub.found[key].rows not in {rows, None}:
            shown = scrub.found[key].rows
            defects.append(Defect(Kind.VIEW_STALE, key, TOO_LATE_ROWS, detail=f"{detail}, {shown} are shown"))
    return defects


def _too_late(platform: Platform) -> list[tuple[LedgerRecord, int]]:
    """Return the records of files with rows that came too late, and how many are shown apart; none where one is damaged."""
    try:
        return [
            (record, too_late_rows(record, platform.ledger.decisions.standing(record.source, record.sha256)))
            for record in landed_records(platform)
            if record.too_late
        ]
    except RecordError:
        return []


def _mend_landed(platform: Platform, defect: Defect, records: Sequence[LedgerRecord]) -> Defect:
    """Route kept bytes again where a fragment is gone, and show rows again that are hidden."""
    if defect.is_repaired or defect.asset not in _FRAGMENTS:
        return defect
    sha256 = defect.key.rpartition("/")[2].partition(".")[0]
    if defect.kind in _VIEWS:
        return _show_again(platform, defect)
    for record in records:
        names = {LANDED_FILES: record.fragment, UNDATED_ROWS: record.undated_fragment}
        if defect.kind in _OBJECTS and names.get(defect.asset) == sha256:
            if _is_restored(platform, record):
                return replace(defect, is_repaired=True)
            return replace(defect, detail=f"{defect.detail}; {_lost_rows(record)}")
    # What is shown of rows that came too late is a defect of its own, and made again with its object.
    is_set_aside = defect.kind is Kind.OBJECT_ALTERED and defect.asset == TOO_LATE_ROWS
    return replace(defect, is_repaired=is_set_aside)


def _lost_rows(record: LedgerRecord) -> str:
    """Say what it means that neither the rows of a file are there nor the bytes that they came from."""
    days = sorted({*record.rows_per_day, *record.too_late})
    of = f" on {days[0]} to {days[-1]}" if days else ""
    return (
        f"lost: the kept bytes of {record.source}/{record.name} do not give its {record.rows:,} rows{of} again."
        " Land the file again, or retract it: `ml-data-platform retract`"
    )


def _is_restored(platform: Platform, record: LedgerRecord) -> bool:
    try:
        return bool(restore_fragments([record], platform.contracts, kept_terms(platform)))
    except PlatformError:
        return False


def _show_again(platform: Platform, defect: Defect) -> Defect:
    for record in _current(platform):
        if defect.key == Layout.undated_view_key(record.source, record.sha256):
            platform.store.objects.delete(defect.key)
            show_undated(record, platform.store.objects)
            return replace(defect, is_repaired=True)
    for record, _ in _too_late(platform):
        if defect.key == Layout.too_late_view_key(record.source, record.sha256):
            return replace(defect, is_repaired=_is_shown_again(platform, record, defect.key))
    return defect


def _is_shown_again(platform: Platform, record: LedgerRecord, key: str) -> bool:
    try:
        restore_landed(platform, [record])
        # Their rows are made again from the fragment, so that what is shown now is worth nothing.
        platform.store.objects.delete(key)
        show_again(record, kept_terms(platform))
    except PlatformError:
        return False
    return True
