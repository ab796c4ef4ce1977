"""The landed files that a version spans: that they count, how many of their rows reach no day, and who accepted that.

Belongs here: which files have to do with the days of a version, what it records of them, and refusing a cut. Does not
belong here: the verdict on a file (``events.usable_rows``), and choosing days (``selection``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from ml_data_platform.datasets.selection import FEATURES, ChosenDay, features_of, generation_with
from ml_data_platform.datasets.spanned_facts import SpannedFile, SpannedFiles, SpannedSource
from ml_data_platform.errors import VersionError, bounded
from ml_data_platform.events.usable_rows import FileVerdict, Level
from ml_data_platform.storage.table_store import TableStore

MAX_FILES = 20
SHOWN_FILES = 3


def spanned_files(verdicts: Collection[FileVerdict], days: Collection[str], accepted: str) -> SpannedFiles:
    """Return what a version records of the landed files that have rows on its days.

    A file that says no day, because none of its rows is usable, may have been of any day on which its source has rows; of
    any day at all where its source has none.

    Args:
        verdicts: The verdicts on all landed files that count.
        days: UTC days of the version, ``YYYY-MM-DD``.
        accepted: Why rows may be missing, in the words of who cuts it; empty where nobody said so.

    Raises:
        VersionError: A file is red, and nobody accepted that.
    """
    found = _spanned(verdicts, frozenset(days))
    red = [each for each in found if each.level is Level.RED]
    if red and not accepted.strip():
        raise _refusal(red)
    worst = sorted(
        (each for each in found if each.level is not Level.OK),
        key=lambda each: (each.level is not Level.RED, -each.unusable_rows, each.source, each.sha256),
    )
    return SpannedFiles(
        accepted=accepted.strip() if red else "",
        sources=tuple(_source(name, found) for name in sorted({each.source for each in found})),
        worst=tuple(_file(each) for each in worst[:MAX_FILES]),
    )


def require_none_retracted(
    store: TableStore, days: Iterable[ChosenDay], retracted: Mapping[str, Mapping[str, str]]
) -> None:
    """Require that no chosen generation holds rows of a file that does not count any more.

    Args:
        store: The root's tables.
        days: The chosen days.
        retracted: UTC day to the inputs of its ``raw_events`` that were retracted, each to a name of the file.

    Raises:
        VersionError: One does: its day was not built since.
    """
    held: dict[str, list[str]] = {}
    for chosen in days:
        gone = retracted.get(chosen.day)
        if gone:
            inputs = _landed_inputs(store, chosen)
            names = [name for key, name in sorted(gone.items()) if key in inputs]
            held.update({chosen.day: names} if names else {})
    if held:
        files = sorted({name for names in held.values() for name in names})
        raise VersionError(
            "days still hold rows of landed files that were taken back or replaced",
            remedy="Run backfill, then cut again; or name other days with --from and --to.",
            days=_some(sorted(held)),
            files=bounded(_some(files), 300),
        )


def _landed_inputs(store: TableStore, chosen: ChosenDay) -> Collection[str]:
    """Return the inputs of the raw events that the rows of a chosen day come from."""
    content, day = features_of(next(iter(chosen.partitions.values()))), chosen.day
    record = generation_with(store, FEATURES, day, content)
    for asset in ("validated_events", "raw_events"):
        key = f"{asset}/{day}"
        record = generation_with(store, asset, day, record.inputs.get(key, "")) if record else None
    return record.inputs if record else ()


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN_FILES} more" if len(names) > SHOWN_FILES else ""
    return ", ".join(names[:SHOWN_FILES]) + more


def _spanned(verdicts: Collection[FileVerdict], days: frozenset[str]) -> list[FileVerdict]:
    by_source: dict[str, set[str]] = {}
    for each in verdicts:
        by_source.setdefault(each.source, set()).update(each.days)
    may_be_of = {source: not known or not days.isdisjoint(known) for source, known in by_source.items()}
    return [each for each in verdicts if not days.isdisjoint(each.days) or (not each.days and may_be_of[each.source])]


def _refusal(red: Sequence[FileVerdict]) -> VersionError:
    shown = "; ".join(bounded(str(each), 300) for each in red[:SHOWN_FILES])
    more = f"; and {len(red) - SHOWN_FILES} more" if len(red) > SHOWN_FILES else ""
    return VersionError(
        f"{len(red)} landed files are red, so that rows of these days may be missing: {shown}{more}",
        remedy=(
            "Land corrected files (land FILE --source NAME --replaces SHA) or correct the contract, and backfill; or name"
            ' other days; or accept it in words, which the version records: --accept-unusable "WHY".'
        ),
    )


def _source(name: str, found: Iterable[FileVerdict]) -> SpannedSource:
    files = [each for each in found if each.source == name]
    reasons: Counter[str] = Counter()
    expected: Counter[str] = Counter()
    for each in files:
        reasons.update(each.unusable)
        expected.update(each.expected)
    levels = Counter(each.level for each in files)
    return SpannedSource(
        source=name,
        files=len(files),
        rows=sum(each.rows for each in files),
        unusable=dict(sorted(reasons.items())),
        expected=dict(sorted(expected.items())),
        red_files=levels[Level.RED],
        warned_files=levels[Level.WARN],
    )


def _file(verdict: FileVerdict) -> SpannedFile:
    return SpannedFile(
        source=verdict.source,
        sha256=verdict.sha256,
        name=verdict.name,
        level=verdict.level.value,
        rows=verdict.rows,
        unusable=dict(sorted(verdict.unusable.items())),
        refusal=bounded(verdict.refusal) if verdict.refusal else None,
    )
