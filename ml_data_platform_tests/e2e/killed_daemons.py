"""A root that is fed while the daemon that looks after it is killed again and again.

Belongs here: feeding, losing cursors, and what must hold at the end. Shared by the short test and the long lane of
``benchmarks/killed_daemons.py``. Does not belong here: starting and killing processes (``dagster_process``).
"""

from __future__ import annotations

import datetime as dt
import io
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow.parquet as pq

from ml_data_platform.settings import load_settings
from ml_data_platform.storage.layout import Layout
from ml_data_platform_tests.e2e.checkout import Checkout
from ml_data_platform_tests.e2e.user_interface import SENSORS, UserInterface
from ml_data_platform_tests.pipeline_root import SHOP, PipelineRoot, shop_lines

UNFINISHED = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"]
REST_SECONDS = 900
NOTHING_TO_DO = {
    "landing_sensor": "no file to take in",
    "pull_sensor": "nothing new at the addresses",
    "late_data_sensor": " clean$",
}
FEEDER = """
import json, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
for line in sys.stdin:
    seconds, name, text = json.loads(line)
    time.sleep(seconds)
    written = folder.parent / f"{name}.writing"
    written.write_text(text)
    written.rename(folder / name)
    print(name, flush=True)
"""


@dataclass(frozen=True)
class Drop:
    """One file: dropped so long after the one before it, its name, the day and number of its events, and its source."""

    seconds: float
    name: str
    day: dt.date
    events: int
    source: str = SHOP

    @property
    def lines(self) -> list[dict[str, object]]:
        """Its events; their ids hold the name."""
        return shop_lines(self.day, self.events, name=self.name, hour=len(self.name) % 12)

    @property
    def text(self) -> str:
        """What is written."""
        return "".join(json.dumps(line) + "\n" for line in self.lines)


@contextmanager
def feeding(checkout: Checkout, drops: Sequence[Drop]) -> Iterator[subprocess.Popen[str]]:
    """Drop files from another process while the block runs, and wait until all are dropped."""
    command = [sys.executable, "-c", FEEDER, str(checkout.landing)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stdin is not None
        for drop in drops:
            process.stdin.write(json.dumps([drop.seconds, drop.name, drop.text]) + "\n")
        process.stdin.close()
        yield process
        assert process.wait(REST_SECONDS) == 0


def lose_cursors(dagster_home: Path, *, but: str = "no sensor") -> int:
    """Delete what the daemon remembers of its sensors, but for one; returns the number of rows that were there."""
    found = 0
    with closing(sqlite3.connect(dagster_home / "storage/schedules/schedules.db")) as database, database:
        for table, body in (("instigators", "instigator_body"), ("jobs", "job_body"), ("job_ticks", "tick_body")):
            found += database.execute(f"DELETE FROM {table} WHERE {body} NOT LIKE ?", [f"%{but}%"]).rowcount
    return found


def wait_for_rest(ui: UserInterface, sensors: Iterable[str] = SENSORS) -> None:
    """Wait until nothing runs, and each sensor has looked after the last run ended and found nothing to do."""

    def has_nothing_to_do(sensor: str, since: float) -> bool:
        newest = next(iter(ui.sensor(sensor)["ticks"]), None)
        is_new = newest is not None and newest["status"] == "SKIPPED" and newest["timestamp"] > since
        return is_new and re.search(NOTHING_TO_DO[sensor], newest["skipReason"]) is not None

    def is_at_rest() -> bool:
        if ui.runs(statuses=UNFINISHED):
            return False
        since = max((run.ended or 0.0 for run in ui.runs()), default=0.0)
        return all(has_nothing_to_do(sensor, since) for sensor in sensors)

    ui.dagster.wait_until(is_at_rest, REST_SECONDS, "nothing is left to do")


def ended_runs(ui: UserInterface) -> dict[str, str]:
    """Return the runs by id, each with the key of its work and how it ended, as ``key status``."""
    return {run.run_id: f"{run.tags.get('ml_data_platform/due', run.run_id)} {run.status}" for run in ui.runs()}


def opened(checkout: Checkout) -> PipelineRoot:
    """Return the root of a checkout, as it is now."""
    return PipelineRoot(load_settings({}, checkout.folder), now=dt.datetime.now(dt.UTC))


def clean_build(of: PipelineRoot, drops: Sequence[Drop], folder: Path) -> PipelineRoot:
    """Build the same files once, in one process, in a folder of its own with the same key and contracts."""
    settings = load_settings({}, folder, root=folder, start_date=of.settings.start_date, sources=of.settings.sources)
    shutil.copytree(of.settings.secrets_folder, folder / "secrets")
    root = PipelineRoot(settings, now=dt.datetime.now(dt.UTC))
    for drop in drops:
        root.drop(drop.name, drop.lines, drop.source)
    assert root.backfill().is_successful
    return root


def faults(root: PipelineRoot, drops: Sequence[Drop], ui_runs: Mapping[str, str], scratch: Path) -> list[str]:
    """Return what does not hold at the end; nothing where all is well.

    Args:
        root: It came to rest.
        drops: What was dropped.
        ui_runs: From `ended_runs`.
        scratch: Folder that is made for the clean build.
    """
    found = []
    expected = Counter((drop.day, f"{drop.source}:{line['event_id']}") for drop in drops for line in drop.lines)
    days = sorted({drop.day for drop in drops})
    published = Counter((day, event_id) for day in days for event_id in _published(root, day))
    if published != expected:
        missing, surplus = expected - published, published - expected
        found.append(
            f"{len(missing)} events are missing, {len(surplus)} are there more than once or were never dropped"
        )
    names = Counter(PurePosixPath(record.name).name for record in root.platform.ledger.records())
    if names != Counter(drop.name for drop in drops):
        found.append(f"the ledger holds other files: {names}")
    for asset, day in root.heads():
        history = root.platform.store.log.history(asset, day.isoformat())
        inputs = [json.dumps([dict(record.inputs), record.code_version], sort_keys=True) for record in history]
        if len(set(inputs)) != len(inputs):
            found.append(f"{asset} of {day} was published twice from the same inputs: {len(inputs)} generations")
    successes = Counter(each.split()[0] for each in ui_runs.values() if each.endswith(" SUCCESS"))
    found += [f"the work {key} succeeded {count} times" for key, count in successes.items() if count > 1]
    clean = clean_build(root, drops, scratch)
    ours, theirs = root.contents(), clean.contents()
    found += [
        f"{asset} of {day} differs from a clean build"
        for asset, day in theirs
        if ours.get((asset, day)) != theirs[asset, day]
    ]
    found += [f"{asset} of {day} is in no clean build" for asset, day in ours.keys() - theirs.keys()]
    return found


def _published(root: PipelineRoot, of: dt.date) -> list[str]:
    """Return the ids in the view of a day's events."""
    content = root.platform.store.objects.read_bytes(Layout.view_key("validated_events", of, "data.parquet"))
    return list(pq.ParquetFile(io.BytesIO(content)).read(["event_id"])["event_id"].to_pylist())
