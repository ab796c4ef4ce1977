"""What all lanes share: a plan, the figures that come of it, and noting what should not have happened.

Belongs here: the form of a lane. Does not belong here: any fault.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from ml_data_platform.errors import PlatformError, bounded

MEMORY_DISK = Path("/dev/shm")
MAX_SHOWN = 300


@dataclass
class Figures:
    """What a lane counted.

    Attributes:
        trials: Faults that struck, or reads.
        points: Distinct places where one struck, where a lane can tell them apart.
        anomalies: One line for each thing that should not have happened.
        seconds: Wall time.
        notes: Further counts, by name.
    """

    trials: int = 0
    points: int = 0
    anomalies: list[str] = field(default_factory=list)
    seconds: float = 0.0
    notes: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def noting(self, where: str) -> Iterator[None]:
        """Turn what is raised within the block into an anomaly."""
        try:
            yield
        except (AssertionError, PlatformError, OSError, pa.ArrowException, duckdb.Error, ValueError, KeyError) as error:
            self.anomalies.append(bounded(f"{where}: {type(error).__name__}: {error}", MAX_SHOWN))

    def count(self, name: str, times: int = 1) -> None:
        """Add to a further count."""
        self.notes[name] = self.notes.get(name, 0) + times


@dataclass(frozen=True)
class Plan:
    """How long a lane runs, where, and on which protocol.

    Attributes:
        folder: An empty folder for its roots.
        trials: How many faults, or reads, there shall be at least.
        seed: Of every random choice.
        mutant: Name of a change to the protocol (`mutants`); None for the protocol as it is.
        scenarios: Only these; empty for all.
        calls: Strike only these system calls; empty for all.
        enough: Anomalies after which a lane may stop; a control needs only one.
        progress: Called now and then with trials done and anomalies found.
    """

    folder: Path
    trials: int
    seed: int = 20260304
    mutant: str | None = None
    scenarios: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    enough: int = 20
    progress: Callable[[Figures], None] = lambda _: None

    @property
    def chooser(self) -> random.Random:
        """A new generator of random choices."""
        return random.Random(self.seed)

    def is_done(self, figures: Figures) -> bool:
        """Tell whether a lane has seen enough, and tell how far it is."""
        self.progress(figures)
        return figures.trials >= self.trials or len(figures.anomalies) >= self.enough


@dataclass(frozen=True)
class Lane:
    """One kind of fault.

    Attributes:
        name: How it is chosen.
        what: What is done, and what must hold, in a line.
        run: Does it.
        control: The mutant under which it must find anomalies.
        short: Trials among the tests.
        long: Trials in the long version.
        missing: Says why it cannot run here; None where it can.
        in_turn: Does it at each place in turn, where ``run`` chooses places by chance: what the gate of mutants needs.
    """

    name: str
    what: str
    run: Callable[[Plan], Figures]
    control: str
    short: int
    long: int
    missing: Callable[[], str | None] = lambda: None
    in_turn: Callable[[Plan], Figures] | None = None

    def measure(self, plan: Plan, *, in_turn: bool = False) -> Figures:
        """Run in a folder of its own, removed at the end, and measure the time; in turn, if the lane knows how."""
        started = time.monotonic()
        figures = (self.in_turn or self.run)(plan) if in_turn else self.run(plan)
        figures.seconds = time.monotonic() - started
        return figures


@contextmanager
def fault_folder() -> Iterator[Path]:
    """Give a folder in memory where there is such a disk: killed processes lose no pages, and flushing costs nothing."""
    top = MEMORY_DISK if MEMORY_DISK.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="mdp-faults-", dir=top) as folder:
        yield Path(folder)
