"""Labels appear when they are known, and not before: the same root looked at by a clock that moves on."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from ml_data_platform.events.planning import UPSTREAM, Status, plan
from ml_data_platform.stages.state import read_state
from ml_data_platform_tests.pipeline_root import PipelineRoot, day, settings_for, shop_lines

EVENTS = 20
LABELLED = """
source: labelled
format: jsonl
schema_version: 2
label: converted
"""


def midnight(number: int, hours: float = 0) -> dt.datetime:
    """Return the beginning of a day, or some hours after it."""
    return dt.datetime.combine(day(number), dt.time(), tzinfo=dt.UTC) + dt.timedelta(hours=hours)


def labels(root: PipelineRoot, number: int) -> list[tuple[bool, int | None]]:
    """Return whether the labels of a day are mature, and what they are, in the order of events."""
    return [(row["label_is_mature"], row["label"]) for row in root.rows("session_features", day(number))]


def changes(before: PipelineRoot, root: PipelineRoot) -> set[tuple[str, int]]:
    """Bring a root up to date; return the partitions with a new generation, days as numbers."""
    old = before.generations()
    assert root.backfill().is_successful
    return {
        (name, (of - day(1)).days + 1) for (name, of), new in root.generations().items() if new != old.get((name, of))
    }


def test_labels_mature_with_the_clock(tmp_path: Path) -> None:
    """A day's labels are known once the day after it is over, built and complete; each midnight costs what it changes.

    Half of the events lie in the first minutes of their day, and half in the last: of the first day, midnight lets the
    label of its first instant be known, and of no event a minute later.
    """
    folder = PipelineRoot(settings_for(tmp_path / "root"), now=midnight(2, 12))
    for number in (1, 2):
        lines = [line for at in (0, 23) for line in shop_lines(day(number), EVENTS // 2, name=f"{at}", hour=at)]
        lines[-1]["event_timestamp"] = int(midnight(number + 1).timestamp() * 1000) - 1
        folder.drop(f"{number}.jsonl", lines)
    first_instant = [(True, 1)] + [(False, None)] * (EVENTS - 1)
    # Every session of five ends in a purchase, which converts the four events before it.
    known = [(True, 1), (True, 1), (True, 1), (True, 1), (True, 0)] * (EVENTS // 5)

    assert folder.backfill().is_successful
    assert (labels(folder, 1), labels(folder, 2)) == (first_instant, [(False, None)] * EVENTS)
    assert [row["event_timestamp"] for row in folder.rows("date_partitions", day(1))] == [midnight(1)]
    assert day(3) not in {of for _, of in folder.heads()}

    almost = folder.at(midnight(3, -1 / 3600))
    assert changes(folder, almost) == set()

    at_midnight = folder.at(midnight(3))
    training = {"date_partitions", "label_partitions", "stratified_partitions"}
    both_days = {(asset, number) for asset in ("session_features", *training) for number in (1, 2)}
    assert changes(folder, at_midnight) == both_days
    assert (labels(folder, 1), labels(folder, 2)) == (known, first_instant)
    assert len(folder.rows("label_partitions", day(1), "label=positive/data.parquet")) == EVENTS * 4 // 5
    assert len(folder.rows("date_partitions", day(1))) == EVENTS
    assert changes(folder, folder.at(midnight(3, 23.9))) == set()

    third = {(asset, 3) for asset in (*UPSTREAM, "quarantined_events")}
    second = {(asset, 2) for asset in ("session_features", *training)}
    assert changes(folder, folder.at(midnight(4))) == third | second
    assert labels(folder, 2) == known
    # Built empty is not the same as not built: the third day has generations, the fourth has none.
    assert folder.rows("validated_events", day(3)) == []
    assert day(4) not in {of for _, of in folder.heads()}

    assert changes(folder, folder.at(midnight(300))) == set()
    state = read_state(folder.at(midnight(300)).platform)
    decisions = plan(state, [day(4), day(5)])
    assert {each.status for each in decisions} == {Status.NOT_NEEDED}


def test_declared_labels_need_no_maturity(tmp_path: Path) -> None:
    """Where the producer labels its events, the label is known as soon as the event is; the next day says the same."""
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "labelled.yaml").write_text(LABELLED)
    root = PipelineRoot(settings_for(tmp_path / "root", sources=tmp_path / "sources"), now=midnight(1, 6))
    lines = [{**line, "converted": number % 3 % 2} for number, line in enumerate(shop_lines(day(1), EVENTS, hour=1))]
    root.drop("a.jsonl", lines, source="labelled")
    for now in (midnight(1, 6), midnight(1, 30)):
        assert root.at(now).backfill([day(1)]).is_successful
        assert labels(root, 1) == [(True, number % 3 % 2) for number in range(EVENTS)]
        assert len(root.rows("date_partitions", day(1))) == EVENTS
