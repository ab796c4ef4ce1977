"""What came too late is decided once: whatever happens later, bytes and ledger lead to the same tables."""

from __future__ import annotations

import datetime as dt
import itertools
import random
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_data_platform.errors import DamagedObjectError, StageFailedError
from ml_data_platform.stages import decisions, flow
from ml_data_platform.stages.landed_files import land_inbox, restore_landed
from ml_data_platform.stages.state import current_records, landed_records
from ml_data_platform_tests.examples import tried
from ml_data_platform_tests.late_shop import SOURCE, late_root, lines_of, write_contract
from ml_data_platform_tests.pipeline_root import START, PipelineRoot

DAY = dt.timedelta(days=1)
FIRST = dt.datetime.combine(START + 3 * DAY, dt.time(6), tzinfo=dt.UTC)
LATENESS = {"late_policy": "quarantine", "max_delay_hours": 5, "grace_period_hours": 30}
EAST = 10
"""Hours by which the zone of the second contract is ahead; events are at 05:00 without an offset."""


@dataclass
class File:
    """One landed file, and what must become of its rows, worked out from the definitions.

    Attributes:
        rows: Rows by the day that the producer wrote.
        watermark: The source's watermark at the first landing.
        sha256: Its content.
        admitted: Days that were replayed.
        is_retracted: Whether another file took its place.
    """

    rows: dict[dt.date, int]
    watermark: dt.datetime
    sha256: str = ""
    admitted: set[dt.date] = field(default_factory=set)
    is_retracted: bool = False

    def days(self, east: int) -> Counter[dt.date]:
        """Rows by UTC day, the written time being so many hours ahead."""
        found: Counter[dt.date] = Counter()
        for day, count in self.rows.items():
            found[(dt.datetime.combine(day, dt.time(5)) - dt.timedelta(hours=east)).date()] += count
        return found

    def is_too_late(self, day: dt.date) -> bool:
        """Whether the day was frozen, 30 hours after the watermark passed its end, and nobody replayed it."""
        end = dt.datetime.combine(day + DAY, dt.time(), tzinfo=dt.UTC)
        return end + dt.timedelta(hours=30) <= self.watermark and day not in self.admitted

    def split(self, east: int) -> tuple[dict[dt.date, int], dict[dt.date, int]]:
        """Rows that count, and rows that are too late, by UTC day."""
        found = {} if self.is_retracted else self.days(east)
        late = {day: count for day, count in found.items() if self.is_too_late(day)}
        return {day: count for day, count in found.items() if day not in late}, late


def play(root: PipelineRoot, rng: random.Random) -> tuple[list[File], dt.datetime]:
    """Land files while days pass, replay some of what came too late, and let files replace others."""
    files: list[File] = []
    now = FIRST
    for number in itertools.count():
        now += rng.choice((0, 3, 20, 60)) * dt.timedelta(hours=1)
        at, done = root.at(now), [file for file in files if not file.is_retracted]
        step = rng.choice(("land", "land", "admit", "replace")) if done else "land"
        if step == "admit":
            file = rng.choice(files)
            days = [day for day in file.days(0) if rng.random() < 0.6]
            new = {day for day in days if file.is_too_late(day)}
            count = decisions.admit(at.platform, SOURCE, file.sha256, [day.isoformat() for day in days], "a test")
            assert count == sum(file.days(0)[day] for day in new)
            file.admitted |= new
            continue
        rows = {START + back * DAY: rng.randint(1, 3) for back in rng.sample(range(1, 5), rng.randint(1, 3))}
        lines = [line for day, count in rows.items() for line in lines_of(day, count, name=f"f{number}", hour=5)]
        landed = at.drop(f"{number}.jsonl", lines, source=SOURCE).record
        assert landed is not None
        file = File(rows, now - dt.timedelta(hours=5), landed.sha256)
        if step == "replace":
            old = rng.choice(done)
            decisions.replace_landed(at.platform, SOURCE, old.sha256, landed)
            # A corrected file counts wherever the old one counted or would have.
            file.admitted = {day for day in file.rows if file.is_too_late(day) and not old.is_too_late(day)}
            old.is_retracted = True
        files.append(file)
        if len(files) >= 4:
            return files, now
    raise AssertionError


def built(root: PipelineRoot) -> dict[dt.date, str]:
    """Build the raw events of every day that has rows; return their bytes' hashes."""
    found = {}
    for day in sorted({day for record in current_records(root.platform) for day in record.rows_per_day}):
        with root.platform.store.scratch() as scratch:
            of = dt.date.fromisoformat(day)
            found[of] = flow.build(root.platform, "raw_events", of, {}, scratch).tables["raw_events"].content
    return found


def assert_accounted_for(root: PipelineRoot, files: list[File], east: int) -> None:
    """Every row of every file counts on its day, is too late for it, or belongs to a retracted file."""
    now_counting = {record.sha256: record for record in current_records(root.platform)}
    for file in files:
        counted, late = file.split(east)
        record = now_counting.get(file.sha256)
        assert (record is None) == file.is_retracted
        if record is not None:
            assert record.rows_per_day == {day.isoformat(): count for day, count in sorted(counted.items())}
            assert record.too_late == {day.isoformat(): count for day, count in sorted(late.items())}
    for record in landed_records(root.platform):
        assert record.rows == sum([*record.rows_per_day.values(), *record.too_late.values(), *record.undated.values()])


@tried(15)
@given(seed=st.integers(0, 10**6), is_read_again=st.booleans())
def test_bytes_and_ledger_lead_to_the_same_tables(seed: int, is_read_again: bool) -> None:
    """A clean root with the kept bytes and the ledger, years later, builds the same bytes; all rows are accounted for."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        root = late_root(folder, now=FIRST, **LATENESS)
        files, now = play(root, random.Random(seed))
        root = root.at(now)
        assert_accounted_for(root, files, 0)
        if is_read_again:
            # All the files are read anew, long after every day was frozen, under another policy.
            write_contract(folder, {"late_policy": "reopen"}, zone=f"Etc/GMT-{EAST}")
            root = root.at(now + 400 * DAY)
            land_inbox(root.platform)
            assert_accounted_for(root, files, EAST)
        before = built(root)
        clean = root.with_settings(root=folder / "clean").at(now + 5_000 * DAY)
        for part in ("raw", "ledger", "secrets"):
            shutil.copytree(root.folder / part, clean.folder / part)
        assert restore_landed(clean.platform, current_records(clean.platform)) == sum(
            not file.is_retracted for file in files
        )
        assert_accounted_for(clean, files, EAST if is_read_again else 0)
        assert built(clean) == before
        assert restore_landed(clean.platform, current_records(clean.platform)) == 0


def test_changed_bytes_are_not_taken_for_those_that_were_landed(tmp_path: Path) -> None:
    """Restoring from bytes that are gone or were changed is refused, and names the file."""
    root = late_root(tmp_path, **LATENESS)
    record = root.drop("a.jsonl", lines_of(START, 3), source=SOURCE).record
    assert record is not None
    shutil.rmtree(root.folder / "_store" / "landed_files")
    kept = root.folder / "raw" / record.sha256
    kept.chmod(0o644)
    kept.write_bytes(kept.read_bytes().replace(b"user-0", b"user-1"))
    for _ in range(2):
        with pytest.raises((StageFailedError, DamagedObjectError), match=record.sha256):
            restore_landed(root.platform, current_records(root.platform))
        kept.unlink(missing_ok=True)
