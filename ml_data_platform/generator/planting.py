"""What goes wrong on the way: late rows, damaged rows, duplicates.

Belongs here: which rows are affected, and how late. Does not belong here: what damage looks like in the
text (``damage``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml_data_platform.generator.draws import Draws, Ints, UInts, threshold
from ml_data_platform.generator.kinds import BROKEN_KINDS, CODES, DUPLICATE_KINDS, UNDATED_KINDS
from ml_data_platform.generator.options import GeneratorOptions
from ml_data_platform.generator.rhythm import DAY_MS, HOUR_MS
from ml_data_platform.generator.sessions import Rows

MAX_DELAY_MS = 3 * DAY_MS
MAX_COPY_DELAY_MS = DAY_MS
_MINUTE_MS = 60_000
# (weight, least delay, bound of what is added)
_DELAYS = (
    (40, 2 * _MINUTE_MS, HOUR_MS),
    (35, HOUR_MS, 5 * HOUR_MS),
    (15, 6 * HOUR_MS, 18 * HOUR_MS),
    (10, DAY_MS, MAX_DELAY_MS - DAY_MS),
)
_DELAY_EDGES = np.cumsum(np.array([delay[0] for delay in _DELAYS], dtype=np.uint64), dtype=np.uint64)
_DELAY_LEAST = np.array([delay[1] for delay in _DELAYS])
_DELAY_SPREAD = np.array([delay[2] for delay in _DELAYS], dtype=np.uint64)
_DAMAGED_KINDS = (*BROKEN_KINDS, *UNDATED_KINDS)
_DAMAGED_CODES = np.array([*(CODES[kind] for kind in _DAMAGED_KINDS), CODES["clean"]], dtype=np.uint8)


@dataclass(frozen=True)
class Plan:
    """The shares as thresholds of 32-bit draws.

    Attributes:
        late_share: Share of rows that arrive in a later hour.
        duplicate_edges: Cumulated thresholds of the duplicate kinds.
        damage_edges: Cumulated thresholds of the broken, then the undated kinds.
        poisoned_edges: The same for rows of the poisoned day.
        poisoned_day_index: The poisoned day as days since 1970, or None.
    """

    late_share: float
    duplicate_edges: UInts
    damage_edges: UInts
    poisoned_edges: UInts
    poisoned_day_index: int | None

    @classmethod
    def of(cls, options: GeneratorOptions) -> Plan:
        """Return the plan that meets ``options``."""
        broken = list(options.shares(BROKEN_KINDS).values())
        undated = list(options.shares(UNDATED_KINDS).values())
        whole = sum(broken)
        parts = [share / whole for share in broken] if whole else [1 / len(broken)] * len(broken)
        poisoned = [options.poisoned_share * part for part in parts]
        day = options.poisoned_day
        return cls(
            late_share=options.late_share,
            duplicate_edges=_edges(list(options.shares(DUPLICATE_KINDS).values())),
            damage_edges=_edges(broken + undated),
            poisoned_edges=_edges(poisoned + undated),
            poisoned_day_index=None if day is None else day.toordinal() - 719_163,
        )


def plant(draws: Draws, rows: Rows, plan: Plan) -> Rows:
    """Make some of the clean rows late, damage some, and add copies of some that stayed clean.

    Args:
        draws: The stream of these rows alone.
        rows: Clean rows; changed in place.
        plan: The shares.

    Returns:
        The rows, then the copies. A copy has the event's number and time; it arrives in the same hour as
        the original (``duplicate_within_file``) or in a later one.
    """
    _delay(draws, rows, plan.late_share)
    units = draws.units(len(rows))
    place = np.searchsorted(plan.damage_edges, units, side="right")
    if plan.poisoned_day_index is not None:
        is_poisoned = rows["time_ms"] // DAY_MS == plan.poisoned_day_index
        place = np.where(is_poisoned, np.searchsorted(plan.poisoned_edges, units, side="right"), place)
    rows["kind"] = _DAMAGED_CODES[place]
    return np.concatenate([rows, _copies(draws, rows, plan.duplicate_edges)])


def _delay(draws: Draws, rows: Rows, share: float) -> None:
    late = np.flatnonzero(draws.hits(share, len(rows)))
    bucket = draws.weighted(len(late), _DELAY_EDGES)
    added = (draws.units(len(late)) * _DELAY_SPREAD[bucket]) >> np.uint64(32)
    arrival = rows["time_ms"][late] + _DELAY_LEAST[bucket] + added.astype(np.int64)
    rows["arrival_ms"][late] = np.maximum(arrival, _next_hour(rows["time_ms"][late]))


def _copies(draws: Draws, rows: Rows, edges: UInts) -> Rows:
    place = np.searchsorted(edges, draws.units(len(rows)), side="right")
    chosen = np.flatnonzero((place < len(DUPLICATE_KINDS)) & (rows["kind"] == CODES["clean"]))
    copies = rows[chosen]
    copies["kind"] = CODES[DUPLICATE_KINDS[0]] + place[chosen]
    next_hour = _next_hour(copies["arrival_ms"])
    soon = np.minimum(copies["arrival_ms"] + draws.below(len(copies), 30_000), next_hour - 1)
    later = next_hour + draws.skewed(len(copies), MAX_COPY_DELAY_MS)
    copies["arrival_ms"] = np.where(copies["kind"] == CODES["duplicate_within_file"], soon, later)
    is_other_version = copies["kind"] == CODES["duplicate_across_versions"]
    copies["version"] = np.where(is_other_version, 3 - copies["version"], copies["version"])
    return copies


def _next_hour(time_ms: Ints) -> Ints:
    following: npt.NDArray[np.int64] = (time_ms // HOUR_MS + 1) * HOUR_MS
    return following


def _edges(shares: list[float]) -> UInts:
    running, edges = 0.0, []
    for share in shares:
        running += share
        edges.append(threshold(min(running, 1.0)))
    return np.array(edges, dtype=np.uint64)
