"""A model of the world that planning sees: files land, partitions are built, and nothing touches a disk.

What a build publishes is said here independently of the planner: a hash over what a partition was really computed
from, so that content changes exactly when something upstream did.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from ml_data_platform.events.due_runs import DueRun
from ml_data_platform.events.planning import Head, State, Status, decide, required_inputs

FIRST = dt.date(2026, 3, 2)
DAY = dt.timedelta(days=1)
ASSETS = (
    "raw_events",
    "validated_events",
    "session_features",
    "session_summaries",
    "date_partitions",
    "label_partitions",
    "stratified_partitions",
)
TRAINING = ASSETS[4:]


def day(number: int) -> dt.date:
    """Return the ``number``-th day, from 1 on."""
    return FIRST + (number - 1) * DAY


def noon(number: int) -> dt.datetime:
    """Return noon of a day, UTC."""
    return dt.datetime.combine(day(number), dt.time(12), tzinfo=dt.UTC)


@dataclass
class World:
    """What is landed, published and configured, and the clock.

    Attributes:
        files: Day to names of landed files.
        now: The clock.
        poison: Days whose present files break a tolerance.
        leaky: Days whose features the checks of ``date_partitions`` refuse.
        configuration: Asset to configuration inputs.
        contract: Hash of the only source's contract.
        delay: Maximum delay of the source.
    """

    files: dict[dt.date, set[str]] = field(default_factory=dict)
    now: dt.datetime = field(default_factory=lambda: noon(20))
    poison: set[dt.date] = field(default_factory=set)
    leaky: set[dt.date] = field(default_factory=set)
    configuration: dict[str, dict[str, str]] = field(
        default_factory=lambda: {asset: {"code_version": "1", "rules": "r"} for asset in ASSETS}
    )
    contract: str = "c"
    delay: dt.timedelta = dt.timedelta(0)
    heads: dict[str, dict[dt.date, Head]] = field(default_factory=lambda: {asset: {} for asset in ASSETS})
    verdicts: dict[dt.date, Head] = field(default_factory=dict)
    builds: list[tuple[str, dt.date]] = field(default_factory=list)

    def land(self, number: int, *names: str) -> None:
        """Land files with rows of a day."""
        self.files.setdefault(day(number), set()).update(names)

    def state(self) -> State:
        """Return what planning sees now."""
        return State(
            landed={
                of: {f"landed_files/shop/{name}": f"f-{name}" for name in names} for of, names in self.files.items()
            },
            heads={asset: dict(heads) for asset, heads in self.heads.items()},
            verdicts=dict(self.verdicts),
            watermarks={"shop": self.now - self.delay},
            configuration={asset: dict(values) for asset, values in self.configuration.items()},
            contracts={"shop": self.contract},
        )

    def build(self, asset: str, of: dt.date) -> bool:
        """Build one partition; return whether it was published."""
        self.builds.append((asset, of))
        inputs = required_inputs(self.state(), asset, of)
        if asset == "validated_events":
            is_good = of not in self.poison
            self.verdicts[of] = self._head(self.verdicts.get(of), "quarantine", inputs, is_published=is_good)
            if not is_good:
                return False
        if asset == "date_partitions" and of in self.leaky:
            return False
        self.heads[asset][of] = self._head(self.heads[asset].get(of), self._content(asset, of), inputs)
        return True

    def mature_through(self, of: dt.date) -> dt.datetime | None:
        """Return up to when the purchases after a day are known: whole days, never beyond the day after."""
        if not self.files.get(of):
            return None
        whole = (self.now - self.delay).replace(hour=0, minute=0, second=0, microsecond=0)
        days = 2 if of + DAY in self.heads["validated_events"] else 1
        return min(whole, dt.datetime.combine(of + days * DAY, dt.time(), tzinfo=dt.UTC))

    def run(self, run: DueRun) -> None:
        """Do what a run does: its assets in turn, those that turned out clean left out, until one is refused."""
        for asset in run.assets:
            if decide(self.state(), asset, run.day).status is not Status.CLEAN and not self.build(asset, run.day):
                return

    def _content(self, asset: str, of: dt.date) -> str:
        """Hash what a partition says: a layer that drops most of what it reads says little."""
        read: dict[str, Any] = {
            "raw_events": lambda: sorted(self.files.get(of, ())),
            "validated_events": lambda: [self._of("raw_events", of), self.files.get(of) and self.contract],
            "session_features": lambda: [
                *(self._of("validated_events", of + offset * DAY) for offset in (-1, 0, 1)),
                self.mature_through(of),
            ],
            "session_summaries": lambda: self._of("validated_events", of),
        }
        said = read[asset]() if asset in read else self._of("session_features", of)
        return hashlib.sha256(json.dumps([asset, of.isoformat(), said], default=str).encode()).hexdigest()[:8]

    def _of(self, asset: str, of: dt.date) -> str:
        head = self.heads[asset].get(of)
        return head.content if head else "none"

    @staticmethod
    def _head(before: Head | None, content: str, inputs: dict[str, str], *, is_published: bool = True) -> Head:
        return Head(content, dict(inputs), before.generation + 1 if before else 1, is_published)
