"""The time that a landed file's name says, e.g. the hour in ``clicks-2026-06-01T13.jsonl``.

Belongs here: reading a name as the contract's section ``file_time`` says. Does not belong here: what follows from that
time (``lateness``).
"""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo

from ml_data_platform.events.contract_parts import FileTime

MAX_NAME = 4_096
MAX_DIGITS = 9


def group_count(pattern: str) -> int | None:
    """Return how many groups a regular expression has; None where it is none."""
    try:
        return re.compile(pattern).groups
    except (re.error, RecursionError, OverflowError):
        return None


def nominal_time(name: str, said: FileTime) -> dt.datetime | None:
    """Return the instant up to which a file holds events, as its name says.

    Args:
        name: The file's path below the folder of its source, ``/`` between the parts.
        said: The contract's section, without fault.

    Returns:
        The end of the file's period, aware; None where the name says none.
    """
    found = re.search(said.pattern, name[:MAX_NAME])
    text = found[1] if found else None
    if text is None:
        return None
    try:
        if said.origin is not None:
            if not re.fullmatch(rf"[0-9]{{1,{MAX_DIGITS}}}", text, re.ASCII):
                return None
            return said.origin.astimezone(dt.UTC) + (int(text) + 1) * dt.timedelta(hours=said.period_hours)
        start = dt.datetime.strptime(text, said.format or "")  # noqa: DTZ007 - the zone follows where the text has none
        if start.tzinfo is None:
            # The later of two instants where the zone's clocks are put back: a time too late waits, one too early
            # would take the hour's events for late.
            start = start.replace(tzinfo=zoneinfo.ZoneInfo(said.zone), fold=1)
        return start.astimezone(dt.UTC) + dt.timedelta(hours=said.period_hours)
    except (ValueError, OverflowError):
        return None
