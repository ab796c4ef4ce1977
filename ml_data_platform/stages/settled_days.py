"""Days that are not as they will be: rows may still arrive within their producers' time, or came and are not built.

Belongs here: what makes a version of the data provisional, and what it may lack. Does not belong here: watermarks (``events.lateness``), and
what a version is (``datasets``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

from ml_data_platform.events.lateness import is_complete
from ml_data_platform.events.planning import Status, plan
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.state import read_state


def unsettled_days(platform: Platform) -> frozenset[str]:
    """Return the days with landed rows whose grace has not ended for one of their sources, ``YYYY-MM-DD``."""
    state = read_state(platform)
    graces = {
        source: dt.timedelta(hours=contract.lateness.grace_period_hours)
        for source, contract in platform.contracts.items()
    }
    return frozenset(
        day.isoformat()
        for day in state.landed
        if not is_settled(day, {source: state.watermarks.get(source) for source in state.sources_of(day)}, graces)
    )


def unbuilt_days(platform: Platform, days: Iterable[str]) -> tuple[str, ...]:
    """Return those of the days ``YYYY-MM-DD`` of which a table is not built from what is there now.

    Days that wait for a contract are among them: without it nobody can tell.
    """
    state, wanted = read_state(platform), {dt.date.fromisoformat(day) for day in days}
    behind = {each.day for each in plan(state, wanted) if each.status in {Status.DIRTY, Status.WAITING}}
    return tuple(sorted(day.isoformat() for day in {*behind, *filter(state.lacking_contracts, wanted)}))


def is_settled(day: dt.date, watermarks: Mapping[str, dt.datetime | None], graces: Mapping[str, dt.timedelta]) -> bool:
    """Tell whether no row of a day is expected any more.

    Args:
        day: UTC day.
        watermarks: Each source with rows of the day to its watermark, aware; none where it has none.
        graces: Source to how long after a day is complete its rows are still taken.
    """
    return all(
        watermark is not None and is_complete(day, watermark - graces.get(source, dt.timedelta()))
        for source, watermark in watermarks.items()
    )
