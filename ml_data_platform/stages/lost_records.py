"""Records of the ledger that must have been there: what bears witness to them, and making them again.

Belongs here: finding contents that were landed and have no record, and mending small records below the ledger. Does not
belong here: reading them (``storage.small_records``), the order of a verification.

A name is noted after its record, a day is built from records, and rows are shown apart by them: each says that there was
one. Kept bytes alone say nothing: whoever kept them may have died before anything was recorded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from ml_data_platform.errors import PlatformError, RecordError, bounded
from ml_data_platform.landing.restoring import land_lost
from ml_data_platform.stages.decisions import MIN_PREFIX
from ml_data_platform.stages.landed_files import landing_terms
from ml_data_platform.stages.platform import Platform
from ml_data_platform.storage.decisions import Decision
from ml_data_platform.storage.defects import Defect, Kind
from ml_data_platform.storage.landed_notes import Decided
from ml_data_platform.storage.layout import (
    DECISIONS_FOLDER,
    LEDGER_FOLDER,
    TOO_LATE_ROWS,
    TWINS_FOLDER,
    UNDATED_ROWS,
    Layout,
)
from ml_data_platform.storage.ledger import LedgerRecord
from ml_data_platform.storage.mending import set_aside
from ml_data_platform.storage.scrub import Scrub
from ml_data_platform.storage.small_records import RecordKind, kind_of, read_small

_RAW_EVENTS = "raw_events"
_NAMED = re.compile(f"{LEDGER_FOLDER}/([a-z][a-z0-9_]*)/([0-9a-f]{{64}})\\.names/.*")
_DECIDED = re.compile(f"(?:{DECISIONS_FOLDER}|{TWINS_FOLDER})/([a-z][a-z0-9_]*)/([0-9a-f]{{64}})\\..*")
_SHOWN = re.compile(f"data/(?:{UNDATED_ROWS}|{TOO_LATE_ROWS})/source=([a-z][a-z0-9_]*)/([0-9a-f]{{64}})\\.parquet")
_BUILT = re.compile(r"landed_files/([a-z][a-z0-9_]*)/([0-9a-f]{64})")
_GIVEN_UP = "lost: "
_KINDS = frozenset({Kind.DECISION_LOST, Kind.LEDGER_RECORD_DAMAGED, Kind.LEDGER_RECORD_LOST})
MAX_SAID = 400
_PASSING = frozenset({RecordKind.FAILURE, RecordKind.PULLED, RecordKind.POLLED, RecordKind.SEEN})
"""What is noted again by itself: a file is tried, fetched or looked at once more, and lands as what it was."""


def lost_records(platform: Platform, scrub: Scrub) -> list[Defect]:
    """Find contents that were landed and have no record any more.

    Args:
        platform: The opened root.
        scrub: The look, which has read the commit log.
    """
    objects = platform.store.objects
    witnesses: dict[tuple[str, str], str] = {}
    for pattern, keys, what in (
        (_DECIDED, objects.list(DECISIONS_FOLDER) + objects.list(TWINS_FOLDER), "something was decided about it"),
        (_SHOWN, objects.list(f"data/{UNDATED_ROWS}") + objects.list(f"data/{TOO_LATE_ROWS}"), "rows of it are shown"),
        (_BUILT, _built_from(scrub), "days were built from it"),
        (_NAMED, objects.list(LEDGER_FOLDER), "a name of it is noted"),
    ):
        witnesses |= {(found[1], found[2]): what for key in keys if (found := pattern.fullmatch(key))}
    # Also those that are damaged, which are reported as such. Listed last: who lands meanwhile writes the record first.
    there = {_content_of(key) for key in objects.list(LEDGER_FOLDER) if kind_of(key) is RecordKind.LANDED}
    there |= _given_up(platform, {source for source, _ in witnesses.keys() - there})
    return [
        Defect(Kind.LEDGER_RECORD_LOST, f"{Layout.ledger_folder(source)}/{sha256}", detail=what)
        for (source, sha256), what in sorted(witnesses.items())
        if (source, sha256) not in there
    ]


def give_up(platform: Platform, source: str, given: str, reason: str, *, is_dry_run: bool = False) -> str | None:
    """Retract a landed file whose record and bytes are lost, so that its days are built without its rows.

    Args:
        platform: The opened root.
        source: Source name.
        given: The content, hex, or the first 8 digits or more.
        reason: Why, kept with the decision.
        is_dry_run: Only say of which content.

    Returns:
        The content, hex; None where no lost one, or several, are meant.
    """
    scrub = Scrub(platform.store.objects, platform.store.log)
    scrub.histories[_RAW_EVENTS] = {day: list(each) for day, each in platform.store.log.histories(_RAW_EVENTS).items()}
    lost = [_content_of(defect.key) for defect in lost_records(platform, scrub)]
    meant = [sha256 for of, sha256 in lost if of == source and sha256.startswith(given)]
    if len(meant) != 1 or len(given) < MIN_PREFIX:
        return None
    if not is_dry_run:
        at, said = platform.clock().isoformat(), f"{_GIVEN_UP}{reason}"
        platform.ledger.decisions.retract(source, meant[0], replaced_by=None, reason=said, at=at)
    return meant[0]


def _given_up(platform: Platform, sources: Iterable[str]) -> set[tuple[str, str]]:
    """Return the contents that somebody retracted because they were lost."""
    found: set[tuple[str, str]] = set()
    for source in sources:
        with suppress(RecordError):
            standings = platform.ledger.decisions.standings(source).items()
            found |= {
                (source, sha) for sha, each in standings if each.is_retracted and each.reason.startswith(_GIVEN_UP)
            }
    return found


def _built_from(scrub: Scrub) -> list[str]:
    histories = scrub.histories.get(_RAW_EVENTS, {})
    return [key for history in histories.values() for record in history for key in record.inputs]


def _content_of(key: str) -> tuple[str, str]:
    _, source, name = key.split("/")[:3]
    return source, name.partition(".")[0]


def mend_records(platform: Platform, defects: Sequence[Defect]) -> list[Defect]:
    """Mend damaged and lost records below the ledger; bytes that are damaged are set aside first, all of them.

    Returns:
        All defects, in their order, marked where nothing is left to do; the detail says what is lost.
    """
    found = list(defects)
    order = sorted((_rank(defect), number) for number, defect in enumerate(found) if defect.kind in _KINDS)
    for _, number in order:
        if found[number].kind is Kind.LEDGER_RECORD_DAMAGED:
            set_aside(platform.store.objects, found[number].key)
    for _, number in order:
        found[number] = _mended(platform, found[number])
    return found


def _rank(defect: Defect) -> int:
    """Return when a record is made again: decisions, what was landed, then the names of what was landed."""
    kind = kind_of(defect.key)
    if defect.kind is Kind.DECISION_LOST or kind in {RecordKind.DECISION, RecordKind.TWIN}:
        return 0
    return 2 if kind is RecordKind.NAME else 1


def _mended(platform: Platform, defect: Defect) -> Defect:
    try:
        if defect.kind is Kind.DECISION_LOST:
            said, is_repaired = _restore_decision(platform, defect.key)
        elif defect.kind is Kind.LEDGER_RECORD_LOST:
            said, is_repaired = _land_again(platform, *_content_of(defect.key))
        else:
            said, is_repaired = _make_again(platform, defect.key)
    except FileNotFoundError:
        said, is_repaired = "its second copy is gone too", False
    except PlatformError as error:
        said, is_repaired = bounded(f"not repaired: {error}", MAX_SAID), False
    return replace(defect, detail="; ".join(filter(None, (defect.detail, said))), is_repaired=is_repaired)


def _make_again(platform: Platform, key: str) -> tuple[str, bool]:
    kind = kind_of(key)
    if kind is RecordKind.LANDED:
        return _land_again(platform, *_content_of(key))
    if kind is RecordKind.NAME:
        return _note_again(platform, key)
    if kind is RecordKind.DECISION:
        return _restore_decision(platform, key)
    if kind is RecordKind.TWIN:
        found = _decision(platform, DECISIONS_FOLDER + key.removeprefix(TWINS_FOLDER))
        return "", platform.ledger.decisions.keep_twin(found)
    if kind in _PASSING:
        return "it is noted again when the file is met again", True
    return "run `ml-data-platform adopt` again", True


def _land_again(platform: Platform, source: str, sha256: str) -> tuple[str, bool]:
    contract = platform.contracts.get(source)
    if contract is None:
        return "its source has no contract that could be read", False
    decided = platform.ledger.decided(source, sha256)
    result = land_lost(source, sha256, contract, landing_terms(platform))
    if result.record is None:
        return (
            (
                f"{result.reason} Land the file again: ml-data-platform land FILE --source {source}; or give its rows up:"
                f" ml-data-platform retract {sha256[:12]} --source {source} --reason WORDS"
            ),
            False,
        )
    return _unknown(decided, result.record), True


def _unknown(decided: Decided | None, record: LedgerRecord) -> str:
    if decided is None:
        return f"under which name and when it was landed is lost; it counts as landed at {record.ingested_at}"
    # A note that tells the size is of the form that tells all.
    if decided.size_bytes == 0 and decided.admission is None and record.size_bytes:
        return "which of its rows were late beyond the grace period was not noted then: all count on their days"
    return ""


def _note_again(platform: Platform, key: str) -> tuple[str, bool]:
    source, sha256 = _content_of(key)
    record = platform.ledger.first_record(source, sha256)
    if record is None or Layout.name_key(source, sha256, record.name) != key:
        return "a further name that the file was seen under is lost", True
    return "", platform.ledger.note_name(record, record.name, record.ingested_at)


def _restore_decision(platform: Platform, key: str) -> tuple[str, bool]:
    twin = _decision(platform, TWINS_FOLDER + key.removeprefix(DECISIONS_FOLDER))
    return "", platform.store.objects.put_if_absent(key, twin.to_json())


def _decision(platform: Platform, key: str) -> Decision:
    read = read_small(key, platform.store.objects.read_bytes(key), platform.ledger.noted)
    assert isinstance(read, Decision)
    return read
