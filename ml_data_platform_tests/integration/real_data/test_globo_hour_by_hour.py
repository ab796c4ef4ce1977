"""Real clicks that come hour by hour are, in the end, the same as all of them at once; ``make globo-late`` takes all."""

from __future__ import annotations

import datetime as dt
import os
import shutil

import pytest

from ml_data_platform_tests.globo_late import Newsroom, counted, recorded
from ml_data_platform_tests.globo_log import GloboLog, clicks_folder, hourly_files

FOLDER = clicks_folder(os.environ)
HOURS = (3, 5, 19, 20, 21, 44, 45)
"""Around two midnights; the file of hour 5 comes 60 hours late, when its day is frozen."""
DELAYED = {5: 60}
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(
        not FOLDER.is_dir(),
        reason=f"the real clicks are not in {FOLDER}; EVENT_LOGS_FOLDER names another place",
    ),
]


def test_hour_by_hour_ends_as_all_at_once(tmp_path):
    """Under `reopen` fragments, raw and validated events have the same bytes; late rows are those that pandas counts."""
    files = hourly_files(FOLDER, HOURS)
    room, at_once = Newsroom.open(tmp_path / "hourly", "reopen"), Newsroom.open(tmp_path / "once", "reopen")
    shutil.copytree(room.platform.settings.root / "secrets", tmp_path / "once" / "secrets", dirs_exist_ok=True)
    at_once = Newsroom.open(tmp_path / "once", "reopen")
    landed = list(room.land_hourly(files, DELAYED))
    others = {record.sha256: record for record in map(at_once.land, reversed(files))}
    assert [record.fragment for _, record in landed] == [others[record.sha256].fragment for _, record in landed]
    log = GloboLog.read(files)
    found = recorded([record for _, record in landed])
    assert (found.late_rows, found.too_late_rows) == counted(log, [path for path, _ in landed])
    assert found.too_late_rows > 0
    room.now = at_once.now
    for day in (dt.date(2017, 10, 1), dt.date(2017, 10, 2)):
        assert room.build(day) == at_once.build(day)


def test_what_a_day_of_grace_keeps_apart(tmp_path):
    """Under `quarantine` exactly the rows are too late that pandas counts, and none of them is on a day."""
    files = hourly_files(FOLDER, (3, 5, 44))
    room = Newsroom.open(tmp_path / "hourly", "quarantine")
    landed = list(room.land_hourly(files, DELAYED))
    log = GloboLog.read(files)
    late, too_late = counted(log, [path for path, _ in landed])
    assert sum(sum(record.too_late.values()) for _, record in landed) == too_late > 0
    assert sum(sum(record.late.values()) for _, record in landed) == late
    routed = sum(sum(record.rows_per_day.values()) for _, record in landed)
    assert routed + too_late == sum(log.rows_per_file.values())
