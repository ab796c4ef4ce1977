"""The loop of the platform under a random schedule: files in any order, refreshes cut short, crashes, restarts.

It does what sensors and runs do - plan, build what is due, publish - through the same functions, in one process, so
that many schedules can be tried. Crashes of real processes are tried in ``faults``.
"""

from __future__ import annotations

import datetime as dt
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from ml_data_platform.defs.io_manager import publish
from ml_data_platform.defs.requests import RUN_LAYERS
from ml_data_platform.errors import BlockedUpstreamError, CommitConflictError
from ml_data_platform.events.due_runs import DueRun, due_runs
from ml_data_platform.events.lateness import ONE_DAY
from ml_data_platform.events.planning import UPSTREAM, Status, decide, expected_days, plan
from ml_data_platform.settings import Settings
from ml_data_platform.stages import flow
from ml_data_platform.stages.decisions import admit, too_late
from ml_data_platform.stages.landed_files import land_named
from ml_data_platform.stages.platform import Platform, open_platform
from ml_data_platform.stages.state import TABLES, read_state
from ml_data_platform.storage import recovery
from ml_data_platform.storage.keys import load_or_create_key
from ml_data_platform.storage.ledger import Ledger
from ml_data_platform.storage.table_store import PartitionRef
from ml_data_platform_tests.event_files import EventFile, EventLog
from ml_data_platform_tests.pipeline_root import SHOP

MAX_TICKS = 60
ACTIONS = ("land", "land", "crash in landing", "crash in a run", "slow build", "tick")
"""What can happen next, by how often."""
Due = Callable[[Platform], list[DueRun]]


class CrashError(BaseException):
    """The process ends here."""


def due_now(platform: Platform) -> list[DueRun]:
    """Return what the sensor would start now."""
    state = read_state(platform)
    return due_runs(plan(state, expected_days(state)), RUN_LAYERS)


@dataclass
class Loop:
    """One root and what works on it.

    Attributes:
        settings: Of the root.
        now: What the clock shows.
        due: What each tick finds to be due.
        source: Whose files are landed.
        admitted: Content and day of the rows that came too late and were admitted.
    """

    settings: Settings
    now: dt.datetime
    due: Due = due_now
    source: str = SHOP
    platform: Platform = field(init=False)
    dropped: int = 0
    admitted: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Open the root as a new process does."""
        self.platform = open_platform(self.settings, lambda: self.now)
        self.platform.store.recover()

    def land(self, file: EventFile) -> None:
        """Land a file, under another name each time."""
        self.dropped += 1
        path = self.settings.root.parent / f"{self.settings.root.name}_dropped" / f"{self.dropped}-{file.name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        land_named(self.platform, self.source, [path])

    def admit_one(self, rng: random.Random) -> None:
        """Admit the rows of one file that came too late, where there is one."""
        found = too_late(self.platform)
        if found:
            chosen = rng.choice(found)
            admit(self.platform, self.source, chosen.sha256, [chosen.day], "they are good")
            self.admitted.add((chosen.sha256, chosen.day))

    def tick(self, limit: int) -> int:
        """Start at most so many of the runs that are due; return how many there were."""
        found = self.due(self.platform)
        for due in found[:limit]:
            self.run(due)
        return len(found)

    def run(self, due: DueRun) -> None:
        """Build the dirty assets of one run, one after the other; a refused commit ends it."""
        for asset in due.assets:
            try:
                with self.built(asset, due.day):
                    pass
            except (BlockedUpstreamError, CommitConflictError):
                return

    @contextmanager
    def built(self, asset: str, day: dt.date) -> Iterator[None]:
        """Build a partition, and publish it at the end of the block."""
        refs = self._pinned(asset, day)
        state = read_state(self.platform, pinned=list(refs.values()), days=[day - ONE_DAY, day, day + ONE_DAY])
        if decide(state, asset, day).status is Status.CLEAN:
            yield
            return
        with self.platform.store.scratch() as scratch:
            result = flow.build(self.platform, asset, day, refs, scratch)
            yield
            for staged in result.tables.values():
                publish(self.platform, staged, f"run-{self.dropped}")

    def settle(self) -> None:
        """Go on until nothing is due."""
        for _ in range(MAX_TICKS):
            if not self.tick(limit=MAX_TICKS):
                return
        raise AssertionError(f"still due after {MAX_TICKS} ticks: {self.due(self.platform)[:3]}")

    def contents(self) -> dict[tuple[str, str], str]:
        """Return the content hash of every published partition."""
        heads = {asset: self.platform.store.heads(asset) for asset in TABLES}
        return {(asset, day): head.content for asset, days in heads.items() for day, head in days.items()}

    def _pinned(self, asset: str, day: dt.date) -> dict[str, PartitionRef]:
        days: dict[str, list[dt.date]] = {}
        for upstream, offset in UPSTREAM[asset]:
            days.setdefault(upstream, []).append(day + offset * ONE_DAY)
        return {upstream: self.platform.store.ref(upstream, of) for upstream, of in days.items()}


def clean_build(settings: Settings, log: EventLog, now: dt.datetime, *, like: Settings) -> Loop:
    """Land all files at once in an empty root with the keys of another one, and build everything once."""
    loop = empty_root(settings, now, like=like)
    for file in log.files:
        loop.land(file)
    loop.settle()
    return loop


def rebuilt_from_ledger(loop: Loop, settings: Settings) -> Loop:
    """Copy a root without its tables, and build everything once from what its ledger says."""
    tables = {loop.settings.root / "_store" / table for table in TABLES}
    tables |= {loop.settings.root / "data" / table for table in TABLES}
    for name in ("secrets", "ledger", "raw", "_store", "data"):
        source = loop.settings.root / name
        shutil.copytree(
            source,
            settings.root / name,
            ignore=lambda folder, names: [each for each in names if Path(folder) / each in tables],
        )
    other = Loop(settings, loop.now, source=loop.source)
    other.settle()
    return other


def empty_root(settings: Settings, now: dt.datetime, *, like: Settings) -> Loop:
    """Open an empty root with the keys of another one."""
    load_or_create_key(like.secrets_folder)
    shutil.copytree(like.secrets_folder, settings.secrets_folder)
    return Loop(settings, now)


def play(
    loop: Loop, log: EventLog, rng: random.Random, end: dt.datetime, actions: Sequence[str] = ACTIONS
) -> list[str]:
    """Land the files in any order, some twice, among refreshes, crashes and restarts, while the clock moves to ``end``.

    Returns:
        What was done, for the message of a failure.
    """
    waiting = [*log.files, *rng.sample(log.files, rng.randint(0, 2))]
    rng.shuffle(waiting)
    step = (end - loop.now) / (len(waiting) + 1)
    done = []
    while waiting:
        file, action = (
            waiting[-1],
            rng.choice(actions),
        )
        if action == "tick":
            loop.tick(rng.randint(1, 3))
        elif action == "admit":
            loop.admit_one(rng)
        elif action == "crash in landing":
            with _crash_at(Ledger, "append", after=rng.random() < 0.5):
                loop.land(file)
            loop.restart()
        elif action == "crash in a run":
            where, name = rng.choice(((recovery, "project_head"), (type(loop.platform.store), "commit")))
            with _crash_at(where, name, after=rng.random() < 0.5):
                loop.tick(1)
            loop.restart()
        else:
            waiting.pop()
            if action == "slow build":
                _land_during_a_build(loop, file, rng)
            else:
                loop.land(file)
            loop.now += step
        done.append(f"{action} ({file.name})" if "land" in action else action)
    loop.now = end
    loop.restart()
    loop.settle()
    return done


def _land_during_a_build(loop: Loop, file: EventFile, rng: random.Random) -> None:
    """A file arrives between a build's reading and its publishing, and others get ahead of it."""
    due = loop.due(loop.platform)
    if not due:
        loop.land(file)
        return
    chosen = rng.choice(due)
    try:
        with loop.built(chosen.assets[0], chosen.day):
            loop.land(file)
            loop.tick(rng.randint(0, 1))
    except (BlockedUpstreamError, CommitConflictError):
        return


@contextmanager
def _crash_at(owner: object, name: str, *, after: bool) -> Iterator[None]:
    """End the process at the first call of a function, before or after it did its work."""
    original = getattr(owner, name)

    def crash(*args: object, **kwargs: object) -> None:
        if after:
            original(*args, **kwargs)
        raise CrashError

    with mock.patch.object(owner, name, crash):
        try:
            yield
        except CrashError:
            return


def edge_triggered() -> Due:
    """Return a planner that keeps a list of touched days in memory, as a broken one would.

    It is told of a day when a file lands, and forgets it when it has handed it out: what a crash or a lost race undoes
    is never done again.
    """
    known: set[str] = set()

    def due(platform: Platform) -> list[DueRun]:
        touched = {
            dt.date.fromisoformat(day)
            for record in platform.ledger.records()
            if record.sha256 not in known
            for day in record.rows_per_day
        }
        known.update(record.sha256 for record in platform.ledger.records())
        return [DueRun(layer, day, assets) for layer, assets in enumerate(RUN_LAYERS) for day in sorted(touched)]

    return due
