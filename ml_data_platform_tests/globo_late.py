"""The real clicks as they would have come: an hourly file at a time, each when its hour is over.

What is late is counted twice, by the platform and here with pandas and plain arithmetic. The files are numbered hours
from 2017-10-01T03:00Z on; a file holds the sessions that began from 24 minutes before its hour on.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ml_data_platform.events.contract_parts import Lateness
from ml_data_platform.events.contracts import Contracts
from ml_data_platform.events.delays import Delays, merged
from ml_data_platform.events.due_runs import DueRun, due_runs
from ml_data_platform.events.planning import LAYERS, expected_days, plan
from ml_data_platform.stages import flow
from ml_data_platform.stages.landed_files import land_named
from ml_data_platform.stages.platform import Platform, open_platform
from ml_data_platform.storage.keys import load_or_create_key
from ml_data_platform.storage.ledger import LedgerRecord
from ml_data_platform.storage.table_store import PartitionRef
from ml_data_platform_tests.globo_log import DAY_MS, SOURCE, GloboLog
from ml_data_platform_tests.pipeline_root import settings_for
from ml_data_platform_tests.planning_states import World

ORIGIN = dt.datetime(2017, 10, 1, 3, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
HOUR_MS = 3_600_000
AFTERWARDS = dt.datetime(2017, 12, 1, tzinfo=dt.UTC)
RUN_LAYERS = (LAYERS[0], LAYERS[1] + LAYERS[2])
"""What one run of the sensor builds."""
LATENESS = {
    "watermark": "file_time",
    "file_time": {"pattern": "clicks_hour_([0-9]+)", "origin": ORIGIN, "period_hours": 1},
    "grace_period_hours": 24,
    # So that a file that is delayed is judged by the others alone.
    "idle_after_hours": 24 * 30,
}


def hour_of(path: Path) -> int:
    """Return the number of a file's hour."""
    return int(path.name.removeprefix("clicks_hour_")[:3])


@dataclass
class Newsroom:
    """A root whose clock is set by hand, and whose clicks' watermark follows the names of the files.

    Attributes:
        platform: The opened root.
        now: What its clock shows.
    """

    platform: Platform
    now: dt.datetime = AFTERWARDS

    @classmethod
    def open(cls, root: Path, policy: str) -> Newsroom:
        """Open an empty root; clicks may lie as far ahead as these do."""
        settings = settings_for(root, start_date=ORIGIN.date(), max_future_hours=24 * 60)
        room = cls.__new__(cls)
        room.now = AFTERWARDS
        # Roots that are compared have one key, which is copied before anything is landed.
        load_or_create_key(settings.secrets_folder)
        opened = open_platform(settings, lambda: room.now)
        lateness = Lateness.model_validate({**LATENESS, "late_policy": policy})
        contract = opened.contracts[SOURCE].model_copy(update={"lateness": lateness})
        room.platform = replace(opened, contracts=Contracts({**opened.contracts, SOURCE: contract}))
        return room

    def land(self, path: Path) -> LedgerRecord:
        """Land one file."""
        (landed,) = land_named(self.platform, SOURCE, [path])
        assert landed.record is not None, landed.reason
        return landed.record

    def land_hourly(
        self, files: Sequence[Path], delayed_hours: Mapping[int, int]
    ) -> Iterator[tuple[Path, LedgerRecord]]:
        """Land files one by one when their hour is over, or so many hours later for those of some hours."""
        due = sorted(
            (ORIGIN + (hour_of(path) + 1 + delayed_hours.get(hour_of(path), 0)) * HOUR, path) for path in files
        )
        for at, path in due:
            self.now = at
            yield path, self.land(path)

    def build(self, day: dt.date) -> tuple[str, str]:
        """Build raw and validated events of a day through their stages; returns the hashes of their bytes."""
        store, contents = self.platform.store, []
        refs: dict[str, PartitionRef] = {}
        for asset in ("raw_events", "validated_events"):
            with store.scratch() as scratch:
                result = flow.build(self.platform, asset, day, refs, scratch)
                assert not result.is_blocked, result.failed
                for staged in result.tables.values():
                    store.commit(staged, run_id="globo")
                contents.append(result.tables[asset].content)
            refs[asset] = store.ref(asset, [day.isoformat()])
        return contents[0], contents[1]


@dataclass(frozen=True)
class Lateness24:
    """What was late over all files.

    Attributes:
        late_rows: Rows of days that were complete before their file came.
        too_late_rows: Of these, rows of days that had been complete for 24 hours.
        delays: How late the rows of days that were complete came.
    """

    late_rows: int
    too_late_rows: int
    delays: Delays


def recorded(records: Sequence[LedgerRecord]) -> Lateness24:
    """Add up what the ledger says; a day is frozen 24 hours after the watermark passed its end."""
    late = too_late = 0
    delays = []
    for record in records:
        assert record.admission is not None
        watermark = record.admission.watermark
        for day, rows in record.late.items():
            end = dt.datetime.fromisoformat(f"{day}T00:00+00:00") + 24 * HOUR
            assert watermark is not None
            late += rows
            too_late += rows if end + 24 * HOUR <= dt.datetime.fromisoformat(watermark) else 0
            delays.append(Delays.of_text(record.delays[day]))
    return Lateness24(late, too_late, merged(delays))


def counted(log: GloboLog, order: Sequence[Path]) -> tuple[int, int]:
    """Count with pandas the rows that were late, and those that a grace of 24 hours would have kept apart."""
    clicks, late, too_late = log.clicks, 0, 0
    origin, watermark = int(ORIGIN.timestamp() * 1000), None
    for path in order:
        ends = (clicks.loc[clicks["file"] == path.name, "day"] + 1) * DAY_MS
        if watermark is not None:
            late += int((ends <= watermark).sum())
            too_late += int((ends + DAY_MS <= watermark).sum())
        watermark = max(watermark or 0, origin + (hour_of(path) + 1) * HOUR_MS)
    return late, too_late


def planned_runs(landed: Sequence[tuple[dt.datetime, str, Sequence[dt.date]]]) -> int:
    """Count the runs that the sensor asks for when each file is followed by all that it makes due.

    Args:
        landed: When each file came, its name, and its days.
    """
    world, runs = World(), 0
    for now, name, days in [*landed, (AFTERWARDS, "", ())]:
        world.now = now
        for day in days:
            world.files.setdefault(day, set()).add(name)
        while due := _due(world):
            for run in due:
                world.run(run)
            runs += len(due)
    return runs


def _due(world: World) -> list[DueRun]:
    state = replace(world.state(), today=world.now.date())
    return due_runs(plan(state, expected_days(state)), RUN_LAYERS)
