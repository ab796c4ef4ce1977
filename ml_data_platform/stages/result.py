"""What every stage takes and gives.

Belongs here: the value types that all stages share. Does not belong here: any stage.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from ml_data_platform.storage.table_store import StagedTable, TableStore
from ml_data_platform.validation.outcomes import CheckOutcome

DAYS_OF_HISTORY = 7


def ratio_to_history(day: dt.date, rows: int, history: Mapping[dt.date, int]) -> float | None:
    """Return the day's rows over the mean rows of the days among the 7 before it that have any record.

    Args:
        day: UTC day.
        rows: Rows of the day.
        history: Rows per earlier day; days without a record are absent.

    Returns:
        The ratio; none where there is no history, or only empty days.
    """
    days = (day - dt.timedelta(days=back) for back in range(1, DAYS_OF_HISTORY + 1))
    previous = [history[earlier] for earlier in days if earlier in history]
    return rows * len(previous) / sum(previous) if sum(previous) else None


class Options(TypedDict):
    """Keyword arguments of ``storage.duck.connect``."""

    folders: Sequence[Path]
    memory_limit: str
    threads: int


@dataclass(frozen=True)
class EngineLimits:
    """Bounds of the query engine.

    Attributes:
        memory_limit: E.g. ``1GB``; what does not fit is spilled to the stage's scratch folder.
        threads: Number of threads; results do not depend on it.
    """

    memory_limit: str = "1GB"
    threads: int = 2

    def options(self, store: TableStore) -> Options:
        """Return how ``storage.duck.connect`` is called for a stage that reads from ``store``."""
        return Options(folders=[store.objects.local_folder], memory_limit=self.memory_limit, threads=self.threads)


@dataclass(frozen=True)
class StageResult:
    """What a stage built for one day: nothing of it is published yet.

    Attributes:
        tables: Asset to staged table. A table that must not be published is not in it.
        checks: Outcome of every rule, also of those that passed.
        metadata: Numbers and short texts about the partition, by asset, under stable keys.
    """

    tables: Mapping[str, StagedTable]
    checks: tuple[CheckOutcome, ...]
    metadata: Mapping[str, Mapping[str, int | float | str]] = field(default_factory=dict)

    @property
    def failed(self) -> tuple[CheckOutcome, ...]:
        """The blocking checks that failed."""
        return tuple(check for check in self.checks if check.blocking and not check.passed)

    @property
    def is_blocked(self) -> bool:
        """Whether a blocking check failed, so that the day must not be published."""
        return bool(self.failed)
