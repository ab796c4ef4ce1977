"""Sessions: who comes, what they do, when.

Belongs here: the behaviour of users, as arrays of clean rows. Does not belong here: lateness, duplicates
and damage (``planting``), or text (``lines``).

What can be learned from it: a user has a fixed inclination to buy; every ``add_to_cart`` raises the
chance that a later event of the session is a purchase. Nothing else bears on a purchase.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml_data_platform.generator.draws import Draws, Stream, UInts, cumulate, draw_key, scramble, threshold

Rows = npt.NDArray[np.void]
ROW = np.dtype(
    [
        ("number", "u8"),  # place among all events: what the event id is made of
        ("session", "u8"),  # number of the session's first event
        ("time_ms", "i8"),  # event time, milliseconds since 1970 UTC
        ("arrival_ms", "i8"),  # when it reaches the hourly files
        ("user", "u4"),
        ("elapsed_s", "u4"),  # since the session's first event
        ("cents", "u4"),  # of a purchase, else 0
        ("luck", "u4"),  # which variant of damage
        ("page", "u2"),
        ("kind", "u1"),
        ("event_type", "u1"),
        ("sequence", "u1"),
        ("version", "u1"),
        ("zone", "u1"),
        ("client", "u1"),
    ]
)
PAGE_VIEW, SEARCH, ADD_TO_CART, PURCHASE = range(4)
EVENT_TYPE_NAMES = ("page_view", "search", "add_to_cart", "purchase")
PAGES = 512
ZONES = ("Z", "Z", "Z", "+00:00", "+01:00", "+02:00", "-05:00", "+05:30")
CLIENTS = ("", "2.4.0", "2.5.1", "3.0.0", "3.0.1", "3.1.0-beta.2")
LENGTH_WEIGHTS = (18, 16, 14, 11, 9, 7, 6, 5, 4, 3, 2, 2, 1, 1, 1)
MAX_GAP_MS = 1_500_000
MAX_SESSION_MS = (len(LENGTH_WEIGHTS) - 1) * MAX_GAP_MS
_LENGTH_EDGES = cumulate(LENGTH_WEIGHTS)
_INCLINATIONS = np.array([0, 0, 0, 0, 0, 1, 1, 2])
_CART_SHARES = (0.05, 0.10, 0.22)
_SEARCH_SHARE = 0.18
# rows: carts so far in the session (3 = three or more); columns: inclination
_PURCHASE_SHARES = (
    (0.0003, 0.0006, 0.002),
    (0.016, 0.03, 0.07),
    (0.03, 0.06, 0.11),
    (0.05, 0.09, 0.15),
)
_CART_THRESHOLDS = np.array([threshold(share) for share in _CART_SHARES])
_PURCHASE_THRESHOLDS = np.array([[threshold(share) for share in row] for row in _PURCHASE_SHARES])


@dataclass(frozen=True)
class Population:
    """The users: their shares of all sessions, and the key that scrambles their inclinations.

    Attributes:
        edges: Cumulated weights, by user.
        key: What makes the inclinations of two seeds differ.
    """

    edges: UInts
    key: int

    @classmethod
    def of(cls, users: int, seed: int) -> Population:
        """Return ``users`` users whose shares follow the Zipf-Mandelbrot law 1 / (rank + 7)."""
        ranks = np.arange(users, dtype=np.uint64)
        return cls(
            edges=np.cumsum(np.uint64(10**12) // (ranks + np.uint64(8)), dtype=np.uint64),
            key=draw_key(seed, Stream.INCLINATIONS),
        )

    def inclinations(self, users: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the inclination to buy (0 to 2) of each user."""
        return _INCLINATIONS[(scramble(users.astype(np.uint64), self.key) % np.uint64(8)).astype(np.int64)]


def draw_sessions(
    draws: Draws,
    population: Population,
    *,
    events: int,
    first_number: int,
    start_ms: int,
    end_ms: int,
    v2_share: float,
) -> Rows:
    """Draw sessions that start in a stretch of time and have so many events together.

    Args:
        draws: The stream of this stretch alone.
        population: Whose sessions they are.
        events: Number of events; the last session is cut to fit.
        first_number: Number of the first event among all events.
        start_ms: Inclusive start of the stretch, milliseconds since 1970 UTC.
        end_ms: Exclusive end of it.
        v2_share: Share of sessions whose client writes row format v2.

    Returns:
        One row per event, sorted by session and sequence; all clean, arriving at their event time.
    """
    lengths = _session_lengths(draws, events)
    count = len(lengths)
    first = np.cumsum(lengths) - lengths
    session = np.repeat(np.arange(count), lengths)
    users = draws.weighted(count, population.edges)
    starts = start_ms + draws.below(count, end_ms - start_ms)
    versions = 1 + draws.hits(v2_share, count).astype(np.uint8)

    rows = np.zeros(events, dtype=ROW)
    rows["number"] = np.uint64(first_number) + np.arange(events, dtype=np.uint64)
    rows["session"] = np.uint64(first_number) + first.astype(np.uint64)[session]
    rows["user"] = users[session]
    rows["version"] = versions[session]
    rows["zone"] = draws.below(count, len(ZONES))[session]
    rows["client"] = np.where(versions == 2, draws.below(count, len(CLIENTS)), 0)[session]
    rows["sequence"] = 1 + np.arange(events) - first[session]

    gaps = draws.skewed(events, MAX_GAP_MS)
    gaps[first] = 0
    passed = np.cumsum(gaps)
    offsets = passed - passed[first][session]
    rows["time_ms"] = rows["arrival_ms"] = starts[session] + offsets
    rows["elapsed_s"] = offsets // 1000
    rows["page"] = draws.below(events, PAGES)
    rows["luck"] = draws.units(events)
    _behave(draws, rows, population.inclinations(users)[session], first[session])
    return rows


def _session_lengths(draws: Draws, events: int) -> npt.NDArray[np.int64]:
    lengths = np.zeros(0, dtype=np.int64)
    while lengths.sum() < events:
        lengths = np.concatenate([lengths, 1 + draws.weighted(events // 4 + 8, _LENGTH_EDGES)])
    ends = np.cumsum(lengths)
    last = int(np.searchsorted(ends, events))
    lengths = lengths[: last + 1]
    lengths[last] -= int(ends[last]) - events
    return lengths


def _behave(draws: Draws, rows: Rows, inclination: npt.NDArray[np.int64], session_first: npt.NDArray[np.int64]) -> None:
    """Fill in event types and amounts: carts first, then purchases by the carts before them."""
    choice = draws.units(len(rows))
    is_cart = choice < _CART_THRESHOLDS[inclination]
    is_search = ~is_cart & (choice >= threshold(1 - _SEARCH_SHARE))
    carts: npt.NDArray[np.int64] = np.cumsum(is_cart) - is_cart
    carts_before = np.minimum(carts - carts[session_first], 3)
    is_purchase = ~is_cart & (draws.units(len(rows)) < _PURCHASE_THRESHOLDS[carts_before, inclination])
    rows["event_type"] = np.select([is_purchase, is_cart, is_search], [PURCHASE, ADD_TO_CART, SEARCH], PAGE_VIEW)
    rows["cents"][is_purchase] = 199 + draws.skewed(int(is_purchase.sum()), 90_000)
