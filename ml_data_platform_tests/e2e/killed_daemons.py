"""A root that is fed by one process while the daemon that looks after it is killed again and again.

Belongs here: feeding, killing, losing cursors, and what must hold at the end. Shared by the short test and the long lane
of ``benchmarks/killed_daemons.py``. Does not belong here: starting processes (``dagster_process``).
"""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ml_data_platform.settings import load_settings
from ml_data_platform_tests.e2e.checkout import Checkout
from ml_data_platform_tests.e2e.dagster_process import DagsterDev
from ml_data_platform_tests.e2e.user_interface import UserInterface
from ml_data_platform_tests.pipeline_root import SHOP, PipelineRoot, shop_lines

UNFINISHED = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"]
REST_SECONDS = 900
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
    """One file that is dropped: so long after the one before it, its name, and the day and number of its events."""

    seconds: float
    name: str
    day: dt.date
    events: int

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


def lose_cursors(checkout: Checkout) -> int:
    """Delete everything that the daemon remembers of its sensors; returns the number of rows that were there."""
    found = 0
    with sqlite3.connect(checkout.root / "dagster/storage/schedules/schedules.db") as database:
        for table in ("instigators", "jobs", "job_ticks"):
            found += database.execute(f"DELETE FROM {table}").rowcount
    return found


def wait_for_rest(dagster: DagsterDev, ui: UserInterface) -> None:
    """Wait until every file is taken in, nothing runs and the newest look found nothing to do."""

    def is_at_rest() -> bool:
        if ui.runs(statuses=UNFINISHED):
            return False
        looks = [ui.sensor(name)["ticks"] for name in ("landing_sensor", "late_data_sensor")]
        newest = [ticks[0] for ticks in looks if ticks]
        said = [str(tick["skipReason"]) for tick in newest if tick["status"] == "SKIPPED"]
        return len(said) == len(looks) and "no file to take in" in said[0] and said[1].endswith(" clean")

    dagster.wait_until(is_at_rest, REST_SECONDS, "nothing is left to do")


def ended_runs(ui: UserInterface) -> dict[str, str]:
    """Return the runs by id, each with the key of its work and how it ended, as ``key status``."""
    return {run.run_id: f"{run.tags.get('ml_data_platform/due', run.run_id)} {run.status}" for run in ui.runs()}


def opened(checkout: Checkout) -> PipelineRoot:
    """Return the root of a checkout, as it is now."""
    return PipelineRoot(load_settings({}, checkout.folder), now=dt.datetime.now(dt.UTC))


def clean_build(checkout: Checkout, drops: Sequence[Drop], folder: Path) -> PipelineRoot:
    """Build the same files once, in one process, in a root of its own with the same key."""
    settings = load_settings({}, folder, root=folder, start_date=opened(checkout).settings.start_date)
    secrets = folder / "secrets"
    secrets.mkdir(parents=True)
    for path in (checkout.root / "secrets").iterdir():
        (secrets / path.name).write_bytes(path.read_bytes())
        (secrets / path.name).chmod(0o600)
    root = PipelineRoot(settings, now=dt.datetime.now(dt.UTC))
    for drop in drops:
        root.drop(drop.name, drop.lines)
    assert root.backfill().is_successful
    return root


def faults(checkout: Checkout, drops: Sequence[Drop], ui_runs: Mapping[str, str], scratch: Path) -> list[str]:
    """Return what does not hold at the end; nothing where all is well.

    Args:
        checkout: Whose root came to rest.
        drops: What was dropped.
        ui_runs: From `ended_runs`.
        scratch: Empty folder for the clean build.
    """
    root = opened(checkout)
    found = []
    expected = Counter((drop.day, f"{SHOP}:{line['event_id']}") for drop in drops for line in drop.lines)
    days = sorted({drop.day for drop in drops})
    published = Counter((day, row["event_id"]) for day in days for row in root.rows("validated_events", day))
    if published != expected:
        missing, surplus = expected - published, published - expected
        found.append(
            f"{len(missing)} events are missing, {len(surplus)} are there more than once or were never dropped"
        )
    names = Counter(record.name for record in root.platform.ledger.records())
    if names != Counter(drop.name for drop in drops):
        found.append(f"the ledger holds other files: {names}")
    for asset, day in root.heads():
        history = root.platform.store.log.history(asset, day.isoformat())
        inputs = [json.dumps([dict(record.inputs), record.code_version], sort_keys=True) for record in history]
        if len(set(inputs)) != len(inputs):
            found.append(f"{asset} of {day} was published twice from the same inputs: {len(inputs)} generations")
    successes = Counter(each.split()[0] for each in ui_runs.values() if each.endswith(" SUCCESS"))
    found += [f"the work {key} succeeded {count} times" for key, count in successes.items() if count > 1]
    clean = clean_build(checkout, drops, scratch)
    ours, theirs = root.contents(), clean.contents()
    found += [
        f"{asset} of {day} differs from a clean build"
        for asset, day in theirs
        if ours.get((asset, day)) != theirs[asset, day]
    ]
    found += [f"{asset} of {day} is in no clean build" for asset, day in ours.keys() - theirs.keys()]
    return found
