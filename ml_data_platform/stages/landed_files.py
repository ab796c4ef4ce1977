"""landed_files: what lies ready in the landing folder, or was named, goes into the ledger.

Belongs here: which files to land under which contract, for the command line and the asset alike. Does not
belong here: landing one file (``landing``).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ml_data_platform.landing.inbox import ReadyFile, fingerprint
from ml_data_platform.landing.landing import (
    LandedFile,
    LandingTerms,
    land_file,
    reroute_outdated,
)
from ml_data_platform.landing.limits import Limits
from ml_data_platform.landing.masking_state import masking_notices, mixed_sources
from ml_data_platform.landing.rereading import is_no_longer_future, is_outdated
from ml_data_platform.landing.restoring import restore_fragments
from ml_data_platform.landing.terms import with_one_engine
from ml_data_platform.settings import Settings
from ml_data_platform.stages.landing_place import at_hand, landing_folder, look, top_level
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.rules_before_masking import broken_before_masking
from ml_data_platform.stages.state import landed_records, read_watermarks
from ml_data_platform.storage.layout import LANDED_FILES, SEEN_FOLDER, Layout
from ml_data_platform.storage.ledger import LedgerRecord
from ml_data_platform.storage.records import sealed
from ml_data_platform.storage.small_records import SEEN_FORMAT

Progress = Callable[[int, int, LandedFile], None]
REFUSED = frozenset({"rejected", "unreadable"})


def _silent(_done: int, _total: int, _result: LandedFile) -> None:
    return


@dataclass(frozen=True)
class WaitingFiles:
    """Files of the landing folder that were not taken in yet.

    Attributes:
        files: Source and file, in the order in which they are landed.
        fingerprint: Changes when any of them does.
        unknown_folders: Folders whose name is no source.
        outdated: Landed files that must be read again, because their contract changed, or rows of them are no longer in
            the future.
        unsettled: Paths of files that changed too short a time ago to be taken in.
        unfinished: Paths of files whose name says that they are still being written.
        stray: Paths of files that lie in the landing folder itself, not in the folder of a source.
    """

    files: tuple[tuple[str, ReadyFile], ...]
    fingerprint: str
    unknown_folders: tuple[str, ...]
    outdated: int
    unsettled: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()
    stray: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.files and not self.outdated


def waiting_files(platform: Platform) -> WaitingFiles:
    """List what lies still in the landing folder and is not known by place, size and time of change."""
    settings, landing = platform.settings, landing_folder(platform)
    found: list[tuple[str, ReadyFile]] = []
    unsettled: list[str] = []
    unfinished: list[str] = []
    for source in sorted(platform.contracts):
        seen = set(platform.store.objects.names(f"{SEEN_FOLDER}/{source}"))
        inbox = look(platform, source)
        terms_id = _terms_id(platform, source)
        new = [file for file in inbox.ready if _seen_name(landing, file) not in seen]
        found += [(source, file) for file in new if _refused_name(landing, file, terms_id) not in seen]
        young = [file for file in inbox.unsettled if _seen_name(landing, file) not in seen]
        unsettled += [file.path.relative_to(landing).as_posix() for file in young]
        unfinished += [path.relative_to(landing).as_posix() for path in inbox.unfinished]
    folders, stray = top_level(platform)
    unknown = tuple(name for name in folders if name not in platform.contracts)
    terms = kept_terms(platform)
    outdated = [
        record
        for record in platform.ledger.records(platform.routing_hashes)
        if record.source in platform.contracts
        and (
            is_outdated(record, platform.contracts[record.source], settings.start_date)
            or is_no_longer_future(record, terms)
        )
    ]
    read_before = sorted(record.sha256 + (record.dated_through or "") for record in outdated)
    identity = fingerprint([file for _, file in found]) + "".join(read_before)
    return WaitingFiles(
        files=tuple(found),
        fingerprint=hashlib.sha256(identity.encode()).hexdigest()[:32],
        unknown_folders=unknown,
        outdated=len(outdated),
        unsettled=tuple(unsettled),
        unfinished=tuple(unfinished),
        stray=tuple(stray),
    )


def land_inbox(platform: Platform, progress: Progress = _silent, *, is_historical: bool = False) -> list[LandedFile]:
    """Land what lies ready in the landing folder, and read again what an older contract had read.

    Args:
        platform: The opened root.
        progress: Called after each file with the number done, the number in all, and the result.
        is_historical: The load is not late, whatever days it has rows of.
    """
    waiting = waiting_files(platform)
    if waiting.is_empty:
        return []
    results: list[LandedFile] = []
    failed = _failed(platform)
    total = len(waiting.files) + waiting.outdated
    with with_one_engine(landing_terms(platform, is_historical=is_historical)) as terms:
        for source, file in waiting.files:
            name = file.path.relative_to(landing_folder(platform) / source).as_posix()
            with at_hand(platform, file) as path:
                result = land_file(path, platform.contracts[source], terms, name=name, below=landing_folder(platform))
            _forget(platform, failed, result)
            if result.outcome != "unreadable":
                _note_seen(platform, source, file, is_kept=result.record is not None)
            results.append(result)
            progress(len(results), total, result)
        again = reroute_outdated(
            platform.contracts, terms, progress=lambda result: progress(len(results) + 1, total, result)
        )
    return results + again


def readmit_future(platform: Platform) -> list[LandedFile]:
    """Read files again of which rows lay in the future when they were read, and do so no longer."""
    terms = kept_terms(platform)
    due = {record.source for record in landed_records(platform) if is_no_longer_future(record, terms)}
    contracts = {source: platform.contracts[source] for source in sorted(due) if source in platform.contracts}
    if not contracts:
        return []
    with with_one_engine(landing_terms(platform)) as landing:
        return reroute_outdated(contracts, landing, is_future_only=True)


def land_named(
    platform: Platform,
    source: str,
    paths: Iterable[Path],
    progress: Progress = _silent,
    *,
    is_historical: bool = False,
) -> list[LandedFile]:
    """Land the named files and all files in the named folders.

    Args:
        platform: The opened root.
        source: Whose files they are.
        paths: Files and folders; what a folder holds is landed in the order of the names.
        progress: Called after each file with the number done, the number in all, and the result.
        is_historical: The load is not late, whatever days it has rows of.

    Raises:
        ContractError: There is no contract of that name, or it is broken.
    """
    contract = platform.contracts.of(source)
    files = [found for path in paths for found in _files_in(path)]
    results: list[LandedFile] = []
    failed = _failed(platform)
    with with_one_engine(landing_terms(platform, is_historical=is_historical)) as terms:
        for path, name in files:
            results.append(land_file(path, contract, terms, name=name))
            _forget(platform, failed, results[-1])
            progress(len(results), len(files), results[-1])
    return results


def restore_landed(platform: Platform, records: Iterable[LedgerRecord]) -> int:
    """Make again what was routed from kept bytes and is gone; returns the number of files.

    Bytes, ledger and secrets of a root are enough to build all of it again.

    Args:
        platform: The opened root.
        records: The records whose rows are wanted.

    Raises:
        StageFailedError: Kept bytes are not those that were landed.
    """
    objects = platform.store.objects
    wanted = [record for record in records if record.fragment is not None]
    gone = [record for record in wanted if not objects.exists(Layout.object_key(LANDED_FILES, str(record.fragment)))]
    if not gone:
        return 0
    with with_one_engine(kept_terms(platform)) as terms:
        return len(restore_fragments(gone, platform.contracts, terms))


def limits_of(settings: Settings) -> Limits:
    """Return what a landed file may cost."""
    return Limits(
        unzipped_bytes=settings.max_unzipped_bytes,
        decoded_bytes=settings.max_decoded_bytes,
        rows=settings.max_file_rows,
        columns=settings.max_file_columns,
    )


def landing_terms(platform: Platform, *, is_historical: bool = False) -> LandingTerms:
    """Return what landing depends on beside a file and its contract; watermarks are those of now.

    Args:
        platform: The opened root.
        is_historical: The load is not late, whatever days it has rows of.

    Raises:
        SettingsError: A key is lost, unusable, or another than the root's.
    """
    return replace(
        kept_terms(platform),
        key_id=platform.id_key.key_id,
        masking_keys=platform.masking_keys,
        is_historical=is_historical,
    )


def kept_terms(platform: Platform) -> LandingTerms:
    """Return what reading kept bytes again, and showing rows of them, depends on: that needs no key."""
    settings = platform.settings
    return LandingTerms(
        store=platform.store,
        start_date=settings.start_date,
        now=platform.clock(),
        max_future=settings.max_future,
        memory_limit=settings.memory_limit,
        threads=settings.threads,
        limits=limits_of(settings),
        watermarks=read_watermarks(platform),
        judge_of=broken_before_masking,
        mixed_sources=mixed_sources(landed_records(platform), platform.contracts),
    )


def notices_on_masking(platform: Platform) -> tuple[str, ...]:
    """Return a sentence for each source of which files are masked in another way than its contract says now."""
    return masking_notices(landed_records(platform), platform.contracts, platform.masked_with)


def summarise(results: Sequence[LandedFile]) -> dict[str, int]:
    """Count files by outcome, and the rows of the files that were landed now."""
    outcomes = Counter(result.outcome for result in results)
    skipped = REFUSED | {"known"}
    records = [result.record for result in results if result.record is not None and result.outcome not in skipped]
    return {
        "files": len(results),
        **{f"{outcome}_files": count for outcome, count in sorted(outcomes.items())},
        "landed_rows": sum(record.rows for record in records),
        "undated_rows": sum(sum(record.undated.values()) for record in records),
        "late_rows": sum(sum(record.late.values()) for record in records),
        "too_late_rows": sum(sum(record.too_late.values()) for record in records),
        "touched_days": len({day for record in records for day in record.rows_per_day}),
    }


def describe(result: LandedFile) -> str:
    """Return one line about one file."""
    record = result.record
    rows = f"{record.rows:,} rows on {len(record.rows_per_day)} days" if record else "no bytes"
    undated = sum(record.undated.values()) if record else 0
    parts = [f"{result.source}/{result.name}: {result.outcome}, {rows}"]
    too_late = sum(record.too_late.values()) if record else 0
    parts += [f"{undated:,} undated"] if undated else []
    parts += [f"{too_late:,} too late"] if too_late else []
    parts += [result.reason] if result.reason else []
    return "; ".join(parts)


def _files_in(path: Path) -> list[tuple[Path, str]]:
    if not path.is_dir() or path.is_symlink():
        return [(path, path.name)]
    found = []
    for folder, subfolders, names in os.walk(path):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith((".", "_")))
        found += [Path(folder) / name for name in names if not name.startswith((".", "_"))]
    return [(each, each.relative_to(path).as_posix()) for each in sorted(found)]


def _seen_name(landing: Path, file: ReadyFile) -> str:
    facts = [file.path.relative_to(landing).as_posix(), file.size, file.mtime_ns]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _refused_name(landing: Path, file: ReadyFile, terms_id: str) -> str:
    """Name of the note on a file of which nothing was recorded: under another contract or limits it is tried again."""
    return hashlib.sha256(f"{_seen_name(landing, file)} {terms_id}".encode()).hexdigest()[:32]


def _failed(platform: Platform) -> frozenset[tuple[str, str]]:
    return frozenset((failure.source, failure.path) for failure in platform.ledger.failures())


def _forget(platform: Platform, failed: Collection[tuple[str, str]], result: LandedFile) -> None:
    """Take back that a file could not be landed, once it was."""
    if result.record is not None and (result.source, result.path) in failed:
        platform.ledger.forget_failures(result.source, result.path)


def _terms_id(platform: Platform, source: str) -> str:
    return f"{platform.routing_hashes[source]} {limits_of(platform.settings)}"


def _note_seen(platform: Platform, source: str, file: ReadyFile, *, is_kept: bool) -> None:
    landing = landing_folder(platform)
    name = _seen_name(landing, file) if is_kept else _refused_name(landing, file, _terms_id(platform, source))
    key = f"{SEEN_FOLDER}/{source}/{name}"
    facts = {"key": key, "path": str(file.path), "size_bytes": file.size, "mtime_ns": file.mtime_ns}
    platform.store.objects.put_if_absent(key, sealed(facts, form=SEEN_FORMAT))
