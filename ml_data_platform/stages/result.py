"""What every stage takes and gives.

Belongs here: the value types that all stages share. Does not belong here: any stage.
"""

from __future__ import annotations

import datetime as dt
import math
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


def most_unusual_ratio(
    day: dt.date, rows: Mapping[str, int], history: Mapping[str, Mapping[dt.date, int]]
) -> tuple[float | None, tuple[str, ...]]:
    """Return the ratio to its history of the source that differs most from its own, so that no source hides another.

    Args:
        day: UTC day.
        rows: Source to its rows of the day.
        history: Source to its rows per earlier day; days without a record of it are absent.

    Returns:
        The ratio, none where no source has a history; and one line for each source that has one, the most unusual first.
    """
    found = []
    for source in sorted({*rows, *history}):
        ratio = ratio_to_history(day, rows.get(source, 0), history.get(source, {}))
        if ratio is not None:
            found.append((max(ratio, 1 / ratio) if ratio else math.inf, source, ratio))
    found.sort(key=lambda each: (-each[0], each[1]))
    lines = tuple(f"{source}: {rows.get(source, 0):,} rows, {ratio:.3g} times the mean" for _, source, ratio in found)
    return (found[0][2] if found else None), lines


@dataclass(frozen=True)
class SourceShares:
    """The share of each source's rows of a day that something befell.

    Attributes:
        rows: Source to its rows of the day.
        affected: Source to those of them that it befell.
    """

    rows: Mapping[str, int]
    affected: Mapping[str, int]

    @property
    def largest(self) -> float | None:
        """The largest share of a source; none where there are no rows."""
        return max((self._share(source) for source in self.rows), default=None)

    def largest_of(self, fewest: int) -> float | None:
        """Return the largest share of the sources with so many affected rows; 0 where none has, none without rows.

        Args:
            fewest: Affected rows of a source from which on its share counts.
        """
        shares = [self._share(source) for source in self.rows if fewest <= self.affected.get(source, 0)]
        return max(shares, default=0.0) if self.rows else None

    @property
    def lines(self) -> tuple[str, ...]:
        """One line for each source, the largest share first."""
        ranked = sorted(self.rows, key=lambda source: (-self._share(source), source))
        return tuple(f"{source}: {self.affected.get(source, 0):,} of {self.rows[source]:,} rows" for source in ranked)

    def _share(self, source: str) -> float:
        return self.affected.get(source, 0) / self.rows[source]


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
