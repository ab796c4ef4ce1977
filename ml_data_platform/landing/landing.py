"""Landing: from a file that a producer dropped to its ledger record.

Belongs here: the order of the steps, and what each outcome leaves behind. Does not belong here: reading (``readers``),
routing (``routing``), finding files (``inbox``).

Steps: 1. the bytes are kept under their hash, or their rows masked, where the contract has a ``pii`` section; 2. a
content that the ledger knows under the contract's present routing ends here; 3. rows are routed into fragments; 4. these
are published under their hashes; 5. the ledger record, put if absent, is the commit point; 6. the name is noted, undated
and too-late rows are shown. A crash before 5 leaves nothing that anyone reads, and landing again repeats it. Which rows
came too late is decided by the first record of a content and taken over by every later one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from ml_data_platform.errors import DamagedObjectError, FileTooLargeError, LandingError, SettingsError
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.lateness import Admission, decide_admission
from ml_data_platform.events.path_columns import path_values
from ml_data_platform.events.usable_rows import refusal_of
from ml_data_platform.landing.keeping import Kept, keep_bytes
from ml_data_platform.landing.lines import is_without_content
from ml_data_platform.landing.masked_files import is_masked_without_content, keep_masked
from ml_data_platform.landing.masking_state import masking_lack
from ml_data_platform.landing.rereading import dated_before, is_no_longer_future, is_outdated
from ml_data_platform.landing.routing import Account, RoutedFile, route_file
from ml_data_platform.landing.terms import LandedFile, LandingTerms, Outcome, Status
from ml_data_platform.landing.too_late import show_too_late
from ml_data_platform.storage.collection import Deadline
from ml_data_platform.storage.decisions import UNDECIDED, Standing
from ml_data_platform.storage.layout import LANDED_FILES, UNDATED_ROWS, Layout
from ml_data_platform.storage.ledger import LedgerRecord
from ml_data_platform.storage.ledger_record import routing_through
from ml_data_platform.storage.object_store import ObjectStore
from ml_data_platform.storage.parquet import StagedFile

__all__ = [
    "LandedFile",
    "LandingTerms",
    "land_file",
    "land_kept",
    "reroute_outdated",
    "route_kept",
    "show_again",
    "show_undated",
]


def land_file(
    path: Path,
    contract: SourceContract,
    terms: LandingTerms,
    *,
    name: str | None = None,
    origin: str | None = None,
    below: Path | None = None,
) -> LandedFile:
    """Land one file.

    Args:
        path: What a producer dropped.
        contract: The contract of its source.
        terms: See `LandingTerms`.
        name: The name by which it goes in the ledger; by default its file name.
        below: Folder that the path lies in: none of the folders from there on may be a link.
        origin: Where it came from, when ``path`` is a passing copy; for the result and the ledger's failures.

    Returns:
        What was done. Landing the same bytes again does nothing but note a new name.

    Raises:
        StageFailedError: The rows do not add up; nothing was recorded.
        OSError: The platform's own storage failed; nothing was recorded.
    """
    name = path.name if name is None else name
    where = str(path) if origin is None else origin
    at = name if below is not None else str(path.absolute()) if origin is None else origin
    if contract.source in terms.mixed_sources:
        return _unreadable(contract.source, where, name, terms.mixed_sources[contract.source], terms)
    try:
        if contract.pii is not None:
            return _land_masked(
                path, contract, terms, where=where, name=name, at=at, is_own=origin is not None, below=below
            )
        kept = keep_bytes(path, terms.objects, below=below, path_values=path_values(at, contract.named_columns))
        return land_kept(kept, contract, terms, path=where, name=name)
    except FileTooLargeError as refusal:
        return _refused(contract.source, where, name, refusal, terms)
    except (LandingError, SettingsError, DamagedObjectError) as error:
        return _unreadable(contract.source, where, name, error.what, terms)


def reroute_outdated(
    contracts: Mapping[str, SourceContract],
    terms: LandingTerms,
    *,
    progress: Callable[[LandedFile], None] = lambda _: None,
    is_asked_for: bool = False,
    is_future_only: bool = False,
) -> list[LandedFile]:
    """Land kept contents again whose record is of another routing than their contract's present one.

    So are those of which rows lay in the future when they were read, and do so no longer. What came too late is decided
    by a file's first landing, so that a decision once made stays. Sources without a contract are left as they are.

    Args:
        contracts: Source to contract.
        terms: See `LandingTerms`.
        progress: Called after each file.
        is_asked_for: See `is_no_longer_future`.
        is_future_only: Leave files of another routing as they are.

    Returns:
        One entry per content that was landed again, by source and hash.
    """
    wanted = {source: terms.routing_hash(contract) for source, contract in contracts.items()}
    landed = []
    for record in terms.ledger.records(wanted):
        contract = contracts.get(record.source)
        if contract is None:
            continue
        is_old = not is_future_only and is_outdated(record, contract, terms.start_date)
        if is_old or is_no_longer_future(record, terms, is_asked_for=is_asked_for):
            landed.append(_land_again(record, contract, terms))
            progress(landed[-1])
    return landed


def show_undated(record: LedgerRecord, objects: ObjectStore, standing: Standing = UNDECIDED) -> None:
    """Show a file's undated rows, or remove those of an older routing or a retracted file; repeating changes nothing."""
    view = Layout.undated_view_key(record.source, record.sha256)
    if record.undated_fragment is None or standing.is_retracted:
        objects.withdraw(view)
    else:
        objects.project(Layout.object_key(UNDATED_ROWS, record.undated_fragment), view)


def show_again(record: LedgerRecord, terms: LandingTerms) -> None:
    """Show a file's undated and too-late rows in the view, as they stand now; repeating it changes nothing."""
    is_kept_apart = bool(record.too_late) or record.undated_fragment is not None
    standing = terms.ledger.decisions.standing(record.source, record.sha256) if is_kept_apart else UNDECIDED
    show_undated(record, terms.objects, standing)
    show_too_late(record, terms.store, standing=standing, memory_limit=terms.memory_limit, threads=terms.threads)


def _land_masked(
    path: Path,
    contract: SourceContract,
    terms: LandingTerms,
    *,
    where: str,
    name: str,
    at: str,
    is_own: bool,
    below: Path | None,
) -> LandedFile:
    """Land a file of which nothing may be kept as it is: also when it is refused, nothing of it stays."""
    if terms.masking_keys is None:
        raise SettingsError("A source with a `pii` section is landed without a key.", source=contract.source)
    try:
        kept = keep_masked(
            path,
            contract,
            terms.masking_keys,
            terms.objects,
            judge=terms.judge_of(contract),
            limits=terms.limits,
            is_own=is_own,
            below=below,
            path_values=path_values(at, contract.named_columns),
        )
    except LandingError as refusal:
        return _refused(contract.source, where, name, refusal, terms)
    return land_kept(kept, contract, terms, path=where, name=name)


def _land_again(record: LedgerRecord, contract: SourceContract, terms: LandingTerms) -> LandedFile:
    key = Layout.raw_key(record.bytes_sha256)
    lack = masking_lack(record, contract, terms.masking_keys)
    if lack is not None:
        return _unreadable(record.source, key, record.name, lack, terms)
    if not terms.objects.exists(key):
        return _unreadable(record.source, key, record.name, "The kept bytes are missing.", terms)
    try:
        return land_kept(Kept.of(record), contract, terms, path=key, name=record.name)
    except FileTooLargeError as refusal:
        return _refused(record.source, key, record.name, refusal, terms)
    except (SettingsError, DamagedObjectError) as error:
        return _unreadable(record.source, key, record.name, error.what, terms)


def _refused(source: str, path: str, name: str, refusal: LandingError, terms: LandingTerms) -> LandedFile:
    """Note a file of which nothing is recorded, so that it can land under another contract or other limits."""
    terms.ledger.note_failure(source, path, str(refusal), terms.landed_at)
    return LandedFile(source, path, name, "rejected", None, str(refusal))


def _unreadable(source: str, path: str, name: str, reason: str, terms: LandingTerms) -> LandedFile:
    terms.ledger.note_failure(source, path, reason, terms.landed_at)
    return LandedFile(source, path, name, "unreadable", None, reason)


def land_kept(kept: Kept, contract: SourceContract, terms: LandingTerms, *, path: str, name: str) -> LandedFile:
    """Record a kept content under a contract, unless it is, and note its name; see `land_file`."""
    ledger, routing_hash = terms.ledger, terms.routing_hash(contract)
    outcome: Outcome = "known"
    through: datetime | None = None
    if kept.is_new:
        record = ledger.record(contract.source, kept.sha256, routing_hash)
    else:
        record = ledger.newest_reading(contract.source, kept.sha256, routing_hash)
        if record is None:
            through = dated_before(ledger.readings(contract.source, kept.sha256), terms)
        elif is_no_longer_future(record, terms, is_asked_for=True):
            record, through = None, terms.dated_through
    if record is None:
        deadline = Deadline(terms.store.clock)
        with terms.objects.lock(Layout.objects_lock_key(LANDED_FILES), shared=True):
            record, outcome = route_kept(kept, contract, terms, name=name, through=through)
            deadline.check(source=contract.source, file=kept.sha256)
            if not kept.is_new:
                # Killed before the record is there, it is read again; after it, nobody would show its rows.
                show_again(record, terms)
            is_ours = ledger.append(record)
        if not is_ours:
            # Another process landed the same content meanwhile: its record holds.
            record, outcome = ledger.record(contract.source, kept.sha256, record.routing_hash) or record, "known"
    ledger.note_name(record, name, terms.landed_at)
    show_again(record, terms)
    return LandedFile(contract.source, path, name, outcome, record, record.reason)


def route_kept(
    kept: Kept, contract: SourceContract, terms: LandingTerms, *, name: str, through: datetime | None = None
) -> tuple[LedgerRecord, Status]:
    """Route a kept content and publish its fragments; the returned record is not yet appended.

    Args:
        kept: What is kept of it.
        contract: The contract of its source.
        terms: See `LandingTerms`.
        name: The name by which it goes in the ledger.
        through: Latest instant that an event may have, where that does not follow from its landing.
    """
    # Only bytes that were kept before can have been landed before.
    first = None if kept.is_new else terms.ledger.decided(contract.source, kept.sha256)
    ingested_at = first.ingested_at if first else terms.landed_at
    latest = through or datetime.fromisoformat(ingested_at) + terms.max_future
    dated_through = through.isoformat() if through else None
    admission = first.admission if first else _decide_admission(contract, terms, name)
    path = terms.objects.local_path(Layout.raw_key(kept.kept_sha256))
    is_masked = kept.masking is not None
    status: Status = "landed"
    reason, routed = None, RoutedFile(Account(), None, None)
    with terms.store.scratch() as folder:
        try:
            if is_masked_without_content(path) if is_masked else is_without_content(path):
                status = "empty"
            else:
                routed = route_file(
                    path,
                    contract,
                    sha256=kept.sha256,
                    path_values=kept.path_values,
                    start_date=terms.start_date,
                    latest=latest,
                    folder=folder,
                    memory_limit=terms.memory_limit,
                    threads=terms.threads,
                    engine=terms.engine,
                    admission=admission,
                    is_masked=is_masked,
                    limits=terms.limits,
                )
                status = "landed" if routed.account.rows else "header_only"
                reason = refusal_of(contract, routed.account.rows, routed.account.undated)
        except LandingError as error:
            if isinstance(error, FileTooLargeError):
                raise
            reason = str(error)
        if reason is not None:
            status, routed = "rejected", routed.without_days()
        fragment = _publish(routed.fragment, LANDED_FILES, terms)
        undated_fragment = _publish(routed.undated_fragment, UNDATED_ROWS, terms)
    account, timing = routed.account, routed.timing
    days = sorted(account.rows_per_day.items())
    record = LedgerRecord(
        source=contract.source,
        sha256=kept.sha256,
        routing_hash=routing_through(terms.routing_hash(contract), dated_through),
        contract_hash=contract.content_hash,
        name=first.name if first else name,
        size_bytes=kept.size_bytes,
        status=status,
        reason=reason,
        rows=account.rows,
        rows_per_day={day: rows for day, rows in days if not (admission and admission.is_too_late(day))},
        undated=dict(sorted(account.undated.items())),
        min_event_time=account.first.isoformat() if account.first else None,
        max_event_time=account.last.isoformat() if account.last else None,
        ingested_at=ingested_at,
        fragment=fragment,
        undated_fragment=undated_fragment,
        key_id=terms.key_id,
        too_late={day: rows for day, rows in days if admission and admission.is_too_late(day)},
        admission=admission,
        event_time=timing.event_time.isoformat() if timing.event_time else None,
        delays={day: delays.to_text() for day, delays in timing.delays.items()},
        kept_sha256=kept.kept_sha256 if kept.kept_sha256 != kept.sha256 else None,
        masking=kept.masking,
        path_values=kept.path_values,
        future_from=account.future_from.isoformat() if account.future_from else None,
        dated_through=dated_through,
    )
    return record, status


def _decide_admission(contract: SourceContract, terms: LandingTerms, name: str) -> Admission:
    watermark = terms.watermarks.get(contract.source)
    return decide_admission(contract.lateness, name, terms.now, watermark, is_historical=terms.is_historical)


def _publish(file: StagedFile | None, asset: str, terms: LandingTerms) -> str | None:
    if file is None:
        return None
    key = Layout.object_key(asset, file.sha256)
    terms.objects.put_object(key, file.path, sha256=file.sha256, size_bytes=file.size_bytes)
    return file.sha256
