"""Rows that lay in the future when their file landed get their day when they no longer do; tables do not tell when."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from ml_data_platform.defs.replay import replay
from ml_data_platform.stages.landed_files import land_inbox, readmit_future, waiting_files
from ml_data_platform.stages.quarantine import Wanted, list_quarantine
from ml_data_platform.stages.replay import apply_replay, prepare_replay
from ml_data_platform.stages.state import current_records, landed_records
from ml_data_platform.stages.verification import verify
from ml_data_platform_tests.pipeline_root import NOW, START, PipelineRoot, settings_for, shop_lines

FUTURE = "event_time_in_the_future"
BEHIND = NOW - dt.timedelta(days=60)
MASKED = "source: s\nformat: jsonl\nschema_version: 2\npii: {columns: {user_id: mask}}\n"


@pytest.fixture(scope="module")
def landed_behind(tmp_path_factory: pytest.TempPathFactory) -> PipelineRoot:
    """One file, landed while the clock was 60 days behind; to be copied."""
    root = PipelineRoot(settings_for(tmp_path_factory.mktemp("behind") / "root"), now=BEHIND)
    landed = root.drop("a.jsonl", shop_lines(START, 10))
    assert landed.record is not None
    assert landed.record.undated == {FUTURE: 10}
    return root


@pytest.fixture(scope="module")
def right(landed_behind: PipelineRoot, tmp_path_factory: pytest.TempPathFactory) -> PipelineRoot:
    """The same file, landed while the clock was right, and its day built; to be read only."""
    root = landed_behind.copied(tmp_path_factory.mktemp("right") / "root").at(NOW)
    for path in (root.folder / "ledger").rglob("*.json"):
        path.unlink()
    assert root.drop("a.jsonl", shop_lines(START, 10)).record.rows_per_day == {START.isoformat(): 10}
    assert root.backfill([START]).is_successful
    return root


@pytest.fixture
def behind(landed_behind: PipelineRoot, tmp_path: Path) -> PipelineRoot:
    """A copy of it, while the clock is behind still."""
    return landed_behind.copied(tmp_path / "root")


def by_landing_again(root: PipelineRoot) -> None:
    """Land the same bytes once more."""
    assert root.drop("a.jsonl", shop_lines(START, 10)).outcome == "landed"
    assert root.drop("a.jsonl", shop_lines(START, 10)).outcome == "known"


def by_landing_what_waits(root: PipelineRoot) -> None:
    """Land what waits, as the sensor does."""
    assert waiting_files(root.platform).outdated == 1
    assert [each.outcome for each in land_inbox(root.platform)] == ["landed"]
    assert waiting_files(root.platform).outdated == 0


def by_replay(root: PipelineRoot) -> None:
    """Replay the reason."""
    with dg.DagsterInstance.ephemeral() as instance:
        assert replay(root.definitions, instance, root.platform, Wanted(FUTURE), why="test").is_successful
    assert prepare_replay(root.platform, Wanted(FUTURE)).is_empty


def by_backfill(root: PipelineRoot) -> None:
    """Read again what the command does before it builds."""
    assert [each.outcome for each in readmit_future(root.platform)] == ["landed"]
    assert readmit_future(root.platform) == []


@pytest.mark.parametrize("way", [by_landing_again, by_landing_what_waits, by_replay, by_backfill])
def test_rows_of_a_clock_that_was_behind_get_their_day(behind: PipelineRoot, right: PipelineRoot, way: object) -> None:
    """Each way gives the tables of a root whose clock was right; nothing is quarantined or shown as such any more."""
    root = behind.at(NOW)
    way(root)
    assert list_quarantine(root.platform, Wanted()) == []
    assert root.judge([START]).is_successful
    assert ("validated_events", START) in root.contents()
    assert root.contents().items() <= right.contents().items()
    assert root.view().items() <= right.view().items()
    assert verify(root.platform).defects == ()


def test_until_then_they_are_counted_and_nothing_is_read_again(behind: PipelineRoot) -> None:
    """Their place and the earliest of them are told; a day before, none of them has a day."""
    first = dt.datetime.combine(START, dt.time(9), tzinfo=dt.UTC)
    root = behind.at(first - dt.timedelta(hours=34))
    (group,) = list_quarantine(root.platform, Wanted(FUTURE))
    assert (group.rows, group.where in {f"data/{name}" for name in root.view()}) == (10, True)
    assert group.detail.startswith(f"from {first.isoformat()} on")
    assert waiting_files(root.platform).outdated == 0
    assert root.drop("a.jsonl", shop_lines(START, 10)).outcome == "known"
    assert waiting_files(behind.at(first).platform).outdated == 1


def test_a_file_is_read_again_as_often_as_more_of_it_is_past(tmp_path: Path) -> None:
    """At most once a day; what still lies in the future stays counted; a changed contract does not take days away again."""
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "s.yaml").write_text("source: s\nformat: jsonl\nschema_version: 2\n")
    root = PipelineRoot(settings_for(tmp_path / "root", sources=sources), now=BEHIND)
    days = [START + dt.timedelta(days=10 * number) for number in range(3)]
    root.drop("a.jsonl", [line for of in days for line in shop_lines(of, 5)], source="s")
    found = []
    for now in (
        NOW - dt.timedelta(days=15),
        NOW - dt.timedelta(days=5),
        NOW - dt.timedelta(days=5),
        NOW + dt.timedelta(9),
    ):
        again = readmit_future(root.at(now).platform)
        (record,) = current_records(root.at(now).platform)
        found.append((len(again), sorted(record.rows_per_day), sum(record.undated.values())))
    texts = [of.isoformat() for of in days]
    assert found == [(1, texts[:1], 10), (1, texts[:2], 5), (0, texts[:2], 5), (1, texts, 0)]
    (sources / "s.yaml").write_text(
        "source: s\nformat: jsonl\nschema_version: 2\ncolumns: {event_timestamp: event_timestamp}\n"
        "event_time: {epoch_unit: ms, zone: Europe/Vienna}\n"
    )
    later = root.at(NOW + dt.timedelta(9))
    assert waiting_files(later.platform).outdated == 1
    land_inbox(later.platform)
    (record,) = current_records(later.platform)
    assert sorted(record.rows_per_day) == texts
    assert waiting_files(later.platform).outdated == 0


def test_a_lost_fragment_of_a_file_that_was_read_again_is_made_again(behind: PipelineRoot) -> None:
    """It is routed as it was read last."""
    root = behind.at(NOW)
    readmit_future(root.platform)
    (record,) = landed_records(root.platform)
    (root.folder / f"_store/landed_files/objects/{record.fragment[:2]}/{record.fragment}.parquet").unlink()
    assert root.judge([START]).is_successful
    assert len(root.rows("raw_events", START)) == 10


def test_records_of_before_are_read_again_when_somebody_asks(behind: PipelineRoot) -> None:
    """They do not say from when on their rows lie in the future: no day becomes due by itself after an upgrade."""
    root = behind.at(NOW)
    (record,) = landed_records(root.platform)
    path = root.folder / record.key
    path.unlink()
    path.write_bytes(replace(record, future_from=None).to_json())
    root = root.at(NOW)
    assert waiting_files(root.platform).outdated == 0
    assert readmit_future(root.platform) == []
    asked = prepare_replay(root.platform, Wanted(FUTURE))
    assert len(asked.outdated) == 1
    assert apply_replay(root.platform, asked, "test").files_read_again == 1
    assert root.judge([START]).is_successful
    assert len(root.rows("raw_events", START)) == 10


def test_masked_rows_get_their_day_too(tmp_path: Path) -> None:
    """From the masked rows that are kept; nothing is masked twice."""
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "s.yaml").write_text(MASKED)
    root = PipelineRoot(settings_for(tmp_path / "root", sources=sources), now=BEHIND)
    assert root.drop("a.jsonl", shop_lines(START, 5), source="s").record.undated == {FUTURE: 5}
    now = root.at(NOW)
    readmit_future(now.platform)
    assert now.judge([START]).is_successful
    assert len(now.rows("validated_events", START)) == 5
