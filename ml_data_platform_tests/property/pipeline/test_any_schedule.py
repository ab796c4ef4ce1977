"""However files arrive and whatever breaks meanwhile, the end is that of one clean build."""

from __future__ import annotations

import datetime as dt
import os
import random
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ml_data_platform_tests.event_files import EventLog, expected_rows, random_log
from ml_data_platform_tests.pipeline_root import SHOP, START, settings_for
from ml_data_platform_tests.schedules import Loop, clean_build, due_now, edge_triggered, empty_root, play

SCHEDULES = int(os.environ.get("SCHEDULES", "25"))
"""How many are tried; many more by ``make schedules``."""
PER_LOG = 5
DAYS = 2
FIRST = dt.datetime.combine(START + dt.timedelta(days=DAYS - 1), dt.time(), tzinfo=dt.UTC)
"""No event lies further ahead of the clock than may be: when a file lands first decides that once and for all."""
END = FIRST + dt.timedelta(days=7, hours=3)
LENIENT = {
    "event_types_are_known": 1.0,
    "rejected_share_is_within_tolerance": 1.0,
    "each_event_type_is_mostly_valid": 1.0,
}
"""What the days look like in between depends on what has landed; that a day is refused is tried elsewhere."""


def settings(folder: Path):
    """Return the settings of one root of these tests."""
    return settings_for(folder, tolerances=LENIENT)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(0, SCHEDULES, PER_LOG))
def test_any_schedule_ends_as_one_clean_build(seed: int, tmp_path: Path) -> None:
    """Files in any order, twice, late, amid crashes, restarts and lost races: the bytes of one clean build.

    The rows are those of the definitions, and the next tick starts nothing.
    """
    log = random_log(seed, START, days=DAYS)
    first = Loop(settings(tmp_path / "0"), FIRST)
    clean = clean_build(settings(tmp_path / "clean"), log, END, like=first.settings)
    assert_is_what_the_definitions_say(clean, log)
    for number in range(min(PER_LOG, SCHEDULES - seed)):
        loop = first if number == 0 else empty_root(settings(tmp_path / str(number)), FIRST, like=first.settings)
        done = play(loop, log, random.Random(seed * 1_000 + number), END)
        assert loop.contents() == clean.contents(), done
        assert due_now(loop.platform) == [], done


def test_a_planner_that_remembers_events_fails(tmp_path: Path) -> None:
    """The same schedules find a planner out that is told of changes instead of comparing what is with what must be."""
    log = random_log(0, START, days=DAYS)
    first = Loop(settings(tmp_path / "0"), FIRST)
    clean = clean_build(settings(tmp_path / "clean"), log, END, like=first.settings)
    for number in range(PER_LOG):
        loop = empty_root(settings(tmp_path / f"mutant-{number}"), FIRST, like=first.settings)
        loop.due = edge_triggered()
        play(loop, log, random.Random(number), END)
        if loop.contents() != clean.contents():
            return
    raise AssertionError("no schedule tells an edge-triggered planner from a level-triggered one")


def assert_is_what_the_definitions_say(loop: Loop, log: EventLog) -> None:
    """Compare every published row with the definitions applied in plain Python, and count every row that is not."""
    published = log.published(SHOP, log.files)
    events = [event for event, _ in published.values()]
    days = sorted({event.at.date() for event in events})
    last = max(days) + dt.timedelta(days=1)
    # The clock is far beyond, so labels are known as far as there are days.
    through = {day: dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC) + dt.timedelta(days=2) for day in (*days, last)}
    counts: Counter[str] = Counter()
    for day in days:
        rows = _rows(loop, "validated_events", day)
        counts["published"] += len(rows)
        kept = {row["event_id"]: row["source_file"] for row in rows}
        assert kept == {name: sha256 for name, (event, sha256) in published.items() if event.at.date() == day}
        features = {row["event_id"]: row for row in _rows(loop, "session_features", day)}
        expected = expected_rows(events, through, day)
        assert features.keys() == expected.keys()
        for name, row in expected.items():
            assert {column: features[name][column] for column in row} == row, name
        for disposition in ("rejected", "duplicate"):
            counts[disposition] += len(
                _rows(loop, "quarantined_events", day, f"disposition={disposition}/data.parquet")
            )
    assert counts["rejected"] == log.rejected(log.files)
    assert sum(counts.values()) == sum(len(file.lines) for file in log.files)


def _rows(loop: Loop, asset: str, day: dt.date, file: str = "data.parquet"):
    return pq.ParquetFile(loop.settings.root / "data" / asset / f"dt={day}" / file).read().to_pylist()
