"""A history of built days to which a few late rows come, and what exactly they must lead to.

Belongs here: the history, the late rows, and what must be rebuilt, stated from what the rows are. Does not belong here:
how long anything takes (``benchmarks.late_rows``).
"""

from __future__ import annotations

import datetime as dt
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_data_platform.settings import Settings
from ml_data_platform.stages.landed_files import land_named
from ml_data_platform.stages.state import TABLES
from ml_data_platform_tests.pipeline_root import SHOP, START, settings_for, shop_lines
from ml_data_platform_tests.schedules import Loop, due_now, empty_root

ROWS_PER_DAY = 20
RUNS_PER_TICK = 50
EVENTS_OF_A_DAY = ("raw_events", "validated_events", "quarantined_events", "session_summaries")
TRAINING_PARTITIONS = ("date_partitions", "label_partitions", "stratified_partitions")


@dataclass(frozen=True)
class Repair:
    """What late rows led to.

    Attributes:
        rebuilt: Table to the days with a new generation.
        changed: Table to the days with other bytes.
        runs: Runs that were started.
        planning_seconds: Processor time of reading the state and planning once, after the rows had landed.
        due_again: Runs that were still due in the end.
    """

    rebuilt: dict[str, set[dt.date]]
    changed: dict[str, set[dt.date]]
    runs: int
    planning_seconds: float
    due_again: int


def day_of(number: int) -> dt.date:
    """Return the ``number``-th day of the history, from 0 on."""
    return START + dt.timedelta(days=number)


def build_history(folder: Path, days: int) -> Loop:
    """Land and build so many days; each night one session goes on over midnight."""
    now = dt.datetime.combine(day_of(days + 5), dt.time(12), tzinfo=dt.UTC)
    loop = Loop(settings_for(folder), now)
    for number in range(days):
        lines = shop_lines(day_of(number), ROWS_PER_DAY, name="first")
        _land(loop, f"day-{number}", [*lines, _at(day_of(number), "23:50", "night", number)])
    loop.settle()
    return loop


def late_rows(days: int) -> tuple[list[dict[str, Any]], dict[str, set[dt.date]], dict[str, set[dt.date]]]:
    """Return five late rows on three days, and what they must rebuild and change.

    Two days get sessions of their own, which touch no other day. The third gets the purchase with which the session
    of the night before ends: it makes the labels of that evening others.

    Returns:
        The rows; table to days that must have a new generation; table to days that must have other bytes.
    """
    first, second, third = (day_of(days * part // 10) for part in (2, 5, 8))
    evening = third - dt.timedelta(days=1)
    rows = [
        *(_at(first, clock, "late", 0) for clock in ("10:00", "10:01")),
        *(_at(second, clock, "late", 1) for clock in ("11:00", "11:05")),
        _at(third, "00:10", "night", (evening - START).days, event_type="purchase", purchase_amount_usd=12.5),
    ]
    touched = {first, second, third}
    around = {day + dt.timedelta(days=offset) for day in touched for offset in (-1, 0, 1)}
    others = touched | {evening}
    rebuilt = {
        **dict.fromkeys(EVENTS_OF_A_DAY, touched),
        "session_features": around,
        **dict.fromkeys(TRAINING_PARTITIONS, others),
    }
    changed = {**rebuilt, "session_features": others, "quarantined_events": set()}
    return rows, rebuilt, changed


def repair(loop: Loop, rows: list[dict[str, Any]]) -> Repair:
    """Land late rows and bring everything up to date."""
    before = _heads(loop)
    _land(loop, "late", rows)
    started = time.process_time()
    due_now(loop.platform)
    planning_seconds = time.process_time() - started
    runs = 0
    while found := loop.tick(limit=RUNS_PER_TICK):
        runs += min(found, RUNS_PER_TICK)
    after = _heads(loop)
    rebuilt: dict[str, set[dt.date]] = {}
    changed: dict[str, set[dt.date]] = {}
    for (table, day), (generation, content) in after.items():
        if (table, day) not in before or before[table, day][0] != generation:
            rebuilt.setdefault(table, set()).add(day)
            if (table, day) not in before or before[table, day][1] != content:
                changed.setdefault(table, set()).add(day)
    return Repair(rebuilt, {table: changed.get(table, set()) for table in TABLES}, runs, planning_seconds,
                  len(due_now(loop.platform)))  # fmt: skip


def full_rebuild(loop: Loop, settings: Settings) -> Loop:
    """Build everything in an empty root from the bytes that another one has kept."""
    other = empty_root(settings, loop.now, like=loop.settings)
    land_named(other.platform, SHOP, sorted((loop.settings.root / "raw").iterdir()))
    other.settle()
    return other


def _at(day: dt.date, clock: str, name: str, number: int, **values: Any) -> dict[str, Any]:
    moment = dt.datetime.combine(day, dt.time.fromisoformat(clock), tzinfo=dt.UTC)
    return {
        "event_id": f"{day}-{clock}-{name}",
        "user_id": f"user-{number % 7}",
        "session_uuid": f"{name}-{number}",
        "event_type": "page_view",
        "event_timestamp": int(moment.timestamp() * 1000),
        **values,
    }


def _land(loop: Loop, name: str, lines: list[dict[str, Any]]) -> None:
    path = loop.settings.root.parent / "dropped" / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    land_named(loop.platform, SHOP, [path])


def _heads(loop: Loop) -> dict[tuple[str, dt.date], tuple[int, str]]:
    return {
        (table, dt.date.fromisoformat(day)): (head.generation, head.content)
        for table in TABLES
        for day, head in loop.platform.store.heads(table).items()
    }
