"""Sources that stand still for want of a usable contract: which, why, and what waits for them.

Belongs here: saying it once for all commands and sensors. Does not belong here: reading contracts
(``events.contracts``), and deciding which partitions wait (``events.planning``).
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_data_platform.errors import bounded
from ml_data_platform.events.contracts import Contracts
from ml_data_platform.storage.ledger_record import LedgerRecord

MAX_FAULT_CHARACTERS = 600
MAX_NOTICES = 20


def contract_notices(contracts: Contracts, records: Iterable[LedgerRecord]) -> tuple[str, ...]:
    """Return a line for each source whose contract is broken, or is gone although files of it count, by source.

    Args:
        contracts: What could be read, and what could not.
        records: Current ledger records.
    """
    files: dict[str, int] = {}
    days: dict[str, set[str]] = {}
    for record in records:
        if record.source not in contracts:
            files[record.source] = files.get(record.source, 0) + 1
            days.setdefault(record.source, set()).update(record.rows_per_day)
    lines = []
    for source in sorted({*contracts.broken, *files}):
        held = ""
        if source in files:
            names = sorted(days[source])
            shown = f" ({names[0]} to {names[-1]})" if names else ""
            held = f"{files[source]:,} landed files; {len(names):,} days{shown} stay as they are until it can be read"
        if source in contracts.broken:
            fault = bounded(contracts.broken[source], MAX_FAULT_CHARACTERS)
            lines.append(f"{source}: its contract is broken{f', of {held}' if held else ''}. {fault}")
        else:
            lines.append(
                f"{source}: its contract is gone, of {held}. Put it back, or set `sources` to the folder that holds it;"
                f" where it will not come back, take its files back: `ml-data-platform retract SHA --source {source}`."
            )
    more = len(lines) - MAX_NOTICES
    return (*lines[:MAX_NOTICES], *([f"and {more:,} more sources"] if more > 0 else []))
