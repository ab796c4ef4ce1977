"""Watching: what differs from what it should be built from, look after look, at a cost that follows the changes.

Belongs here: which days a look must decide about anew. Does not belong here: deciding (``events.planning``), or when to
look (``defs.sensors``).

A look at everything costs time in proportion to all days and files. In between, only days are decided about that may have
changed: those of files and decisions that the ledger did not hold before, those that runs worked on, and those of which
something was open. Nothing relies on it: what slips through is found by the next look at everything, which is due after a
minute at the latest, unless that takes so long that it would take a twentieth of the time.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from ml_data_platform.events.lateness import ONE_DAY
from ml_data_platform.events.planning import Decision, State, Status, expected_days, plan
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.state import current_records, read_state
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.ledger import LedgerRecord

EVERYTHING_AFTER_SECONDS = 60.0
SHARE = 20
READ = 1
"""How far a day's tables read to either side."""
Names = frozenset[str]


@dataclass
class Watch:
    """The looks of one process at one root.

    Attributes:
        platform: The opened root.
        monotonic: Returns seconds that only grow.
    """

    platform: Platform
    monotonic: Callable[[], float]
    _names: dict[str, Names] = field(default_factory=dict)
    _records: dict[dt.date, dict[tuple[str, str], LedgerRecord]] = field(default_factory=dict)
    _decisions: dict[dt.date, list[Decision]] = field(default_factory=dict)
    _open: set[dt.date] = field(default_factory=set)
    _turns: tuple[object, ...] = ()
    _everything_due: float = float("-inf")

    def look(self, worked_on: Collection[dt.date] = (), *, everything: bool = False) -> list[Decision]:
        """Decide about everything that may have changed.

        Args:
            worked_on: Days that runs worked on since the last look.
            everything: Look at everything.

        Returns:
            The decisions about days of which anything is not clean, by day, each day's in an order in which it can be
            built.
        """
        started = self.monotonic()
        names = self._listed()
        landed = None if everything or started >= self._everything_due else self._newly_landed(names)
        if landed is None or not self._look_at({*landed, *worked_on, *self._open}):
            self._look_at_everything()
            took = self.monotonic() - started
            self._everything_due = self.monotonic() + max(EVERYTHING_AFTER_SECONDS, SHARE * took)
        self._names = names
        return [each for day in sorted(self._open) for each in self._decisions[day]]

    def all_decisions(self) -> Iterable[Decision]:
        """Return the decisions about all days as of the last look."""
        return (each for decisions in self._decisions.values() for each in decisions)

    def _listed(self) -> dict[str, Names]:
        """Return folder to names of everything that the ledger holds; listed before it is read."""
        objects, ledger = self.platform.store.objects, self.platform.ledger
        folders = [
            folder
            for source in ledger.sources()
            for folder in (Layout.ledger_folder(source), Layout.decisions_folder(source))
        ]
        return {folder: frozenset(objects.names(folder)) for folder in folders}

    def _newly_landed(self, names: dict[str, Names]) -> set[dt.date] | None:
        """Take in records that are new since the last look; none where that cannot be told from them alone."""
        touched: set[dt.date] = set()
        for folder, found in names.items():
            new = [name for name in found - self._names.get(folder, frozenset()) if name.endswith(".json")]
            if new and folder.startswith(Layout.decisions_folder("x").rpartition("/")[0]):
                return None
            records_of = Counter(name.partition(".")[0] for name in found if name.endswith(".json")) if new else {}
            for name in new:
                sha256, _, routing = name.removesuffix(".json").partition(".")
                record = self.platform.ledger.record(folder.rpartition("/")[2], sha256, routing)
                if record is None or records_of[sha256] > 1:
                    return None
                touched |= self._take(record)
        return touched

    def _take(self, record: LedgerRecord) -> set[dt.date]:
        days = {dt.date.fromisoformat(day) for day in record.rows_per_day}
        for day in days:
            self._records.setdefault(day, {})[record.source, record.sha256] = record
        return days

    def _look_at(self, days: set[dt.date]) -> bool:
        """Decide about days and their neighbours; False where the clock or a watermark moved, which touches others."""
        decided = _around(days, READ)
        planned, read = _around(decided, READ), sorted(_around(decided, 3 * READ))
        records = {key: record for day in read for key, record in self._records.get(day, {}).items()}
        state = read_state(self.platform, list(records.values()), days=read)
        if _turns(state) != self._turns:
            return False
        expected = [day for day in expected_days(state) if day in planned]
        self._note(decided, plan(state, expected))
        return True

    def _look_at_everything(self) -> None:
        records = current_records(self.platform)
        state = read_state(self.platform, records)
        self._turns = _turns(state)
        self._records.clear()
        for record in records:
            self._take(record)
        days = expected_days(state)
        self._note({*days, *self._decisions}, plan(state, days))

    def _note(self, days: Collection[dt.date], decisions: Sequence[Decision]) -> None:
        chosen = set(days)
        for day in chosen:
            self._decisions.pop(day, None)
        for each in decisions:
            if each.day in chosen:
                self._decisions.setdefault(each.day, []).append(each)
        settled = {Status.CLEAN, Status.NOT_NEEDED}
        for day in chosen:
            is_open = any(each.status not in settled for each in self._decisions.get(day, ()))
            (self._open.add if is_open else self._open.discard)(day)


def _around(days: Iterable[dt.date], reach: int) -> set[dt.date]:
    return {day + offset * ONE_DAY for day in days for offset in range(-reach, reach + 1)}


def _turns(state: State) -> tuple[object, ...]:
    """Return what makes other days dirty when it moves: the present day and the days of the watermarks."""
    return state.today, tuple(sorted((source, instant.date()) for source, instant in state.watermarks.items()))
