"""Cuts of versions under late data that never ends, one in two killed; then every version is restored.

Run by ``make cuts``. First a cut dies at each change that it makes to the world, one after the other: every file it writes,
renames or removes, every git command, before it and in its middle; ``--rounds N`` takes N of these places. Then cuts die
at random changes while another process lands late files and builds their days without rest. The exit status is 1 when a
death left a half version or held up the next cut, or when a version does not restore exactly, by checkout and by verify.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ml_data_platform_tests.faults.datasets.cut_lane import every_death, kill_cuts
from ml_data_platform_tests.faults.datasets.fed_cuts import kill_fed_cuts
from ml_data_platform_tests.faults.datasets.killed_cuts import Death
from ml_data_platform_tests.faults.lanes.lane import Figures

MAX_ANOMALIES_SHOWN = 10
STRIDE = 25
out = Console(highlight=False)
progress = Console(stderr=True)


def main() -> int:
    """Run the lanes and print their figures; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cuts", description=__doc__)
    parser.add_argument("--rounds", type=int, default=0, help="places where cuts die (default: each)")
    parser.add_argument("--fed-rounds", type=int, default=25, help="cuts killed while days are built (default: 25)")
    parser.add_argument("--seed", type=int, default=2026, help="of every random choice (default: %(default)s)")
    options = parser.parse_args()

    def choose(changes: int, commands: Sequence[str], rng: random.Random) -> list[Death]:
        deaths = every_death(changes, commands, rng)
        chosen = sorted(rng.sample(range(len(deaths)), min(options.rounds, len(deaths))))
        return [deaths[number] for number in chosen] if options.rounds else deaths

    failed = False
    with tempfile.TemporaryDirectory(prefix="cuts-") as folder:
        figures = kill_cuts(Path(folder) / "killed", options.seed, choose=choose, report=_report)
        failed |= _print("Cuts under late rows, killed at each change", figures)
        figures = kill_fed_cuts(Path(folder) / "fed", options.fed_rounds, options.seed, report=_report)
        failed |= _print("Cuts killed while late files are landed and built", figures)
    return int(failed)


def _report(done: int, total: int) -> None:
    if done % STRIDE == 0 or done == total:
        progress.print(f"{done} of {total} rounds")


def _print(title: str, figures: Figures) -> bool:
    table = Table("what", "count", title=title)
    table.columns[1].justify = "right"
    rows = {"cuts": figures.trials, "places of death": figures.points, **figures.notes}
    for name, count in {**rows, "anomalies": len(figures.anomalies), "seconds": round(figures.seconds)}.items():
        table.add_row(name, f"{count:,}")
    out.print(table)
    for line in figures.anomalies[:MAX_ANOMALIES_SHOWN]:
        out.print(line, markup=False)
    return bool(figures.anomalies)


if __name__ == "__main__":
    sys.exit(main())
