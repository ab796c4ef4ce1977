"""The real clicks as they would have come, an hour at a time: what is late, how late, and what repairs it costs.

Run by ``make globo-late``; ends with status 1 when the bytes differ from landing all at once, or the counts from those of
pandas. ``--delay N`` has every 16th file come N hours late besides.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.progress import track
from rich.table import Table

from benchmarks.verdicts import Verdicts, out, print_verdicts
from ml_data_platform.storage.ledger import LedgerRecord
from ml_data_platform_tests.globo_late import Newsroom, counted, hour_of, planned_runs, recorded
from ml_data_platform_tests.globo_log import GloboLog, clicks_folder, hourly_files

EVERY = 16


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the lane and print its tables; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay", type=int, default=0, metavar="HOURS", help="every 16th file comes so much later")
    parser.add_argument("--hours", type=int, default=192, help="take only the first hours")
    options = parser.parse_args(arguments)
    folder = clicks_folder(os.environ)
    if not folder.is_dir():
        out.print(f"the real clicks are not in {folder}; EVENT_LOGS_FOLDER names another place")
        return 1
    files = hourly_files(folder)[: options.hours]
    delays = {hour_of(path): options.delay for path in files if hour_of(path) % EVERY == EVERY // 2 and options.delay}
    with tempfile.TemporaryDirectory(prefix="globo-late-") as temporary:
        return _run(Path(temporary), files, delays)


def _run(top: Path, files: list[Path], delays: dict[int, int]) -> int:
    verdicts, log = Verdicts(), GloboLog.read(files)
    room = Newsroom.open(top / "hourly", "reopen")
    shutil.copytree(top / "hourly" / "secrets", top / "once" / "secrets")
    at_once = Newsroom.open(top / "once", "reopen")
    landed: list[tuple[dt.datetime, Path, LedgerRecord]] = []
    started = time.monotonic()
    for path, record in track(room.land_hourly(files, delays), "hour by hour", total=len(files)):
        landed.append((room.now, path, record))
    seconds = time.monotonic() - started
    others = {record.sha256: record for record in map(at_once.land, track(files[::-1], "all at once"))}
    records = [record for _, _, record in landed]
    order = [path for _, path, _ in landed]
    verdicts.judge("late rows are those that pandas counts", lambda: _verify_counts(log, order, records))
    verdicts.judge("landed fragments have the same bytes", lambda: _verify_fragments(records, others))
    room.now = at_once.now
    days = sorted({dt.date.fromisoformat(day) for record in records for day in record.rows_per_day})
    verdicts.judge("raw and validated events have the same bytes", lambda: _verify_days(room, at_once, days))
    print_verdicts(verdicts)
    _print_report(landed, seconds)
    return 0 if verdicts.all_hold else 1


def _verify_counts(log: GloboLog, order: Sequence[Path], records: Sequence[LedgerRecord]) -> str:
    found = recorded(records)
    assert (found.late_rows, found.too_late_rows) == counted(log, order)
    return f"{found.late_rows:,} of {sum(log.rows_per_file.values()):,}"


def _verify_fragments(records: Sequence[LedgerRecord], others: dict[str, LedgerRecord]) -> str:
    assert all(record.fragment == others[record.sha256].fragment for record in records)
    assert not any(record.too_late or record.undated for record in records)
    return f"{len(records)} files"


def _verify_days(room: Newsroom, at_once: Newsroom, days: Sequence[dt.date]) -> str:
    for day in track(days, "days"):
        assert room.build(day) == at_once.build(day), day
    return f"{len(days)} days, {days[0]} to {days[-1]}"


def _print_report(landed: Sequence[tuple[dt.datetime, Path, LedgerRecord]], seconds: float) -> None:
    records = [record for _, _, record in landed]
    found, rows = recorded(records), sum(record.rows for record in records)
    table = Table(title="Hour by hour, watermark file_time", header_style="bold", show_header=False)
    runs = planned_runs(
        [(now, path.name, [dt.date.fromisoformat(d) for d in r.rows_per_day]) for now, path, r in landed]
    )
    lines = {
        "files": f"{len(landed)}, landed in {seconds:.0f} s",
        "days that a file touches": f"{sum(len(record.rows_per_day) for record in records):,} in all",
        "runs, each file followed by all that it makes due": f"{runs:,}",
        "late rows (their day was complete)": f"{found.late_rows:,}, {found.late_rows / rows:.2%}",
        "rows that a grace of 24 h would have quarantined": f"{found.too_late_rows:,}, {found.too_late_rows / rows:.2%}",
    }
    for share, name in ((0.5, "median"), (0.99, "99th percentile")):
        lines[f"late rows, from event to the end of their file's hour: {name}"] = _hours(found.delays.quantile(share))
    lines["late rows, from event to the end of their file's hour: maximum"] = _hours(found.delays.max_seconds)
    for name, value in lines.items():
        table.add_row(name, value)
    out.print(table)


def _hours(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    sys.exit(main())
