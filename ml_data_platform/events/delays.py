"""How late rows came: counts of delays in buckets, which add up over files.

Belongs here: the buckets, their text form and the quantiles that they lead to. Does not belong here: when a file
arrived (``lateness``).

Quantiles of several files do not follow from the quantiles of each. Counts in buckets of equal relative width do add
up, and give every quantile with a relative error of at most 1 %.

Source: Masson, Rim, Lee: DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees, VLDB 2019.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

RELATIVE_ERROR = 0.01
GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)


@dataclass(frozen=True)
class Delays:
    """Delays of some rows, in seconds from event to arrival; one second or less, also negative ones, count as 0.

    Attributes:
        rows: Bucket to number of rows. Bucket 0 holds delays of up to 1 s, bucket k those in (g^(k-1), g^k] seconds
            with g = GAMMA.
        max_seconds: The longest delay, exactly; none without rows.
    """

    rows: Mapping[int, int] = field(default_factory=dict)
    max_seconds: float | None = None

    def quantile(self, share: float) -> float | None:
        """Return the delay in seconds that ``share`` of the rows do not exceed, within 1 %; None without rows."""
        total = sum(self.rows.values())
        if not total or self.max_seconds is None:
            return None
        rank, below = max(1, math.ceil(share * total)), 0
        for bucket in sorted(self.rows):
            below += self.rows[bucket]
            if below >= rank:
                middle = 2 * GAMMA**bucket / (GAMMA + 1) if bucket else 0.0
                return min(middle, max(self.max_seconds, 0.0))
        raise AssertionError(rank)

    def to_text(self) -> str:
        """Return the one text form, short because each file has one for each of its days."""
        buckets = " ".join(f"{bucket}:{rows}" for bucket, rows in sorted(self.rows.items()))
        return f"{self.max_seconds} {buckets}"

    @classmethod
    def of_text(cls, text: str) -> Delays:
        """Read what `to_text` wrote; raises ValueError for anything else."""
        longest, *buckets = text.split(" ")
        pairs = (bucket.partition(":") for bucket in buckets)
        return cls({int(bucket): int(rows) for bucket, _, rows in pairs}, float(longest))


def merged(parts: Iterable[Delays]) -> Delays:
    """Return the delays of all rows together."""
    rows: Counter[int] = Counter()
    longest: list[float] = []
    for part in parts:
        rows.update(part.rows)
        longest += [part.max_seconds] if part.max_seconds is not None else []
    return Delays(dict(rows), max(longest, default=None))


def bucket_sql(seconds: str) -> str:
    """Return SQL for the bucket of a delay.

    Args:
        seconds: SQL expression of the delay in seconds, DOUBLE.
    """
    return f"CASE WHEN {seconds} <= 1 THEN 0 ELSE CAST(ceil(ln({seconds}) / {math.log(GAMMA)!r}) AS INTEGER) END"
