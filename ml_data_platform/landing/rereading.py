"""Whether the kept bytes of a file are to be read again: its contract says another thing, or time has passed.

Belongs here: comparing a record with its contract and with the present. Does not belong here: reading (``landing``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.parsing import IN_THE_FUTURE
from ml_data_platform.landing.terms import LandingTerms
from ml_data_platform.storage.ledger import LedgerRecord
from ml_data_platform.storage.ledger_record import routing_through


def is_outdated(record: LedgerRecord, contract: SourceContract, start_date: date) -> bool:
    """Return whether kept bytes must be read again, because their contract says another thing by now.

    That the key of the masks was changed, or a rule on what is masked, does not count: only the landed file could be
    masked and judged again.
    """
    as_masked = contract.routing_hash(
        start_date, record.masked_with, judged_by=record.judged_by, parsed_as=record.parsed_as
    )
    plain = contract.routing_hash(start_date, record.masked_with)
    return record.routing_hash not in {routing_through(each, record.dated_through) for each in (as_masked, plain)}


def is_no_longer_future(record: LedgerRecord, terms: LandingTerms, *, is_asked_for: bool = False) -> bool:
    """Return whether rows of a file that lay in the future when it was read have a day by now.

    Args:
        record: The file, as it was read last.
        terms: See `LandingTerms`.
        is_asked_for: Somebody asks for it: then also a record of before is read, which does not say from when its rows are.
    """
    if record.future_from is not None:
        return datetime.fromisoformat(record.future_from) <= terms.dated_through
    is_unknown = is_asked_for and IN_THE_FUTURE in record.undated
    return is_unknown and datetime.fromisoformat(record.ingested_at) + terms.max_future < terms.dated_through


def dated_before(readings: Sequence[LedgerRecord], terms: LandingTerms) -> datetime | None:
    """Return up to when rows of a content are dated that was read under another contract: what was let in stays so."""
    if any(is_no_longer_future(each, terms) for each in readings):
        return terms.dated_through
    return max((datetime.fromisoformat(each.dated_through) for each in readings if each.dated_through), default=None)
