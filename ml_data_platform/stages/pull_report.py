"""What a pull found and did.

Belongs here: the values that a pull answers, and what can be read off them. Does not belong here: pulling.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass

from ml_data_platform.landing.landing import LandedFile
from ml_data_platform.stages.landed_files import REFUSED, summarise
from ml_data_platform.stages.seen_days import SeenDay


@dataclass(frozen=True)
class PulledFile:
    """What a pull did with one file.

    Attributes:
        source: Whose file.
        day: UTC day of the address that it was found at.
        name: The name it goes by in the ledger: its address below the folder that all days share.
        location: Its whole address, without credentials.
        size_bytes: Its size, where it is told.
        outcome: That of landing; or ``unchanged``: fetched before; ``unsettled``: a local file that may still be
            written; ``failed``: not fetched; in a dry run ``new`` or ``changed``.
        landed: What landing did; None where nothing was landed.
        reason: Why it failed or was refused.
        replaced: Contents that the file held before and that are retracted now, hex.
    """

    source: str
    day: dt.date
    name: str
    location: str
    size_bytes: int | None
    outcome: str
    landed: LandedFile | None = None
    reason: str | None = None
    replaced: tuple[str, ...] = ()


@dataclass(frozen=True)
class PullReport:
    """What a pull found and did.

    Attributes:
        days: What lay at the addresses, by day.
        files: One entry per file that was found, by day and name.
    """

    days: tuple[SeenDay, ...]
    files: tuple[PulledFile, ...]

    @property
    def landed(self) -> list[LandedFile]:
        """What landing did with the files that were fetched."""
        return [file.landed for file in self.files if file.landed is not None]

    @property
    def not_fetched(self) -> list[str]:
        """One line for each place that could not be looked at, and each file that could not be fetched."""
        places = [f"{seen.source} {seen.day}: {seen.address}: {seen.failure}" for seen in self.days if seen.failure]
        return places + [_line(file) for file in self.files if file.outcome == "failed"]

    @property
    def refused(self) -> list[str]:
        """One line for each place and file that was not taken in, fetched or not."""
        return self.not_fetched + [_line(file) for file in self.files if file.outcome in REFUSED]

    @property
    def counts(self) -> dict[str, int]:
        """Files by outcome, rows and days of what was landed now, and days where nothing lies."""
        outcomes = Counter(file.outcome for file in self.files)
        return {
            **summarise(self.landed),
            **{f"{outcome}_files": count for outcome, count in sorted(outcomes.items())},
            "files": len(self.files),
            "empty_days": sum(seen.is_empty for seen in self.days),
            "failed_days": sum(seen.failure is not None for seen in self.days),
        }


def _line(file: PulledFile) -> str:
    return f"{file.source} {file.day}: {file.name}: {file.reason}"
