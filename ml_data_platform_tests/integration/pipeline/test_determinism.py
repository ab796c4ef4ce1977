"""The same landed files give the same bytes, in whatever order they land and are built."""

from __future__ import annotations

import datetime as dt
import json
import random
import shutil
from pathlib import Path
from typing import Any

from ml_data_platform.datasets.selection import DATASETS
from ml_data_platform.events.planning import UPSTREAM
from ml_data_platform.storage.commit_log import LogRecord
from ml_data_platform_tests.pipeline_root import SHOP, PipelineRoot, day, settings_for, shop_lines

DAYS = [day(number) for number in range(1, 6)]
WHOLE = [day(1), day(3)]


def other_root(like: PipelineRoot, folder: Path, **choices: object) -> PipelineRoot:
    """Return an empty root with the secrets and the tolerances of another one."""
    shutil.copytree(like.folder / "secrets", folder / "secrets")
    return PipelineRoot(settings_for(folder, tolerances=like.settings.tolerances, **choices))


def test_order_threads_and_memory_change_no_byte(built_root: PipelineRoot, tmp_path: Path) -> None:
    """Landed in another order, with one thread and less memory, a day built before the others: the same bytes.

    Training tables are compared of two days.
    """
    root = other_root(built_root, tmp_path / "root", threads=1, memory_limit="200MB")
    paths = sorted((built_root.settings.landing / SHOP).iterdir())
    random.Random(7).shuffle(paths)
    root.land(*paths)
    root.backfill([day(3)])
    root.judge(DAYS, layers=2)
    root.backfill(WHOLE)
    features = {key: content for key, content in built_root.contents().items() if key[0] not in DATASETS}
    whole = {key: content for key, content in built_root.contents().items() if key[1] in WHOLE}
    assert root.contents() == features | whole
    assert root.view().items() <= built_root.view().items()
    assert root.backfill(WHOLE).runs == 0


def test_nothing_is_built_twice(copied_root: PipelineRoot) -> None:
    """A second backfill, and one after the same bytes were landed under another name, have nothing to do."""
    before = copied_root.heads()
    first = min((copied_root.settings.landing / SHOP).iterdir())
    again = first.with_name("delivered_again.jsonl")
    again.write_bytes(first.read_bytes())
    (landed,) = copied_root.land(again)
    assert landed.outcome == "known"
    report = copied_root.backfill(DAYS)
    assert (report.runs, report.built, report.is_successful) == (0, [], True)
    assert copied_root.heads() == before


def changed(before: dict[Any, LogRecord], after: dict[Any, LogRecord]) -> set[tuple[str, dt.date]]:
    """Return the partitions that have a new generation."""
    return {key for key, head in after.items() if head != before.get(key)}


def test_late_rows_rebuild_their_day_and_its_neighbours(copied_root: PipelineRoot) -> None:
    """New events of one day rebuild all of that day, and the features around it; what stayed goes no further.

    The day alone is asked for: its published neighbours come with it.
    """
    of, before = day(2), copied_root.heads()
    copied_root.drop("late.jsonl", shop_lines(of, 10, name="late"))
    assert copied_root.backfill([of]).is_successful
    after = copied_root.heads()
    neighbours = {("session_features", day(1)), ("session_features", day(3))}
    of_day = {(asset, of) for asset in (*UPSTREAM, "quarantined_events")}
    assert changed(before, after) == of_day | neighbours
    # Sessions of the late rows end long before midnight, so the neighbours' rows are what they were.
    assert all(after[key].content == before[key].content for key in neighbours)
    assert all(after[key].generation == before[key].generation + 1 for key in of_day | neighbours)


def test_late_copies_change_nothing_downstream(copied_root: PipelineRoot) -> None:
    """A copy that loses against what is published rebuilds the day's events, byte for byte, and nothing else."""
    of, before = day(2), copied_root.heads()
    kept = next(row for row in copied_root.rows("validated_events", of) if row["schema_version"] == 2)
    copied_root.drop("late.jsonl", [in_words_of_v1(copied_root, of, kept)])
    assert copied_root.backfill(DAYS).is_successful
    after = copied_root.heads()
    assert changed(before, after) == {(name, of) for name in ("raw_events", "validated_events", "quarantined_events")}
    assert after["validated_events", of].content == before["validated_events", of].content
    duplicates = copied_root.rows("quarantined_events", of, "disposition=duplicate/data.parquet")
    ids = [row["event_id"] for row in duplicates if row["schema_version"] == 1]
    assert kept["event_id"] in ids


def in_words_of_v1(root: PipelineRoot, of: dt.date, event: dict[str, Any]) -> dict[str, Any]:
    """Return the landed row of an event as a v1 client writes it; it lacks the page, which others have."""
    place = (event["source_file"], event["source_row"])
    (landed,) = [
        row["landed"] for row in root.rows("raw_events", of) if (row["source_file"], row["source_row"]) == place
    ]
    line = json.loads(landed)
    return {
        "event_id": line["event_id"],
        "user_id": line["user_id"],
        "session_id": line["session_uuid"],
        "event_type": line["event_type"],
        "timestamp": event["event_timestamp"].isoformat(),
    }
