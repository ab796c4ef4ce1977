"""Cuts of versions under late data that never ends, one in two killed, at every step; then every version is restored.

Run by ``make cuts``; ``--rounds N`` kills N cuts and lets as many through. The exit status is 1 when a death left a half
version or held up the next cut, or when a version does not restore exactly, by checkout and by verify.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ml_data_platform_tests.faults.datasets.cut_lane import kill_cuts

MAX_ANOMALIES_SHOWN = 10
out = Console(highlight=False)


def main() -> int:
    """Run the lane and print its figures; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cuts", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="cuts that are killed (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=2026, help="of every random choice (default: %(default)s)")
    options = parser.parse_args()
    progress = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="cuts-") as folder:
        figures = kill_cuts(
            Path(folder),
            options.rounds,
            options.seed,
            report=lambda done: progress.print(f"{done} of {options.rounds} rounds"),
        )
    table = Table("what", "count", title="Cuts under late data, killed at every step")
    table.columns[1].justify = "right"
    rows = {"cuts": figures.trials, "kinds of death": figures.points, **figures.notes}
    for name, count in {**rows, "anomalies": len(figures.anomalies), "seconds": round(figures.seconds)}.items():
        table.add_row(name, f"{count:,}")
    out.print(table)
    for line in figures.anomalies[:MAX_ANOMALIES_SHOWN]:
        out.print(line, markup=False)
    return int(bool(figures.anomalies))


if __name__ == "__main__":
    sys.exit(main())
