"""What one look of the sensors costs: make planning-cost.

Belongs here: a root of many days without tables, made of ledger and commit records through the platform's own
classes, and the time of a look at it. Does not belong here: what a look decides (``events.planning``).

Two claims are measured, not asserted: a look at 1,000 days and 10,000 files takes less than 5 seconds, and planning a
change of three days takes about as long among 900 days as among 90.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from ml_data_platform.defs.location import build_definitions
from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.events.planning import UPSTREAM, Status, expected_days, plan, required_inputs
from ml_data_platform.settings import load_settings
from ml_data_platform.stages.platform import Platform, open_platform
from ml_data_platform.stages.state import TABLES, read_state
from ml_data_platform.stages.watching import Watch
from ml_data_platform.storage.commit_log import FileEntry, LogRecord
from ml_data_platform.storage.ledger import LedgerRecord

SOURCE = "demo_shop"
START = dt.date(2020, 1, 1)
ONE_DAY = dt.timedelta(days=1)
REPEATS = 5
CHANGED_DAYS = 3
BOUND_SECONDS = 5.0


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


@dataclass(frozen=True, order=True)
class Took:
    """Time of an action in seconds: of the processor, and by the clock, which counts what others do too."""

    cpu: float
    wall: float


def seconds(action: Callable[[], object], repeats: int = REPEATS) -> Took:
    """Return the shortest time of an action: what disturbs it makes it longer, nothing makes it shorter."""
    found = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        action()
        found.append(Took(time.process_time() - cpu, time.perf_counter() - wall))
    return min(found)


def measure_ticks(root: Path, days: int, records: int) -> Iterator[tuple[str, Took]]:
    """Return what ticks of the sensors cost in a root, in the order in which a daemon meets them."""
    platform = make_root(root, days, records)
    with dg.DagsterInstance.ephemeral() as instance:
        definitions = build_definitions(platform.settings, platform.clock())
        resources = {"platform": PlatformResource.of(platform.settings, platform.clock())}

        def tick(name: str) -> list[dg.RunRequest]:
            sensor = definitions.resolve_sensor_def(name)
            context = dg.build_sensor_context(
                instance=instance, resources=resources, definitions=definitions, sensor_name=name
            )
            return list(sensor.evaluate_tick(context).run_requests or [])

        yield "late_data_sensor, first tick of a daemon", seconds(lambda: tick("late_data_sensor"), 1)
        yield "late_data_sensor, nothing changed", seconds(lambda: tick("late_data_sensor"))
        yield "landing_sensor, nothing dropped", seconds(lambda: tick("landing_sensor"))
        changed = [START + days // 2 * ONE_DAY + number * 7 * ONE_DAY for number in range(CHANGED_DAYS)]
        land(platform, records + 1, changed)
        asked: list[dg.RunRequest] = []
        yield (
            "late_data_sensor, a file of three days landed",
            seconds(lambda: asked.extend(tick("late_data_sensor")), 1),
        )
        if [each.partition_key for each in asked] != [day.isoformat() for day in changed]:
            raise SystemExit(f"the tick asked for other days: {[each.partition_key for each in asked]}")
        yield "everything decided anew, as `plan` does", seconds(lambda: look_at_everything(platform))


def look_at_everything(platform: Platform) -> int:
    """Read and decide about every day; return how many partitions are open."""
    state = read_state(platform)
    return sum(each.status.value in {"dirty", "waiting"} for each in plan(state, expected_days(state)))


def measure_change(root: Path, days: int) -> tuple[Took, tuple[tuple[str, int], ...]]:
    """Return how long planning a change of three days takes in a root of two files a day, and what was planned.

    Returns:
        Shortest time, and (asset, days after the first changed day) of each partition that is open.
    """
    platform = make_root(root, days, 2 * days)
    watch = Watch(platform, time.monotonic)
    watch.look()
    first = START + days // 2 * ONE_DAY
    changed = [first, first + 7 * ONE_DAY, first + 14 * ONE_DAY]
    times, planned = [], set()
    for number in range(REPEATS * 4):
        land(platform, 2 * days + number, changed)
        times.append(seconds(watch.look, 1))
        found = watch.look()
        planned = {
            (each.asset, (each.day - first).days) for each in found if each.status in {Status.DIRTY, Status.WAITING}
        }
    return min(times), tuple(sorted(planned))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=1_000)
    parser.add_argument("--records", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="planning-") as folder:
        print(f"{given.days:,} days, {given.records:,} files; bound of a tick: {BOUND_SECONDS:g} s")
        slowest = 0.0
        print("     cpu s   clock s")
        for name, took in measure_ticks(Path(folder) / "large", given.days, given.records):
            print(f"  {took.cpu:8.3f}  {took.wall:8.3f}  {name}")
            slowest = max(slowest, took.cpu)
        few, many = (measure_change(Path(folder) / f"change-{days}", days) for days in (90, 900))
        ratio = many[0].cpu / few[0].cpu
        is_same = few[1] == many[1]
        print("planning a change of three days, its file just landed")
        print(
            f"  {few[0].cpu * 1e3:8.2f} ms among 90 days, {many[0].cpu * 1e3:.2f} ms among 900: {ratio:.2f} times as long"
        )
        print(f"  {len(few[1])} partitions planned among 90 days, {'the same' if is_same else 'OTHERS'} among 900")
    return 0 if slowest < BOUND_SECONDS and is_same else 1


if __name__ == "__main__":
    sys.exit(main())
