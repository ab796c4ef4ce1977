"""On how many examples a property is tried: a third of the given number in the suite, all of them where it explores.

Belongs here: that one choice. Does not belong here: the examples.
"""

from __future__ import annotations

import os

from hypothesis import settings

IS_EXPLORING = "EXPLORE" in os.environ
"""Whether other examples are tried each time (`make properties`), and not the same ones on every machine."""


def in_suite(count: int) -> int:
    """Return how many of so many examples are tried now."""
    return count if IS_EXPLORING else max(count // 3, 5)


def tried(count: int) -> settings:
    """Return the settings of a property that is tried on so many examples."""
    return settings(max_examples=in_suite(count), deadline=None)
