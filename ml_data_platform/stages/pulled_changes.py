"""What follows when a file under the same address has another content.

Belongs here: retracting what a corrected file held before, where its contract says `on_change: replace`. Does not
belong here: noticing the change (``seen_days``), and retracting itself (``decisions``).

What is to be retracted follows from the records of what was fetched, at each pull: one that was killed in between is
made good by the next.
"""

from __future__ import annotations

from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.stages.decisions import replace_landed
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.state import landed_records
from ml_data_platform.storage.ledger import LedgerRecord
from ml_data_platform.storage.pulled_versions import DayOfVersions
from ml_data_platform.storage.remote_files import RemoteFile


def replaces(contract: SourceContract) -> bool:
    """Tell whether a corrected file takes the place of what it held before."""
    return contract.pull is not None and contract.pull.on_change == "replace"


def retract_others(
    platform: Platform, contract: SourceContract, versions: DayOfVersions, file: RemoteFile, record: LedgerRecord
) -> tuple[str, ...]:
    """Retract what a file held before in favour of what it holds now.

    Nothing is retracted in favour of a content without rows of any day, nor what lies under another name too.

    Args:
        platform: The opened root.
        contract: The contract of its source.
        versions: What was fetched from the file's day.
        file: As it was fetched last.
        record: The ledger record of its present content.

    Returns:
        The contents that are retracted now, hex.
    """
    source = contract.source
    if not replaces(contract) or record.fragment is None:
        return ()
    ledger = platform.ledger
    standings = ledger.decisions.standings(source)
    own = standings.get(record.sha256)
    if own is not None and own.is_retracted and own.replaced_by is None:
        # A person took the present content back: a pull does not bring it back for the sake of what it replaced.
        return ()
    done = []
    landed = contents_of(platform, source)
    for old in versions.other_contents(file, record.sha256):
        is_retracted = old in standings and standings[old].is_retracted
        if is_retracted or old not in landed or set(ledger.names(source, old)) - {file.name}:
            continue
        replace_landed(platform, source, old, record)
        done.append(old)
    return tuple(done)


def contents_of(platform: Platform, source: str) -> dict[str, LedgerRecord]:
    """Return the records of a source by content, whichever contract or key they were landed under."""
    return {record.sha256: record for record in landed_records(platform) if record.source == source}
