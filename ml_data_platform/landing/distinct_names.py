"""Names that tell all columns of a file, or all members of an object, apart.

Belongs here: what a name becomes that is missing, taken or reserved. Does not belong here: whether a file may have such
names (``column_names``). The guarded process imports this: it knows no contract.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

UNPARSED_KEY = "_unparsed"
EXTRA_FIELDS_KEY = "_extra_fields"


def distinct_names(names: Sequence[str]) -> list[str]:
    """Return a name for each name, in order, so that no two are equal and none is blank.

    The first of equal names keeps it, the second of ``x`` becomes ``x#2``; a blank one at place 3 becomes ``_column_3``;
    a reserved one is taken from the start.
    """
    given, taken = set(names), {UNPARSED_KEY, EXTRA_FIELDS_KEY}
    numbers: Counter[str] = Counter()
    found = []
    for place, name in enumerate(names, start=1):
        own = name if name.strip() else f"_column_{place}"
        candidate = own
        while candidate in taken or (candidate != name and candidate in given):
            numbers[own] += 1
            candidate = f"{own}#{numbers[own] + 1}"
        taken.add(candidate)
        found.append(candidate)
    return found


def repeated_names(names: Sequence[str]) -> list[str]:
    """Return the names that occur more than once, or are reserved, sorted."""
    counts = Counter(name for name in names if name.strip())
    return sorted(name for name, count in counts.items() if count > 1 or name in {UNPARSED_KEY, EXTRA_FIELDS_KEY})
