"""Which fields of a source are filled, with what, and which events it has: a day against the days before it.

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
# Events of a type come and go with sessions. Less proof will do where each of some days had them, or where a text that
# was never seen takes their place.
DAYS_OF_HABIT, HABIT_RANGE, CHANCE_OF_HABIT, VALUES_TO_MISS_IF_STEADY, MAX_TEXTS = 3, 2, 1e-2, 3, 20
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
class EventTypes:
    """The event types of one source and day.

    Attributes:
        known: Event type to its rows, of rows whose text the contract knows.
        by_default: Rows whose text it does not know, or that have none.
        texts: The most frequent such texts, shortened, with their rows; one that is not among them may have been there.
    """

    known: Mapping[str, int] = field(default_factory=dict)
    by_default: int = 0
    texts: Mapping[str, int] = field(default_factory=dict)

    @property
    def has_all_texts(self) -> bool:
        """Whether no text under the default is left out."""
        return len(self.texts) < MAX_TEXTS


@dataclass(frozen=True)
class SourceProfile:
    """The fields and events of one source on one day.

    Attributes:
        rows: Valid rows that were looked at.
        fields: Field that the contract maps, or name of another landed column, to what it holds.
        types: Their event types; none where no column has them, and of days that were built before they were counted.
    """

    rows: int
    fields: Mapping[str, FieldProfile] = field(default_factory=dict)
    types: EventTypes | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the profile as plain values."""
        types = self.types
        return {
            "rows": self.rows,
            "fields": {name: [each.filled, each.kind, each.of_kind] for name, each in sorted(self.fields.items())},
            **({"types": [dict(types.known), types.by_default, dict(types.texts)]} if types else {}),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> SourceProfile:
        """Read what `to_json` wrote."""
        fields = {name: FieldProfile(*each) for name, each in stored["fields"].items()}
        return cls(stored["rows"], fields, EventTypes(*stored["types"]) if "types" in stored else None)


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


def unusual_types(source: str, today: SourceProfile, before: Iterable[SourceProfile]) -> tuple[str, ...]:
    """Return a line for each event type of a source that is gone, and one where far more falls under the default.

    Args:
        source: Its name, for the lines.
        today: Its events on the day.
        before: Its events on each of the days before that are compared with, in any order.
    """
    days = [(day.types, day.rows) for day in before if day.rows and day.types is not None]
    if not days or not today.rows or today.types is None:
        return ()
    now, rows = today.types, today.rows
    new = _new_texts(now, [types for types, _ in days])
    lines = []
    for name in sorted({name for types, _ in days for name in types.known}):
        counts = [(types.known.get(name, 0), total) for types, total in days]
        if _is_type_gone(now.known.get(name, 0), rows, counts, max(new.values(), default=0)):
            lines.append(f"event type {name} is {now.known.get(name, 0):,} of {rows:,} rows, before {_totals(counts)}")
    counts = [(types.by_default, total) for types, total in days]
    share, usual, of = now.by_default / rows, sum(count for count, _ in counts), sum(total for _, total in counts)
    if share > usual / of and _is_far_off(share, rows, [count / total for count, total in counts], usual / of, of):
        lines.append(f"{now.by_default:,} of {rows:,} rows fall under the default event type, before {_totals(counts)}")
    shown = ", ".join(f"{text} in {count:,}" for text, count in list(new.items())[:5])
    hint = f"; new under the default: {shown}" if shown else ""
    return tuple(bounded(f"{source}: {line}{hint}", 300) for line in lines[:MAX_LINES])


def _new_texts(today: EventTypes, before: Sequence[EventTypes]) -> dict[str, int]:
    """Return the texts under the default that no day before had, the most frequent first; none where texts are many."""
    if not all(day.has_all_texts for day in before):
        return {}
    seen = {text for day in before for text in day.texts}
    found = [(text, count) for text, count in today.texts.items() if text not in seen]
    return dict(sorted(found, key=lambda each: (-each[1], each[0])))


def _is_type_gone(now: int, rows: int, before: Sequence[tuple[int, int]], most_new: int) -> bool:
    """Whether an event type is missed by far, by habit, or where a new text takes its place."""
    if _is_gone(now, rows, before):
        return True
    missed, is_steady = rows * sum(count for count, _ in before) / sum(total for _, total in before), _is_steady(before)
    fewest = VALUES_TO_MISS_IF_STEADY if is_steady else VALUES_TO_MISS
    is_replaced = min(missed, most_new) >= max(fewest, missed / 2)
    is_missed = is_steady and min(count / total for count, total in before) * rows >= VALUES_TO_MISS
    is_unlikely = rows * math.log1p(-_usual(before)) < math.log(CHANCE_OF_HABIT)
    return _is_nearly_none(now, rows, before) and (is_replaced or (is_missed and is_unlikely))


def _is_steady(before: Sequence[tuple[int, int]]) -> bool:
    """Whether each of some days had about the same share."""
    shares = [count / total for count, total in before]
    return len(before) >= DAYS_OF_HABIT and 0 < max(shares) <= HABIT_RANGE * min(shares)


def _totals(counts: Sequence[tuple[int, int]]) -> str:
    return f"{sum(count for count, _ in counts):,} of {sum(total for _, total in counts):,}"


def _share_line(name: str, today: SourceProfile, days: Sequence[SourceProfile]) -> str | None:
    rows, now = today.rows, today.fields.get(name, NOWHERE).filled
    counts = [(day.fields.get(name, NOWHERE).filled, day.rows) for day in days]
    filled, of = sum(count for count, _ in counts), sum(count for _, count in counts)
    shares = [count / total for count, total in counts]
    if _is_gone(now, rows, counts) or _is_far_off(now / rows, rows, shares, filled / of, of):
        return f"{name} is filled in {now:,} of {rows:,} rows, before in {filled:,} of {of:,}"
    return None


def _is_gone(now: int, rows: int, before: Sequence[tuple[int, int]]) -> bool:
    """Whether hardly a row has what was usual, and chance does not explain it."""
    usual = _usual(before)
    chance = CHANCE if usual >= USUAL_SHARE else CHANCE_OF_RARE
    return _is_nearly_none(now, rows, before) and rows * math.log1p(-usual) < math.log(chance)


def _is_nearly_none(now: int, rows: int, before: Sequence[tuple[int, int]]) -> bool:
    return sum(count for count, _ in before) >= VALUES_TO_MISS and now <= NEARLY_EMPTY * _usual(before) * rows


def _usual(before: Sequence[tuple[int, int]]) -> float:
    """The median forgives a day that was unusual itself; one more row without a value, a history of few rows."""
    found, of = sum(count for count, _ in before), sum(total for _, total in before)
    return min(median(count / total for count, total in before), found / (of + 1))


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
