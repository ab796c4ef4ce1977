"""Which fields of a source are filled, and with what: a day against the days before it.

Belongs here: what is noted of a day's fields, and when a difference is worth a warning. Does not belong here: counting
(``stages.field_profiles``).

A warning is a comparison with other days, so that it is made when it is read, and no table depends on it.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from ml_data_platform.errors import bounded

NEARLY_EMPTY, VALUES_TO_MISS = 0.05, 5
# A field of nearly every row is missed at once; rows of one session fill rare fields together, so these wait longer.
USUAL_SHARE, CHANCE, CHANCE_OF_RARE = 0.8, 1e-3, 1e-9
STEADY_SHARE, STEADY_CHANGE, CHANGE, DEVIATIONS, ROWS_TO_COMPARE = 0.95, 0.2, 0.5, 5.0, 30
KIND_SHARE, OTHER_KIND_SHARE, VALUES_TO_TELL_A_KIND = 0.95, 0.5, 10
ALIKE = 0.75
MAX_LINES = 20


@dataclass(frozen=True)
class FieldProfile:
    """One field of one source and day.

    Attributes:
        filled: Rows with a value.
        kind: What most values are: ``number``, ``text``, ``number as text``, ``boolean`` or ``nested``; none without
            values, and where schema versions differ in it.
        of_kind: Values that are so.
    """

    filled: int = 0
    kind: str | None = None
    of_kind: int = 0


NOWHERE = FieldProfile()


@dataclass(frozen=True)
class SourceProfile:
    """The fields of one source on one day.

    Attributes:
        rows: Valid rows that were looked at.
        fields: Field that the contract maps, or name of another landed column, to what it holds.
    """

    rows: int
    fields: Mapping[str, FieldProfile] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the profile as plain values."""
        return {
            "rows": self.rows,
            "fields": {name: [each.filled, each.kind, each.of_kind] for name, each in sorted(self.fields.items())},
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> SourceProfile:
        """Read what `to_json` wrote."""
        return cls(stored["rows"], {name: FieldProfile(*each) for name, each in stored["fields"].items()})


def unusual_fields(source: str, today: SourceProfile, before: Iterable[SourceProfile]) -> tuple[str, ...]:
    """Return a line for each field of a source that is emptied, filled otherwise or of another kind than before.

    Args:
        source: Its name, for the lines.
        today: Its fields on the day.
        before: Its fields on each of the days before that are compared with, in any order.
    """
    days = [day for day in before if day.rows]
    if not days or not today.rows:
        return ()
    known = {name for day in days for name, each in day.fields.items() if each.filled}
    new = [name for name, each in today.fields.items() if each.filled and name not in known]
    lines = []
    for name in sorted(known):
        line = _share_line(name, today, days) or _kind_line(name, today, days)
        if line:
            meant = _renamed(name, new) if today.fields.get(name, NOWHERE).filled <= NEARLY_EMPTY * today.rows else None
            hint = f"; {meant} is new, in {today.fields[meant].filled:,}: was it renamed?" if meant else ""
            lines.append(bounded(f"{source}: {line}{hint}", 300))
    return tuple(lines[:MAX_LINES])


def _share_line(name: str, today: SourceProfile, days: Sequence[SourceProfile]) -> str | None:
    rows, now = today.rows, today.fields.get(name, NOWHERE).filled
    counts = [(day.fields.get(name, NOWHERE).filled, day.rows) for day in days]
    filled, of = sum(count for count, _ in counts), sum(count for _, count in counts)
    shares = [count / total for count, total in counts]
    # The median forgives a day that was unusual itself; one more row without a value, a history of few rows.
    usual = min(median(shares), filled / (of + 1))
    chance = CHANCE if usual >= USUAL_SHARE else CHANCE_OF_RARE
    is_emptied = (
        filled >= VALUES_TO_MISS and now <= NEARLY_EMPTY * usual * rows and rows * math.log1p(-usual) < math.log(chance)
    )
    if is_emptied or _is_far_off(now / rows, rows, shares, filled / of, of):
        return f"{name} is filled in {now:,} of {rows:,} rows, before in {filled:,} of {of:,}"
    return None


def _is_far_off(share: float, rows: int, shares: Sequence[float], usual: float, of: int) -> bool:
    """Whether a share lies far from the usual one, for a field that is so steady, and by more than chance gives."""
    spread = max(shares) - min(shares)
    far = STEADY_CHANGE if min(shares) >= STEADY_SHARE else max(CHANGE, STEADY_CHANGE + spread)
    if min(rows, of) < ROWS_TO_COMPARE or abs(share - median(shares)) < far:
        return False
    joint = (share * rows + usual * of) / (rows + of)
    deviation = math.sqrt(joint * (1 - joint) * (1 / rows + 1 / of))
    return abs(share - usual) > DEVIATIONS * deviation


def _kind_line(name: str, today: SourceProfile, days: Sequence[SourceProfile]) -> str | None:
    now, then = today.fields.get(name, NOWHERE), [day.fields.get(name, NOWHERE) for day in days]
    kinds = {each.kind for each in then if each.filled}
    if now.kind is None or len(kinds) != 1 or now.kind in kinds:
        return None
    (usual,) = kinds
    of_kind, filled = sum(each.of_kind for each in then), sum(each.filled for each in then)
    is_told = usual is not None and min(filled, now.filled) >= VALUES_TO_TELL_A_KIND
    if not is_told or of_kind < KIND_SHARE * filled or now.of_kind < OTHER_KIND_SHARE * now.filled:
        return None
    return (
        f"{name} is {now.kind} in {now.of_kind:,} of {now.filled:,} values, before {usual} in {of_kind:,} of {filled:,}"
    )


def _renamed(name: str, new: Sequence[str]) -> str | None:
    """Return the new field whose name is most like that of an emptied one, case and marks aside; none is alike enough."""
    ratios = [(difflib.SequenceMatcher(None, _plain(name), _plain(other)).ratio(), other) for other in new]
    ratio, found = max(ratios, default=(0.0, ""))
    return found if ratio >= ALIKE else None


def _plain(name: str) -> str:
    return re.sub(r"[^0-9a-z]", "", name.casefold())
