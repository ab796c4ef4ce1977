"""Random integers that are the same on every platform and under every version of numpy.

Belongs here: the seeded stream and the integer transforms of it. Does not belong here: what is drawn.

Only the raw output of PCG64 is used: numpy promises that a bit generator's stream never changes, and
makes no such promise for the distributions built on it (NEP 19). No floating-point function is involved.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache

import numpy as np
import numpy.typing as npt

UInts = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_LOW_16 = np.uint64(0xFFFF)
_32 = np.uint64(32)
_16 = np.uint64(16)


class Stream(IntEnum):
    """What a stream is for; two streams of one seed have nothing to do with each other."""

    DAYS = 1
    HOURS = 2
    EVENT_IDS = 3
    SESSION_IDS = 4
    INCLINATIONS = 5


class Draws:
    """A stream of draws that depends on its arguments and on nothing else.

    Args:
        seed: Seed of the run, 0 to 2**64 - 1.
        stream: What it is for.
        place: Where in the run, e.g. hour and part.
    """

    def __init__(self, seed: int, stream: Stream, *place: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(int(stream), *place)))

    def raw(self, count: int) -> UInts:
        """Return ``count`` integers, uniform over 64 bits."""
        return np.asarray(self._bits.random_raw(count), dtype=np.uint64)

    def units(self, count: int) -> UInts:
        """Return ``count`` integers, uniform over 32 bits: compare them with ``threshold(share)``."""
        return self.raw(count) >> _32

    def below(self, count: int, bound: int) -> Ints:
        """Return ``count`` integers, uniform over 0 to ``bound`` - 1; ``bound`` is at most 2**32."""
        return _scaled(self.units(count), bound)

    def skewed(self, count: int, bound: int) -> Ints:
        """Return ``count`` integers from 0 to ``bound`` - 1, mostly small: a product of three uniforms (mean 1/8)."""
        raw = self.raw(count)
        product = (raw & _LOW_16) * ((raw >> _16) & _LOW_16) * (raw >> np.uint64(48))
        return _scaled(product >> _16, bound)

    def weighted(self, count: int, edges: UInts) -> Ints:
        """Return ``count`` positions, each as often as its weight; ``edges`` are cumulated weights."""
        return np.asarray(np.searchsorted(edges, self.raw(count) % edges[-1], side="right"), dtype=np.int64)

    def hits(self, share: float, count: int) -> Bools:
        """Return ``count`` flags, set with probability ``share``."""
        return self.units(count) < threshold(share)


def _scaled(units: UInts, bound: int) -> Ints:
    return np.asarray((units * np.uint64(bound)) >> _32, dtype=np.int64)


def threshold(share: float) -> np.uint64:
    """Return the 32-bit number below which a share (0 to 1) of uniform draws falls."""
    return np.uint64(int(share * 2**32))


def cumulate(weights: npt.ArrayLike) -> UInts:
    """Return the running sums of integer weights, as ``Draws.weighted`` needs them."""
    return np.cumsum(np.asarray(weights, dtype=np.uint64), dtype=np.uint64)


@cache
def draw_key(seed: int, stream: Stream) -> int:
    """Return a 64-bit key for ``scramble``; the keys of neighbouring seeds are far apart."""
    return int(Draws(seed, stream).raw(1)[0])


def scramble(numbers: UInts, key: int) -> UInts:
    """Return a one-to-one image of 64-bit numbers without visible order.

    Source: the finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
    generators, OOPSLA 2014).
    """
    mixed = numbers ^ np.uint64(key)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
