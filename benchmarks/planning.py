"""What one look of the sensors costs: make bench-planning.

Belongs here: a root of many days without tables, made of ledger and commit records through the platform's own
classes, and the time of a look at it. Does not belong here: what a look decides (``events.planning``).

Two claims are measured, not asserted: a look at 1,000 days and 10,000 files takes less than 5 seconds, and planning a
change of three days takes about as long among 900 days as among 90.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from ml_data_platform.events.planning import UPSTREAM, expected_days, plan, required_inputs
from ml_data_platform.settings import load_settings
from ml_data_platform.stages.platform import Platform, open_platform
from ml_data_platform.stages.state import TABLES, read_state
from ml_data_platform.storage.commit_log import FileEntry, LogRecord
from ml_data_platform.storage.ledger import LedgerRecord

SOURCE = "demo_shop"
START = dt.date(2020, 1, 1)
ONE_DAY = dt.timedelta(days=1)
REPEATS = 5


def make_root(folder: Path, days: int, records: int) -> Platform:
    """Make a root in which ``days`` days are built from ``records`` files, without writing any table."""
    settings = load_settings({}, folder, root=folder, start_date=START)
    now = dt.datetime.combine(START + (days + 10) * ONE_DAY, dt.time(12), tzinfo=dt.UTC)
    platform = open_platform(settings, lambda: now)
    for number in range(records):
        land(platform, number, [START + (number * days // records) * ONE_DAY])
    for asset in UPSTREAM:
        state = read_state(platform)
        for day in expected_days(state):
            publish(platform, asset, day, required_inputs(state, asset, day))
            if asset == "validated_events":
                publish(platform, "quarantined_events", day, required_inputs(state, asset, day))
    return platform


def land(platform: Platform, number: int, days: Iterable[dt.date]) -> None:
    """Record one file with ten rows on each of ``days``."""
    contract = platform.contracts[SOURCE]
    rows = {day.isoformat(): 10 for day in days}
    first = dt.datetime.combine(min(days), dt.time(9), tzinfo=dt.UTC)
    platform.ledger.append(
        LedgerRecord(
            source=SOURCE,
            sha256=_hash("file", number),
            routing_hash=contract.routing_hash(platform.settings.start_date),
            contract_hash=contract.content_hash,
            name=f"{number:06d}.jsonl",
            size_bytes=1_000,
            status="landed",
            reason=None,
            rows=sum(rows.values()),
            rows_per_day=rows,
            undated={},
            min_event_time=first.isoformat(),
            max_event_time=first.isoformat(),
            ingested_at=(first + ONE_DAY).isoformat(),
            fragment=_hash("fragment", number),
            undated_fragment=None,
            key_id=platform.id_key.key_id,
        )
    )


def publish(platform: Platform, asset: str, day: dt.date, inputs: dict[str, str]) -> None:
    """Record a generation of one partition."""
    head = platform.store.head(asset, day)
    generation = head.generation + 1 if head else 1
    files = tuple(
        FileEntry(name, _hash(asset, day, generation, name), 10_000, 100) for name in sorted(TABLES[asset].files)
    )
    verdict = {"is_published": True, "failed_checks": []} if asset == "quarantined_events" else None
    platform.store.log.append(
        LogRecord(
            asset=asset,
            day=day.isoformat(),
            generation=generation,
            commit_id=_hash("commit", asset, day, generation),
            files=files,
            inputs=inputs,
            code_version="1",
            schema_version=TABLES[asset].version,
            run_id="benchmark",
            committed_at=platform.clock().isoformat(),
            verdict=verdict,
        )
    )


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def look(platform: Platform) -> int:
    """Plan everything, as a sensor does; return how many partitions are not clean."""
    state = read_state(platform)
    return sum(each.status.value in {"dirty", "waiting"} for each in plan(state, expected_days(state)))


def seconds(action: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median time of an action."""
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=1_000)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="folder of the root; kept, and used again")
    given = parser.parse_args()
    folder = given.keep or Path(tempfile.mkdtemp(prefix="planning-"))
    try:
        root = folder / f"root-{given.days}-{given.records}"
        started = time.perf_counter()
        if not root.exists():
            make_root(root, given.days, given.records)
            print("made", time.perf_counter() - started)
        now = dt.datetime.combine(START + (given.days + 10) * ONE_DAY, dt.time(12), tzinfo=dt.UTC)
        platform = open_platform(load_settings({}, root, root=root, start_date=START), lambda: now)
        print("first", seconds(lambda: look(platform), 1))
        print("again", seconds(lambda: look(platform)), look(platform))
        print("recover", seconds(platform.store.recover, 2))
    finally:
        if not given.keep:
            shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
