"""How many events each hour starts: hour-of-day shape, weekend, and a day's own luck.

Belongs here: the split of the asked number of events over hours, exact to the event. Does not belong
here: what happens within an hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from ml_data_platform.generator.draws import Draws, Stream

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
PART_EVENTS = 131_072
_WEEKDAY_WEIGHTS = (96, 98, 100, 104, 112, 74, 68)
_WORKDAY_HOURS = (5, 3, 2, 1, 1, 2, 4, 7, 10, 12, 13, 13, 14, 13, 12, 12, 13, 14, 16, 18, 19, 16, 12, 8)
_WEEKEND_HOURS = (9, 7, 4, 2, 1, 1, 2, 3, 6, 10, 14, 17, 18, 17, 16, 15, 14, 14, 14, 15, 15, 14, 12, 10)


@dataclass(frozen=True)
class Hour:
    """One hour in which sessions start.

    Attributes:
        index: Hours since the start of the first day.
        events: Events of the sessions that start in it, before duplication.
        first_number: Number of its first event among all events.
    """

    index: int
    events: int
    first_number: int

    @property
    def parts(self) -> int:
        """Number of equal parts to generate the hour in, so that memory stays bounded."""
        return max(1, -(-self.events // PART_EVENTS))

    def part_events(self, part: int) -> tuple[int, int]:
        """Return the number of events of a part, and the number of its first event among all events."""
        first, last = (self.events * edge // self.parts for edge in (part, part + 1))
        return last - first, self.first_number + first


def plan_hours(start: date, days: int, events_per_day: int, seed: int) -> tuple[Hour, ...]:
    """Split ``days * events_per_day`` events over the hours of the days from ``start`` on (UTC).

    Returns:
        One ``Hour`` per hour, in order; their events add up to the total exactly.
    """
    luck = Draws(seed, Stream.DAYS).below(days, 201)
    weights: list[int] = []
    for day in range(days):
        weekday = (start + timedelta(day)).weekday()
        shape = _WEEKEND_HOURS if weekday >= 5 else _WORKDAY_HOURS
        of_day = _WEEKDAY_WEIGHTS[weekday] * (900 + int(luck[day])) * 1_000
        weights.extend(of_day * hour // sum(shape) for hour in shape)
    total, whole, before, hours = days * events_per_day, sum(weights), 0, []
    for index, weight in enumerate(weights):
        first = total * before // whole
        before += weight
        hours.append(Hour(index=index, events=total * before // whole - first, first_number=first))
    return tuple(hours)
