"""The runs that are due: the planner's answer, put together by layer and day.

Belongs here: which partitions one run builds. Does not belong here: what is to be done about each (``planning``), or which
of these runs are asked for (``defs.requests``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ml_data_platform.events.planning import LAYERS, Decision, Status


@dataclass(frozen=True, order=True)
class DueRun:
    """One run that is due: the dirty assets of one layer and day."""

    layer: int
    day: dt.date
    assets: tuple[str, ...]


def due_runs(decisions: Iterable[Decision], layers: Sequence[Sequence[str]] = LAYERS) -> list[DueRun]:
    """Return the runs that are due, earliest layer and day first.

    A run holds what is dirty in its layer on its day, and what waits there behind it.
    """
    open_assets: dict[tuple[int, dt.date], list[Decision]] = {}
    layer_of = {asset: number for number, layer in enumerate(layers) for asset in layer}
    for each in decisions:
        if each.status in {Status.DIRTY, Status.WAITING}:
            open_assets.setdefault((layer_of[each.asset], each.day), []).append(each)
    return sorted(
        DueRun(layer, day, tuple(each.asset for each in found))
        for (layer, day), found in open_assets.items()
        if any(each.status is Status.DIRTY for each in found)
    )
