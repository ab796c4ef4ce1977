"""Guessing how a column of event times is written.

Belongs here: epoch units, ISO-8601 and other formats, told from the texts alone. Does not belong here: reading
event times for good (readings, time_formats), and which column is the event time (inference).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from ml_data_platform.events.readings import EPOCH_FRACTION, INTEGER, LOCAL_INSTANT, OFFSET

UNITS: Mapping[str, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
EARLIEST = dt.datetime(1990, 1, 1, tzinfo=dt.UTC)
"""Event logs on computers hardly begin before; what lies earlier is read in a wrong unit."""
MAX_LOOKED_AT = 400
ENOUGH = 0.9
TIME_OF_DAY = r"([01]?[0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?"
_DATES = (
    "%Y-%m-%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%Y/%m/%d",
    "%d-%m-%Y",
    "%Y%m%d",
    "%d.%m.%y",
    "%d %b %Y",
    "%d-%b-%Y",
    "%d %B %Y",
)
_TIMES = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M:%S %p", "%I:%M %p")
_TAILS = ("", " %z", " UTC", " GMT", "Z")
_FORMATS = (
    *(f"{date} {time}{tail}" for date in _DATES for time in _TIMES for tail in _TAILS),
    *(f"{date}T{time}{tail}" for date in _DATES[:1] for time in _TIMES[:3] for tail in ("", "%z", "Z")),
    "%d/%b/%Y:%H:%M:%S %z",
    "[%d/%b/%Y:%H:%M:%S %z]",
    "%d/%b/%Y:%H:%M:%S",
    "%b %d, %Y %I:%M:%S %p",
    "%b %d, %Y %H:%M:%S",
    "%Y%m%d%H%M%S",
    "%Y%m%d %H%M%S",
)


@dataclass(frozen=True)
class TimeGuess:
    """How a column of event times is probably written.

    Attributes:
        kind: ``epoch``, ``iso``, or ``format``.
        unit: Of an epoch.
        format: In strptime directives, where the kind is ``format``.
        has_offset: Whether each text says its offset from UTC itself.
        share: Share of the texts that can be read so, 0..1.
        first: Earliest time, aware; texts without an offset are taken as UTC.
        last: Latest time, aware.
        alternative: Another format that reads the texts as well, e.g. with day and month swapped.
    """

    kind: Literal["epoch", "iso", "format"]
    share: float
    first: dt.datetime
    last: dt.datetime
    unit: str | None = None
    format: str | None = None
    has_offset: bool = True
    alternative: str | None = None


def guess_time(texts: Iterable[str], *, latest: dt.datetime) -> TimeGuess | None:
    """Guess how event times are written.

    Args:
        texts: Some different texts of the column.
        latest: No event lies later, aware.

    Returns:
        The guess, or None where fewer than nine in ten texts can be read in any one way.
    """
    looked_at = sorted(set(texts))
    step = max(1, len(looked_at) // MAX_LOOKED_AT)
    looked_at = looked_at[::step]
    if not looked_at:
        return None
    return _iso(looked_at) or _epoch(looked_at, latest) or _formatted(looked_at, latest)


def plausible_units(counts: Iterable[int], *, latest: dt.datetime) -> tuple[str, ...]:
    """Return the units in which all integers are times between ``EARLIEST`` and ``latest``."""
    numbers = list(counts)
    if not numbers:
        return ()
    bounds = EARLIEST.timestamp(), latest.timestamp()
    return tuple(
        unit for unit, size in UNITS.items() if bounds[0] <= min(numbers) / size and max(numbers) / size <= bounds[1]
    )


def _iso(texts: list[str]) -> TimeGuess | None:
    pattern, with_offset = re.compile(f"{LOCAL_INSTANT}{OFFSET}?"), re.compile(f"{LOCAL_INSTANT}{OFFSET}")
    matching = [text for text in texts if pattern.fullmatch(text)]
    times = sorted(time for time in map(_iso_time, matching) if time is not None)
    if len(times) < ENOUGH * len(texts):
        return None
    has_offset = all(with_offset.fullmatch(text) for text in matching)
    return TimeGuess("iso", len(times) / len(texts), times[0], times[-1], has_offset=has_offset)


def _iso_time(text: str) -> dt.datetime | None:
    plain = re.sub(r"\[.*\]$| ?(UTC|GMT)$", "", text.upper()).replace(" +", "+").replace(" -", "-").replace(" Z", "Z")
    try:
        time = dt.datetime.fromisoformat(re.sub(r"([.,][0-9]{6})[0-9]+", r"\1", plain))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)


def _epoch(texts: list[str], latest: dt.datetime) -> TimeGuess | None:
    numbers = [int(Decimal(text)) for text in texts if re.fullmatch(f"{INTEGER}|{EPOCH_FRACTION}", text)]
    if len(numbers) < ENOUGH * len(texts):
        return None
    for unit, size in UNITS.items():
        fitting = [number for number in numbers if plausible_units([number], latest=latest) == (unit,)]
        if len(fitting) >= ENOUGH * len(texts):
            first, last = (dt.datetime.fromtimestamp(edge(fitting) / size, tz=dt.UTC) for edge in (min, max))
            return TimeGuess("epoch", len(fitting) / len(texts), first, last, unit=unit)
    return None


def _formatted(texts: list[str], latest: dt.datetime) -> TimeGuess | None:
    found: list[TimeGuess] = []
    for written_as in _FORMATS:
        # Most formats fail on the first text, and reading all of them is dear.
        if _read(texts[0], written_as) is None and _read(texts[-1], written_as) is None:
            continue
        times = [time for time in (_read(text, written_as) for text in texts) if time is not None]
        times = sorted(time for time in times if EARLIEST <= time <= latest)
        if len(times) >= ENOUGH * len(texts):
            share = len(times) / len(texts)
            has_offset = "%z" in written_as or written_as.endswith(("UTC", "GMT", "Z"))
            found.append(TimeGuess("format", share, times[0], times[-1], format=written_as, has_offset=has_offset))
    if not found:
        return None
    is_unpadded = any(re.match(r"[0-9]/|[0-9]{2}/[0-9]/", text) for text in texts)
    # Days and months that are swapped scatter a few days over the year.
    best, *others = sorted(
        found, key=lambda guess: (-guess.share, guess.last - guess.first, _is_odd(guess.format or "", is_unpadded))
    )
    other = next((guess.format for guess in others if guess.share == best.share), None)
    return TimeGuess(**{**vars(best), "alternative": other})


def _is_odd(written_as: str, is_unpadded: bool) -> bool:
    """A 12-hour clock, or slashes without zeros, go with the month before the day, others with the day before the month."""
    return ("%p" in written_as or is_unpadded) != written_as.startswith(("%m", "%b"))


def _read(text: str, written_as: str) -> dt.datetime | None:
    if written_as.endswith("%f"):
        text = re.sub(r"([.][0-9]{6})[0-9]+$", r"\1", text)
    try:
        time = dt.datetime.strptime(text, written_as)  # noqa: DTZ007 - the zone is added below
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)


def guess_date(texts: Iterable[str]) -> str | None:
    """Return the format of texts that are dates without a time of day, or None.

    Args:
        texts: Some different texts of a column.
    """
    looked_at = sorted(set(texts))[:MAX_LOOKED_AT]
    for written_as in _DATES:
        if looked_at and all(_read(text, written_as) is not None for text in looked_at):
            return written_as
    return None
