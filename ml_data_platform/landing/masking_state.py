"""Whether what is kept of a source is masked as its contract says now.

Belongs here: comparing ledger records with contract and key, and saying in words what is to be done. Does not belong
here: masking (``masking``, ``masked_files``).

Masked rows are never masked a second time: what a contract stops to mask is gone, and what it begins to mask would stay
in tables built before. So a difference is said, not mended: the landed files have to be landed again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from ml_data_platform.errors import bounded
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.expectations import judged_before_masking
from ml_data_platform.events.masking_plan import parsed_as, plan_differences, plan_facts
from ml_data_platform.landing.masking import MaskingKeys
from ml_data_platform.storage.ledger_record import LedgerRecord

MAX_DIFFERENCES_SHOWN = 5
_ANOTHER_SOURCE = "Start a new root, or land what comes from now on as another source."
LANDED_PLAIN = (
    "Files of this source were landed before it had a `pii` section: their kept bytes, and the tables built from them, "
    "hold values as they came, and masked rows beside them would count events twice. " + _ANOTHER_SOURCE
)
LANDED_MASKED = (
    "Files of this source were landed masked, and its `pii` section is gone: rows as they come beside them would count "
    "events twice. Put the section back, or: " + _ANOTHER_SOURCE
)


def masking_lack(record: LedgerRecord, contract: SourceContract, keys: MaskingKeys | None) -> str | None:
    """Return why kept bytes cannot be read under a contract's present ``pii`` section; None where they can."""
    mixed = mixing(record, contract)
    if mixed is not None:
        return mixed
    differences = plan_change(record, contract)
    again = "Land the file as it came again; what was kept of it is masked and cannot be masked anew"
    if differences:
        return f"The `pii` section has changed since it was landed ({differences}). {again}."
    if record.masking is not None and keys is not None and keys.key_id != record.masked_with:
        return f"It was masked with the key {record.masked_with}, the present one is {keys.key_id}. {again}."
    if is_parsed_otherwise(record, contract):
        return f"In {record.unparsed_rows:,} rows a value did not parse as its contract then said, and was masked. {again}."
    rules = rules_change(record, contract)
    if rules:
        return f"Rules on what is masked have changed since it was landed ({rules}). {again}."
    return None


def mixing(record: LedgerRecord, contract: SourceContract) -> str | None:
    """Return why a record and its contract do not go together: one is masked, the other is not."""
    if (record.masking is None) == (contract.pii is None):
        return None
    return LANDED_PLAIN if record.masking is None else LANDED_MASKED


def mixed_sources(records: Iterable[LedgerRecord], contracts: Mapping[str, SourceContract]) -> Mapping[str, str]:
    """Return the sources of which nothing can be landed, since it would not go together with what is kept, and why."""
    found = (
        (record.source, mixing(record, contracts[record.source])) for record in records if record.source in contracts
    )
    return {source: reason for source, reason in found if reason is not None}


def plan_change(record: LedgerRecord, contract: SourceContract) -> str:
    """Return in words what becomes of columns otherwise now than in kept rows; empty where nothing does."""
    now = plan_facts(contract)
    if now is None or record.masking is None or record.masking["plan"] == now:
        return ""
    found = plan_differences(record.masking["plan"], now) or ["the format"]
    more = len(found) - MAX_DIFFERENCES_SHOWN
    return "; ".join(map(bounded, found[:MAX_DIFFERENCES_SHOWN])) + (f"; and {more} more" if more > 0 else "")


def is_parsed_otherwise(record: LedgerRecord, contract: SourceContract) -> bool:
    """Return whether values were masked for not parsing as the contract said then, and it says another thing now."""
    return bool(record.unparsed_rows) and record.parsed_as != parsed_as(contract)


def rules_change(record: LedgerRecord, contract: SourceContract) -> str:
    """Return the names of rules by which masked rows were not judged as the contract says now; empty where there are none."""
    now, then = judged_before_masking(contract), record.judged_by
    names = [name for name in now if now[name] != then.get(name)]
    more = len(names) - MAX_DIFFERENCES_SHOWN
    return ", ".join(names[:MAX_DIFFERENCES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def masking_notices(
    records: Iterable[LedgerRecord], contracts: Mapping[str, SourceContract], masked_with: str | None
) -> tuple[str, ...]:
    """Return what people should know of current records that are not masked as their contract says now.

    Args:
        records: Current ledger records.
        contracts: Source to contract.
        masked_with: Id of the present key of the masks; None where nothing is masked.

    Returns:
        A sentence per source and difference, by source.
    """
    found: Counter[tuple[str, str]] = Counter()
    for record in records:
        contract = contracts.get(record.source)
        if contract is None:
            continue
        mixed, change = mixing(record, contract), plan_change(record, contract)
        if mixed is not None:
            kept = (
                "kept as they came, and its contract masks"
                if record.masking is None
                else "kept masked, and its contract does not mask"
            )
            found[
                record.source, f"{kept}: nothing more is landed of it; start a new root, or name the source anew"
            ] += 1
        elif change:
            found[
                record.source, f"were landed under another `pii` section ({change}); land them again as they came"
            ] += 1
        elif record.masking is not None and masked_with is not None and record.masked_with != masked_with:
            why = (
                f"are masked with the key {record.masked_with}, the present one is {masked_with}: equal values have "
                "other masks before and after; land them again as they came to have one key"
            )
            found[record.source, why] += 1
        elif is_parsed_otherwise(record, contract):
            why = (
                "hold rows of which a value did not parse as the contract then said, and was masked; land them again as "
                "they came to have these values read as it says now"
            )
            found[record.source, why] += 1
        elif rules_change(record, contract):
            why = (
                f"were masked before rules were as they are now ({rules_change(record, contract)}); land them again as "
                "they came to have their rows judged by these"
            )
            found[record.source, why] += 1
    return tuple(
        f"{source}: {count:,} landed file{'s' if count > 1 else ''} {why}"
        for (source, why), count in sorted(found.items())
    )
