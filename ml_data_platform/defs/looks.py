"""Looks: what the sensors of one process remember from one evaluation to the next, so that each is cheap.

Belongs here: memory that may be lost at any time. Does not belong here: anything that a decision depends on.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import dagster as dg

from ml_data_platform.defs.runs import partitions_of, runs_updated_since
from ml_data_platform.events.planning import Decision
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.watching import Watch

REPAIR_SHARE = 20
OVERLAP = dt.timedelta(seconds=5)
"""A run is noted as ended some time after it published; what is looked at twice does no harm."""


@dataclass
class Looks:
    """The looks of this process at what is dirty.

    Attributes:
        watch: What was seen last; none before the first look, and another one once contracts were read again.
        since: When the last look began, less what runs may be noted late, aware.
    """

    watch: Watch | None = None
    since: dt.datetime | None = None

    def at(
        self, opened: Platform, instance: dg.DagsterInstance, running: Sequence[dg.DagsterRun], *, everything: bool
    ) -> list[Decision]:
        """Look at what may have changed since the last time; returns the decisions about days that are not clean."""
        began = dt.datetime.now(dt.UTC)
        worked_on: set[dt.date] = set()
        if self.watch is None or self.since is None or self.watch.platform is not opened:
            self.watch = Watch(opened, time.monotonic)
        else:
            worked_on = partitions_of([*running, *runs_updated_since(instance, self.since)])
        found = self.watch.look(worked_on, everything=everything)
        self.since = began - OVERLAP
        return found

    def days_left_open(self, instance: dg.DagsterInstance) -> set[dt.date] | None:
        """Return the days of runs that ended without success since the last look; none, for all days, before the first.

        Such a run may have planned checks that it never evaluated. To be asked before the next look begins.
        """
        if self.since is None:
            return None
        failed = {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
        return partitions_of(run for run in runs_updated_since(instance, self.since) if run.status in failed)

    def all_decisions(self) -> Iterable[Decision]:
        """Return the decisions about all days as of the last look."""
        return self.watch.all_decisions() if self.watch else ()


@dataclass
class Repairs:
    """Repairs of what a crash left, as often as they are cheap.

    Attributes:
        due: When the next is due, monotonic, seconds.
    """

    due: float = 0.0

    def run(self, repair: Callable[[], object], *, is_urgent: bool) -> None:
        """Repair, unless that was done lately: over time it takes a twentieth of the time, at most."""
        started = time.monotonic()
        if is_urgent or started >= self.due:
            repair()
            ended = time.monotonic()
            self.due = ended + REPAIR_SHARE * (ended - started)
