"""Five late rows in a built history: what they lead to, and what finding that out and repairing it costs.

Run by ``make late-rows``; ends with status 1 when anything does not hold. The root is temporary. ``--days`` sets the
length of the history.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.verdicts import Verdicts, out, print_verdicts
from ml_data_platform_tests.late_rows import Repair, build_history, full_rebuild, late_rows, repair
from ml_data_platform_tests.pipeline_root import settings_for


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the lane and print its tables; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=90, help="days of history, at least 10 (default: 90)")
    options = parser.parse_args(arguments)
    verdicts = Verdicts()
    with tempfile.TemporaryDirectory(prefix="late-rows-") as folder:
        started = time.process_time()
        loop = build_history(Path(folder) / "root", options.days)
        history_seconds = time.process_time() - started
        rows, rebuilt, changed = late_rows(options.days)
        started = time.process_time()
        done = repair(loop, rows)
        repair_seconds = time.process_time() - started
        verdicts.judge("rebuilt: exactly what was touched", lambda: _same(done.rebuilt, rebuilt))
        verdicts.judge("changed: exactly what is different", lambda: _changes(done, changed))
        verdicts.judge("the next tick starts nothing", lambda: _nothing_due(done))
        again = full_rebuild(loop, settings_for(Path(folder) / "again"))
        verdicts.judge("equal to a full rebuild", lambda: _equal(loop.contents(), again.contents()))
    print_verdicts(verdicts)
    share = repair_seconds / history_seconds
    out.print(
        f"{options.days} days built in {history_seconds:.1f} CPU-s; repaired by {done.runs} runs in {repair_seconds:.1f}"
        f" CPU-s, {share:.3f} of that; planned once in {done.planning_seconds:.2f} CPU-s"
    )
    return 0 if verdicts.all_hold else 1


def _same(found: dict[str, set[dt.date]], expected: dict[str, set[dt.date]]) -> str:
    assert found == expected, f"found {found}, expected {expected}"
    return ", ".join(f"{table} of {len(days)} days" for table, days in found.items())


def _changes(done: Repair, expected: dict[str, set[dt.date]]) -> str:
    return _same({table: done.changed[table] for table in expected}, expected)


def _nothing_due(done: Repair) -> str:
    assert done.due_again == 0, f"{done.due_again} runs are due"
    return "0 runs due"


def _equal(found: dict[tuple[str, str], str], expected: dict[tuple[str, str], str]) -> str:
    assert found == expected, f"{sum(found.get(key) != value for key, value in expected.items())} partitions differ"
    return f"{len(found)} partitions, byte for byte"


if __name__ == "__main__":
    sys.exit(main())
