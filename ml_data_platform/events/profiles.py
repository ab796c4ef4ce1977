"""What the values of one landed column look like.

Belongs here: counting texts and telling numbers, flags and times of day by their form. Does not belong here: what
a column means (inference) and reading files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from ml_data_platform.events.number_marks import guess_marks
from ml_data_platform.events.readings import INTEGER, NUMBER

COMMA_NUMBER = r"[+-]?[0-9]+,[0-9]+"
NESTED = "\0nested"
"""Stands for an object or array that is no value."""
MAX_SHOWN = 40


@dataclass(frozen=True)
class ColumnProfile:
    """The values of one column in the rows that were read.

    Attributes:
        name: Landed column; parts of a path are joined by dots.
        rows: Rows read.
        counts: Text to number of rows; rows without a value are not in it.
        nested: Rows in which an object or array stands.
    """

    name: str
    rows: int
    counts: Mapping[str, int]
    nested: int = 0

    @cached_property
    def filled(self) -> int:
        """Rows with a value that is no object or array."""
        return sum(self.counts.values())

    @property
    def distinct(self) -> int:
        """Different values."""
        return len(self.counts)

    @property
    def filled_share(self) -> float:
        """Share of the rows that have a value, 0..1."""
        return self.filled / self.rows if self.rows else 0.0

    @property
    def distinct_share(self) -> float:
        """Different values per row with a value, 0..1; 1 = no value occurs twice."""
        return self.distinct / self.filled if self.filled else 0.0

    @property
    def examples(self) -> tuple[str, ...]:
        """The three most frequent values, each bounded."""
        frequent = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))[:3]
        return tuple(text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…" for text, _ in frequent)

    def share(self, pattern: str) -> float:
        """Return the share of the rows with a value whose whole text matches a regular expression."""
        compiled = re.compile(pattern)
        matching = sum(count for text, count in self.counts.items() if compiled.fullmatch(text))
        return matching / self.filled if self.filled else 0.0

    @cached_property
    def integers(self) -> float:
        """Share of values that are decimal integers."""
        return self.share(INTEGER)

    @cached_property
    def numbers(self) -> float:
        """Share of values that are decimal numbers with a point or none."""
        return self.share(NUMBER)

    @cached_property
    def comma_numbers(self) -> float:
        """Share of values that are numbers with a decimal comma."""
        return self.share(COMMA_NUMBER)

    @cached_property
    def number_marks(self) -> tuple[str, str] | None:
        """What stands between thousands and before decimals, where all values are numbers and some have thousands."""
        return guess_marks(self.counts)

    @cached_property
    def is_binary(self) -> bool:
        """Whether all values are 0 or 1, and both occur."""
        return set(self.counts) == {"0", "1"}


def profile_rows(rows: Iterable[Mapping[str, str | None]]) -> dict[str, ColumnProfile]:
    """Profile all columns of some rows.

    Args:
        rows: Column to text per row; ``NESTED`` stands for an object or array. A text of blanks is no value.

    Returns:
        Column to profile, columns in the order in which they were first seen.
    """
    counts: dict[str, Counter[str]] = {}
    nested: Counter[str] = Counter()
    total = 0
    for row in rows:
        total += 1
        for name, text in row.items():
            found = counts.setdefault(name, Counter())
            if text == NESTED:
                nested[name] += 1
            elif text is not None and text.strip():
                found[text] += 1
    return {name: ColumnProfile(name, total, dict(found), nested[name]) for name, found in counts.items()}
