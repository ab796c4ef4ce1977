"""Rows of frozen days are kept apart until somebody admits them, and a file can take the place of another."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ml_data_platform.errors import DecisionError
from ml_data_platform.events.planning import Status, decide
from ml_data_platform.landing.landing import LandedFile
from ml_data_platform.stages import decisions, flow
from ml_data_platform.stages.landed_files import land_inbox, land_named
from ml_data_platform.stages.state import current_records, read_state, read_watermarks
from ml_data_platform.storage.ledger import LedgerRecord
from ml_data_platform_tests.late_shop import SOURCE, days_ago, late_root, lines_of, write_contract
from ml_data_platform_tests.pipeline_root import NOW, PipelineRoot

FROZEN, COMPLETE, OPEN = days_ago(2), days_ago(1), days_ago(0)
"""With a grace of a day at noon: a day is complete at its end, and frozen the day after."""


def land(root: PipelineRoot, name: str, **rows: int) -> LedgerRecord:
    """Land a file with so many rows of the frozen, the complete and the open day, and one that has no day."""
    days = {"frozen": FROZEN, "complete": COMPLETE, "open_": OPEN}
    lines = [line for which, count in rows.items() for line in lines_of(days[which], count, name=name)]
    record = root.drop(name, [*lines, {"event_id": name}], source=SOURCE).record
    assert record is not None
    return record


def shown(root: PipelineRoot, record: LedgerRecord) -> list[tuple[str, int, dt.date]]:
    """Return what plain readers see of a file's too-late rows: file, row and day."""
    path = root.folder / "data" / "too_late_rows" / f"source={SOURCE}" / f"{record.sha256}.parquet"
    rows = pq.ParquetFile(path).read().to_pylist() if path.exists() else []
    return [(row["source_file"], row["source_row"], row["event_time"].date()) for row in rows]


def raw_rows(root: PipelineRoot, day: dt.date) -> Counter[str]:
    """Build the raw events of a day and return its rows by landed file; nothing is published but them."""
    with root.platform.store.scratch() as scratch:
        staged = flow.build(root.platform, "raw_events", day, {}, scratch).tables["raw_events"]
        root.platform.store.commit(staged, run_id="test")
    return Counter(row["source_file"] for row in root.rows("raw_events", day))


def test_every_row_is_on_its_day_too_late_or_without_a_day(tmp_path: Path) -> None:
    """Rows of the frozen day are counted and shown apart, the others are taken; late are those of complete days."""
    root = late_root(tmp_path)
    record = land(root, "a.jsonl", frozen=4, complete=3, open_=2)
    assert record.too_late == {FROZEN.isoformat(): 4}
    assert record.rows_per_day == {COMPLETE.isoformat(): 3, OPEN.isoformat(): 2}
    assert record.undated == {"event_time_missing": 1}
    assert record.late == {FROZEN.isoformat(): 4, COMPLETE.isoformat(): 3}
    assert record.rows == 4 + 3 + 2 + 1
    assert shown(root, record) == [(record.sha256, row, FROZEN) for row in range(1, 5)]
    assert record.admission is not None
    assert (record.admission.watermark, record.admission.arrived_at) == (NOW.isoformat(), NOW.isoformat())
    assert set(read_state(root.platform).landed) == {COMPLETE, OPEN}
    assert raw_rows(root, COMPLETE) == {record.sha256: 3}


@pytest.mark.parametrize("how", ["reopen", "historical", "in time"])
def test_what_is_not_late_or_reopens_is_taken(tmp_path: Path, how: str) -> None:
    """Under the policy `reopen`, as a historical load, or before its day is frozen, every row counts on its day."""
    policy = "reopen" if how == "reopen" else "quarantine"
    now = dt.datetime.combine(COMPLETE, dt.time(12), tzinfo=dt.UTC) if how == "in time" else NOW
    root = late_root(tmp_path, now=now, late_policy=policy)
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines_of(FROZEN, 4)), encoding="utf-8")
    (landed,) = land_named(root.platform, SOURCE, [path], is_historical=how == "historical")
    assert landed.record is not None
    assert (landed.record.too_late, landed.record.rows_per_day) == ({}, {FROZEN.isoformat(): 4})
    assert landed.record.late == ({} if how == "historical" else {FROZEN.isoformat(): 4})


def test_a_decision_holds_when_the_file_is_read_again(tmp_path: Path) -> None:
    """Under another contract, weeks later, the bound of the first landing decides about the days that are found now."""
    root = late_root(tmp_path)
    # 03:00 without an offset is, read ten hours east of Greenwich, of the day before.
    lines = [line for day in (FROZEN, COMPLETE) for line in lines_of(day, 2, hour=3)]
    record = root.drop("a.jsonl", lines, source=SOURCE).record
    assert record is not None
    assert (record.too_late, record.rows_per_day) == ({FROZEN.isoformat(): 2}, {COMPLETE.isoformat(): 2})

    write_contract(tmp_path, {"late_policy": "reopen", "max_delay_hours": 99}, zone="Etc/GMT-10")
    later = PipelineRoot(root.settings, now=NOW + dt.timedelta(days=30))
    (again,) = land_inbox(later.platform)
    assert again.record is not None
    assert again.record.admission == record.admission
    assert again.record.too_late == {days_ago(3).isoformat(): 2, FROZEN.isoformat(): 2}
    assert again.record.rows_per_day == {}
    assert Counter(day for _, _, day in shown(later, again.record)) == {days_ago(3): 2, FROZEN: 2}


def test_admitted_rows_count_from_then_on(tmp_path: Path) -> None:
    """The day is due because of the decision, holds the rows, and they are shown apart no longer; twice is nothing."""
    root = late_root(tmp_path)
    in_time = PipelineRoot(root.settings, now=dt.datetime.combine(FROZEN, dt.time(23), tzinfo=dt.UTC))
    first = in_time.drop("first.jsonl", lines_of(FROZEN, 3, name="first"), source=SOURCE).record
    late = land(root, "late.jsonl", frozen=4, complete=1)
    assert first is not None
    assert raw_rows(root, FROZEN) == {first.sha256: 3}
    (waiting,) = decisions.too_late(root.platform)
    assert (waiting.source, waiting.sha256, waiting.name, waiting.day, waiting.rows) == (
        SOURCE,
        late.sha256,
        "late.jsonl",
        FROZEN.isoformat(),
        4,
    )
    assert decide(read_state(root.platform), "raw_events", FROZEN).status is Status.CLEAN

    days = [FROZEN.isoformat(), days_ago(9).isoformat()]
    assert decisions.admit(root.platform, SOURCE, late.sha256[:8], days, "the clocks were wrong") == 4
    due = decide(read_state(root.platform), "raw_events", FROZEN)
    assert due.reasons == (
        f"new admitted/{SOURCE}/{late.sha256}",
        f"new landed_files/{SOURCE}/{late.sha256}",
    )
    assert raw_rows(root, FROZEN) == {first.sha256: 3, late.sha256: 4}
    assert shown(root, late) == []
    assert decisions.too_late(root.platform) == []
    assert decisions.admit(root.platform, SOURCE, late.sha256, days, "again") == 0
    assert decide(read_state(root.platform), "raw_events", FROZEN).status is Status.CLEAN
    (record,) = [each for each in current_records(root.platform) if each.sha256 == late.sha256]
    assert sum(record.rows_per_day.values()) + sum(record.undated.values()) == record.rows


def replaced(root: PipelineRoot, old: LedgerRecord, new: LandedFile) -> decisions.Replacement:
    """Let a landed file take the place of another."""
    assert new.record is not None
    return decisions.replace_landed(root.platform, SOURCE, old.sha256, new.record)


def test_a_file_takes_the_place_of_another(tmp_path: Path) -> None:
    """Its rows count on days where the old one's did, however late; a day that loses all rows is built empty."""
    root = late_root(tmp_path)
    in_time = PipelineRoot(root.settings, now=dt.datetime.combine(FROZEN, dt.time(23), tzinfo=dt.UTC))
    lines = [*lines_of(FROZEN, 3, name="old"), *lines_of(days_ago(3), 2, name="old")]
    old = in_time.drop("old.jsonl", lines, source=SOURCE).record
    assert old is not None
    assert (raw_rows(root, FROZEN), raw_rows(root, days_ago(3))) == ({old.sha256: 3}, {old.sha256: 2})

    corrected = root.drop("new.jsonl", lines_of(FROZEN, 5, name="new"), source=SOURCE)
    assert corrected.record is not None
    assert corrected.record.too_late == {FROZEN.isoformat(): 5}
    done = replaced(root, old, corrected)
    assert (done.is_new, done.days) == (True, (days_ago(3).isoformat(), FROZEN.isoformat()))
    state = read_state(root.platform)
    assert f"gone landed_files/{SOURCE}/{old.sha256}" in decide(state, "raw_events", FROZEN).reasons
    assert decide(state, "raw_events", days_ago(3)).reasons == (f"gone landed_files/{SOURCE}/{old.sha256}",)
    assert raw_rows(root, FROZEN) == {corrected.record.sha256: 5}
    assert raw_rows(root, days_ago(3)) == {}
    assert root.platform.store.objects.exists(f"raw/{old.sha256}")

    assert not replaced(root, old, corrected).is_new
    assert decide(read_state(root.platform), "raw_events", FROZEN).status is Status.CLEAN
    # The same bytes landed again stay retracted.
    again = root.drop("old.jsonl", lines, source=SOURCE)
    assert again.outcome == "known"
    assert decide(read_state(root.platform), "raw_events", days_ago(3)).status is Status.CLEAN


def test_a_replacement_can_be_taken_back(tmp_path: Path) -> None:
    """Of two files that replaced each other the one that did last counts."""
    root = late_root(tmp_path)
    first = land(root, "first.jsonl", open_=2)
    second = root.drop("second.jsonl", lines_of(OPEN, 3, name="second"), source=SOURCE)
    replaced(root, first, second)
    assert [record.sha256 for record in current_records(root.platform)] == [second.record and second.record.sha256]
    assert second.record is not None
    decisions.replace_landed(root.platform, SOURCE, second.record.sha256, first)
    assert [record.sha256 for record in current_records(root.platform)] == [first.sha256]


def test_what_was_routed_is_made_again_where_it_is_gone(tmp_path: Path) -> None:
    """A root of which only bytes and ledger were saved is built by itself: admitted rows are there, too-late ones not."""
    root = late_root(tmp_path)
    record = land(root, "a.jsonl", frozen=4, complete=3, open_=2)
    other = land(root, "b.jsonl", frozen=1)
    decisions.admit(root.platform, SOURCE, other.sha256, [FROZEN.isoformat()], "a test")
    shutil.rmtree(root.folder / "_store" / "landed_files")
    assert raw_rows(root, FROZEN) == {other.sha256: 1}
    assert raw_rows(root, COMPLETE) == {record.sha256: 3}
    assert raw_rows(root, OPEN) == {record.sha256: 2}


def test_of_all_that_replaced_a_file_one_counts(tmp_path: Path) -> None:
    """A second correction that names the first file again takes the place of the first correction; again, nothing."""
    root = late_root(tmp_path)
    first = land(root, "first.jsonl", open_=2)
    second = root.drop("second.jsonl", lines_of(OPEN, 3, name="second"), source=SOURCE)
    third = root.drop("third.jsonl", lines_of(OPEN, 4, name="third"), source=SOURCE)
    assert second.record is not None
    assert third.record is not None
    replaced(root, first, second)
    done = replaced(root, first, third)
    assert (done.sha256, done.is_new, done.days) == (second.record.sha256, True, (OPEN.isoformat(),))
    assert not replaced(root, first, third).is_new
    assert raw_rows(root, OPEN) == {third.record.sha256: 4}


def test_a_decision_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    """Unknown, ambiguous and short hashes, a file in its own place, one without rows, and one of which no row has a day."""
    root = late_root(tmp_path)
    record = land(root, "a.jsonl", open_=2)
    empty = root.drop("empty.jsonl", [], source=SOURCE).record
    assert empty is not None
    for wrong in ("0" * 64, record.sha256[:7], ""):
        with pytest.raises(DecisionError, match=record.sha256[:12]):
            decisions.retract(root.platform, SOURCE, wrong, reason="test")
    with pytest.raises(DecisionError, match="itself"):
        decisions.replace_landed(root.platform, SOURCE, record.sha256, record)
    with pytest.raises(DecisionError, match="no rows"):
        decisions.replace_landed(root.platform, SOURCE, record.sha256, empty)
    cut_off = root.drop("cut.jsonl", [{"event_id": "e"}], source=SOURCE).record
    assert cut_off is not None
    with pytest.raises(DecisionError, match="no rows"):
        decisions.replace_landed(root.platform, SOURCE, record.sha256, cut_off)
    assert root.platform.ledger.decisions.of(SOURCE) == ()


def write(folder: Path, name: str, *days: tuple[dt.date, int, int]) -> Path:
    """Write a file with so many rows of each day, from an hour of the day on."""
    lines = [line for day, count, hour in days for line in lines_of(day, count, name=name, hour=hour)]
    path = folder / name
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_the_watermark_follows_what_was_landed(tmp_path: Path) -> None:
    """With `event_time` the row at the quantile of a file counts, and the first landing has no late rows."""
    root = late_root(tmp_path, watermark="event_time", quantile=0.5, max_out_of_orderness_hours=2)
    assert SOURCE not in read_watermarks(root.platform)
    # Of ten rows five are of 10:00 … 10:04 two days ago, four later that day, and one of a device that runs ahead.
    first = write(tmp_path, "a", (FROZEN, 5, 10), (FROZEN, 4, 20), (OPEN, 1, 11))
    (landed,) = land_named(root.platform, SOURCE, [first])
    assert landed.record is not None
    assert (landed.record.late, landed.record.too_late) == ({}, {})
    assert read_watermarks(root.platform)[SOURCE] == dt.datetime.combine(FROZEN, dt.time(8, 4), tzinfo=dt.UTC)


def test_files_of_one_landing_are_judged_alike_in_any_order(tmp_path: Path) -> None:
    """All by the watermark before it: only the next landing finds the days of the first complete or frozen."""
    found = []
    for order in (1, -1):
        folder = tmp_path / str(order)
        keys = {"pattern": "([0-9]{8})", "format": "%Y%m%d", "period_hours": 24}
        root = late_root(folder, watermark="file_time", file_time=keys)
        files = [write(folder, f"{day:%Y%m%d}.jsonl", (day, 2, 9)) for day in (days_ago(5), FROZEN, COMPLETE)]
        at_once = land_named(root.platform, SOURCE, files[::order])
        assert [sum(each.record.late.values()) for each in at_once if each.record] == [0, 0, 0]
        assert read_watermarks(root.platform)[SOURCE] == dt.datetime.combine(OPEN, dt.time(), tzinfo=dt.UTC)
        late = write(folder, "no time in its name", (days_ago(5), 1, 9), (FROZEN, 1, 9), (COMPLETE, 1, 9), (OPEN, 1, 9))
        (judged,) = land_named(root.platform, SOURCE, [late])
        assert judged.record is not None
        assert set(judged.record.too_late) == {days_ago(5).isoformat(), FROZEN.isoformat()}
        assert set(judged.record.late) == {days_ago(5).isoformat(), FROZEN.isoformat(), COMPLETE.isoformat()}
        found.append(sorted((record.sha256, record.fragment) for record in current_records(root.platform)))
    assert found[0] == found[1]
