"""Which column of a file is the event time.

Belongs here: weighing names and readings against each other, and dates whose time of day stands in another column.
Does not belong here: how one column is written (time_guesses).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from ml_data_platform.events.column_roles import AGAINST_TIME, name_score, plain_name
from ml_data_platform.events.profiles import ColumnProfile
from ml_data_platform.events.time_guesses import TIME_OF_DAY, TimeGuess, guess_date, guess_time

ENOUGH_ROWS_HAVE_TIME = 0.5


@dataclass(frozen=True)
class TimeColumn:
    """The column of the event time.

    Attributes:
        column: Landed column.
        guess: How it is probably written; where there is a ``time_column``, how both are, joined by a space.
        time_column: Landed column of the time of day, where the first has only the date.
        others: Other columns that are named and written like times.
    """

    column: str
    guess: TimeGuess
    time_column: str | None = None
    others: tuple[str, ...] = ()


def choose_time(profiles: Mapping[str, ColumnProfile], latest: dt.datetime) -> TimeColumn | None:
    """Choose the column of the event time.

    Args:
        profiles: Column to profile.
        latest: No event lies later, aware.
    """
    found: list[tuple[float, TimeColumn]] = []
    for column, profile in profiles.items():
        if profile.filled_share < ENOUGH_ROWS_HAVE_TIME:
            continue
        guess = guess_time(profile.counts, latest=latest)
        if guess is None:
            found += _in_two_columns(column, profiles, latest)
            continue
        against = 0.3 if AGAINST_TIME.search(plain_name(column)) else 1.0
        # An id may look like an epoch; a text that looks like a time is one.
        unnamed = 0.05 if guess.kind == "epoch" else 0.2
        score = max(name_score(column, "event_time"), unnamed) * against * profile.filled_share
        found.append((score * (0.7 + 0.3 * profile.distinct_share), TimeColumn(column, guess)))
    ranked = sorted(found, key=lambda item: -item[0])
    if not ranked:
        return None
    best = ranked[0][1]
    others = [time.column for _, time in ranked[1:4] if name_score(time.column, "event_time")]
    return TimeColumn(best.column, best.guess, best.time_column, tuple(others))


def _in_two_columns(
    column: str, profiles: Mapping[str, ColumnProfile], latest: dt.datetime
) -> list[tuple[float, TimeColumn]]:
    """A date here and a time of day in another column, which are read joined by a space."""
    written_as = guess_date(profiles[column].counts)
    if written_as is None:
        return []
    for other, profile in profiles.items():
        if other == column or profile.filled_share < ENOUGH_ROWS_HAVE_TIME or profile.share(TIME_OF_DAY) < 0.99:
            continue
        dates, times = sorted(profiles[column].counts), sorted(profile.counts)
        joined = [f"{dates[at % len(dates)]} {times[at % len(times)]}" for at in range(max(len(dates), len(times)))]
        guess = guess_time(joined, latest=latest)
        if guess is not None:
            return [(0.6 * profile.filled_share, TimeColumn(column, guess, other))]
    return []
