"""Making again from kept bytes what was lost of a landed file: its fragments, or its record.

Belongs here: routing kept bytes once more, as was decided when they landed. Does not belong here: finding what is lost
(``stages``), landing what is new (``landing``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from ml_data_platform.errors import StageFailedError
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.landing.keeping import Kept
from ml_data_platform.landing.landing import land_kept, route_kept, show_again
from ml_data_platform.landing.rereading import is_outdated
from ml_data_platform.landing.terms import LandedFile, LandingTerms
from ml_data_platform.storage.layout import LANDED_FILES, UNDATED_ROWS, Layout
from ml_data_platform.storage.ledger import LedgerRecord


def land_lost(source: str, sha256: str, contract: SourceContract, terms: LandingTerms) -> LandedFile:
    """Make the lost or damaged record of a content again, from its kept bytes and what its names say was decided.

    Args:
        source: Source name.
        sha256: The content, hex.
        contract: The contract of its source.
        terms: See `LandingTerms`.

    Returns:
        What was done; ``unreadable``, with the reason, where what is left does not tell enough.

    Raises:
        RecordError: What is left of it was changed too.
        StageFailedError: The rows do not add up; nothing was recorded.
    """
    decided = terms.ledger.decided(source, sha256)
    name = decided.name if decided else sha256
    kept_sha256 = decided.kept_sha256 if decided and decided.kept_sha256 else sha256
    key = Layout.raw_key(kept_sha256)
    lack = ""
    if not terms.objects.exists(key):
        lack = "Its kept bytes are gone too."
    elif contract.pii is not None and (decided is None or decided.masking is None):
        lack = "How its rows were masked is not known."
    if lack:
        return LandedFile(source, key, name, "unreadable", None, lack)
    masking, path_values = (decided.masking, decided.path_values) if decided else (None, {})
    kept = Kept(sha256, terms.objects.size(key), False, kept_sha256, masking, path_values)
    return land_kept(kept, contract, terms, path=key, name=name)


def restore_fragments(
    records: Iterable[LedgerRecord], contracts: Mapping[str, SourceContract], terms: LandingTerms
) -> list[LedgerRecord]:
    """Route kept bytes again whose fragments are gone, e.g. in a root of which only bytes and ledger were saved.

    What was decided about a file stands in its record, so that the rows are on the days on which they were.

    Args:
        records: The records that count.
        contracts: Source to contract; records of another routing than the present one are left to
            `reroute_outdated`.
        terms: See `LandingTerms`.

    Returns:
        The records whose fragments were made again.

    Raises:
        StageFailedError: The bytes lead to other rows than the record has: they were changed, or are gone.
    """
    restored = []
    for record in records:
        contract = contracts.get(record.source)
        wanted = ((LANDED_FILES, record.fragment), (UNDATED_ROWS, record.undated_fragment))
        keys = [Layout.object_key(asset, fragment) for asset, fragment in wanted if fragment is not None]
        is_current = contract is not None and not is_outdated(record, contract, terms.start_date)
        if contract is None or not is_current or all(terms.objects.exists(key) for key in keys):
            continue
        is_kept = terms.objects.exists(Layout.raw_key(record.bytes_sha256))
        found = _route_again(record, contract, terms) if is_kept else None
        if found is None or (found.fragment, found.undated_fragment) != (record.fragment, record.undated_fragment):
            raise StageFailedError(
                "Kept bytes do not lead to the rows that were landed.",
                remedy="Restore the file under raw/ from a backup of the root; its name is the SHA-256 of its bytes.",
                source=record.source,
                file=record.sha256,
            )
        show_again(record, terms)
        restored.append(record)
    return restored


def _route_again(record: LedgerRecord, contract: SourceContract, terms: LandingTerms) -> LedgerRecord:
    through = datetime.fromisoformat(record.dated_through) if record.dated_through else None
    return route_kept(Kept.of(record), contract, terms, name=record.name, through=through)[0]
