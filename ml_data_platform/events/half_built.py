"""Days of which a build was interrupted: something was published since, and what reads it was not built from it.

Belongs here: telling them from days that are merely due. Does not belong here: what is due (``planning``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from ml_data_platform.events.lateness import ONE_DAY
from ml_data_platform.events.planning import UPSTREAM, Decision, State, Status


def half_built_days(state: State, decisions: Iterable[Decision]) -> set[dt.date]:
    """Return the days on which something is to be built from what was published since: a build was interrupted there.

    A day whose rows have not been built at all is none of them: nothing before it was published since.
    """
    found = set()
    for each in decisions:
        head = state.head(each.asset, each.day)
        if each.status not in {Status.DIRTY, Status.WAITING}:
            continue
        for upstream, offset in UPSTREAM[each.asset]:
            upstream_day = each.day + offset * ONE_DAY
            published = state.head(upstream, upstream_day)
            built_from = head.inputs.get(f"{upstream}/{upstream_day.isoformat()}") if head else None
            if published is not None and (head or not offset) and built_from != published.content:
                found.add(each.day)
    return found
