"""However files arrive and whatever breaks meanwhile, the end is that of one clean build."""

from __future__ import annotations

import datetime as dt
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ml_data_platform.settings import Settings
from ml_data_platform.stages.decisions import too_late
from ml_data_platform_tests.event_files import Counts, EventFile, EventLog, all_count, expected_rows, random_log
from ml_data_platform_tests.pipeline_root import START, settings_for
from ml_data_platform_tests.schedules import (
    ACTIONS,
    Loop,
    clean_build,
    due_now,
    edge_triggered,
    empty_root,
    play,
    rebuilt_from_ledger,
)

SCHEDULES = int(os.environ.get("SCHEDULES", "5"))
"""How many are tried, a fifth of them where frozen days take nothing; many more by ``make schedules``."""
PER_LOG = 5
TRIED_OF_A_LOG = PER_LOG if "SCHEDULES" in os.environ else 2
"""In the suite only as many as find the planner out that remembers events."""
GRACE = dt.timedelta(hours=24)
STRICT = """
source: strict_shop
format: jsonl
event_time: {epoch_unit: ms}
lateness: {grace_period_hours: 24, late_policy: quarantine}
"""
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


def settings(folder: Path, **choices: Any) -> Settings:
    """Return the settings of one root of these tests."""
    return settings_for(folder, tolerances=LENIENT, **choices)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(0, SCHEDULES * 4 // 5, PER_LOG))
def test_any_schedule_ends_as_one_clean_build(seed: int, tmp_path: Path) -> None:
    """Files in any order, twice, late, amid crashes, restarts and lost races: the bytes of one clean build.

    The rows are those of the definitions, and the next tick starts nothing.
    """
    log = random_log(seed, START, days=DAYS)
    first = Loop(settings(tmp_path / "0"), FIRST)
    clean = clean_build(settings(tmp_path / "clean"), log, END, like=first.settings)
    assert_is_what_the_definitions_say(clean, log)
    for number in range(TRIED_OF_A_LOG):
        loop = first if number == 0 else empty_root(settings(tmp_path / str(number)), FIRST, like=first.settings)
        done = play(loop, log, random.Random(seed * 1_000 + number), END)
        assert loop.contents() == clean.contents(), done
        assert due_now(loop.platform) == [], done


def test_a_planner_that_remembers_events_fails(tmp_path: Path) -> None:
    """The same schedules find a planner out that is told of changes instead of comparing what is with what must be."""
    log = random_log(0, START, days=DAYS)
    first = Loop(settings(tmp_path / "0"), FIRST)
    clean = clean_build(settings(tmp_path / "clean"), log, END, like=first.settings)
    for number in range(TRIED_OF_A_LOG):
        loop = empty_root(settings(tmp_path / f"mutant-{number}"), FIRST, like=first.settings)
        loop.due = edge_triggered()
        play(loop, log, random.Random(number), END)
        if loop.contents() != clean.contents():
            return
    raise AssertionError("no schedule tells an edge-triggered planner from a level-triggered one")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SCHEDULES // 5))
def test_rows_that_come_too_late_stay_apart_until_they_are_admitted(seed: int, tmp_path: Path) -> None:
    """Where frozen days take nothing, any schedule ends as one build from its ledger, by the rules as stated.

    What is too late follows from when a file landed first, whatever was built or broke meanwhile.
    """
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "strict_shop.yaml").write_text(STRICT, encoding="utf-8")
    log = random_log(seed + 7_000, START, days=DAYS)
    rng = random.Random(seed)
    loop = Loop(settings(tmp_path / "root", sources=tmp_path / "sources"), FIRST, source="strict_shop")
    done = play(loop, log, rng, END, (*ACTIONS, "admit"))
    again = rebuilt_from_ledger(loop, settings(tmp_path / "again", sources=tmp_path / "sources"))
    assert loop.contents() == again.contents(), done
    assert due_now(loop.platform) == [], done
    landed_at = {record.sha256: record.ingested_at for record in loop.platform.ledger.records()}

    def counts(file: EventFile, day: dt.date) -> bool:
        frozen_at = dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC) + dt.timedelta(days=1) + GRACE
        return dt.datetime.fromisoformat(landed_at[file.sha256]) < frozen_at or (file.sha256, str(day)) in loop.admitted

    assert_is_what_the_definitions_say(loop, log, counts)
    apart = sum(each.rows for each in too_late(loop.platform))
    lines = [(file, line.event.at.date()) for file in log.files for line in file.lines]
    assert apart == sum(not counts(file, day) for file, day in lines)


def assert_is_what_the_definitions_say(loop: Loop, log: EventLog, counts: Counts = all_count) -> None:
    """Compare every published row with the definitions applied in plain Python, and count every row that is not."""
    published = log.published(loop.source, counts)
    events = [event for event, _ in published.values()]
    days = sorted({event.at.date() for event in events})
    last = max(days) + dt.timedelta(days=1)
    # The clock is far beyond, so labels are known as far as there are days.
    through = {day: dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC) + dt.timedelta(days=2) for day in (*days, last)}
    found: Counter[str] = Counter()
    for day in days:
        rows = _rows(loop, "validated_events", day)
        found["published"] += len(rows)
        kept = {row["event_id"]: row["source_file"] for row in rows}
        assert kept == {name: sha256 for name, (event, sha256) in published.items() if event.at.date() == day}
        features = {row["event_id"]: row for row in _rows(loop, "session_features", day)}
        expected = expected_rows(events, through, day)
        assert features.keys() == expected.keys()
        for name, row in expected.items():
            assert {column: features[name][column] for column in row} == row, name
        for disposition in ("rejected", "duplicate"):
            found[disposition] += len(_rows(loop, "quarantined_events", day, f"disposition={disposition}/data.parquet"))
    assert found["rejected"] == log.rejected(counts)
    assert sum(found.values()) == sum(counts(file, line.event.at.date()) for file in log.files for line in file.lines)


def _rows(loop: Loop, asset: str, day: dt.date, file: str = "data.parquet"):
    return pq.ParquetFile(loop.settings.root / "data" / asset / f"dt={day}" / file).read().to_pylist()
