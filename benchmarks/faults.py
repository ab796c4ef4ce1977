"""Every way in which storage is struck, in full length, and what each lane counted.

Belongs here: choosing lanes and lengths, the table, the exit status. Does not belong here: any fault (see
``ml_data_platform_tests/faults/lanes``).

Examples::

    python -m benchmarks.faults                                  all lanes, then the gate: about an hour on two cores
    python -m benchmarks.faults --quick                          the short versions that the tests run
    python -m benchmarks.faults --lanes kills,readers --count 100
    python -m benchmarks.faults --results faults.json            stopped and called again, it goes on with the next lane
    python -m benchmarks.faults --quick --seeds 100              lanes and gate with 100 seeds, one after the other

The exit status is 1 when a lane found an anomaly, when its control (the same lane over a protocol that lacks a step)
found none, or when a change of the gate went unnoticed. What cannot run here is named with the reason, and is no error.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ml_data_platform_tests.faults.lanes.lane import Figures, Lane, Plan, fault_folder
from ml_data_platform_tests.faults.lanes.mutants import MUTANTS, Mutant
from ml_data_platform_tests.faults.lanes.registry import LANES

SECONDS_BETWEEN_REPORTS = 10
MAX_ANOMALIES_SHOWN = 5
MANY = 10**9

WIDTH_OF_NO_TERMINAL = 180

console = Console(width=None if sys.stdout.isatty() else WIDTH_OF_NO_TERMINAL)
progress = Console(stderr=True)


def main() -> int:
    """Run what was asked for, with one seed after the other; return the exit status."""
    options = _options()
    missed = []
    for seed in range(options.seed, options.seed + options.seeds):
        if options.seeds > 1:
            console.print(f"seed {seed}")
        if _run_all(argparse.Namespace(**{**vars(options), "seed": seed})):
            missed.append(seed)
    if options.seeds > 1:
        console.print(f"{options.seeds} seeds, misses of {len(missed)}: {missed}")
    return int(bool(missed))


def _run_all(options: argparse.Namespace) -> bool:
    """Run the lanes and the gate with one seed; return whether one of them is red."""
    known = _read(options.results)
    rows, is_red = [], False
    for lane in options.lanes:
        row = known.get(_key(lane, options))
        if row is None:
            row = _measure(lane, options)
            known[_key(lane, options)] = row
            _write(options.results, known)
        rows.append((lane, row))
        is_red |= row["is_red"]
    console.print(_table(rows))
    for lane, row in rows:
        for line in row["figures"]["anomalies"][:MAX_ANOMALIES_SHOWN] if row["figures"] else []:
            console.print(f"[red]{lane.name}[/red]: {line}", markup=True, highlight=False)
    if not options.no_gate:
        is_red |= _gate(options)
    return is_red


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lanes", default=",".join(LANES), help=f"some of: {', '.join(LANES)}")
    parser.add_argument("--count", type=int, help="trials of each lane; by default each has its own number")
    parser.add_argument("--seed", type=int, default=20260304, help="of every random choice (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, counted up from that one")
    parser.add_argument("--quick", action="store_true", help="the short versions")
    parser.add_argument("--no-gate", action="store_true", help="leave out the gate of changes to the protocol")
    parser.add_argument("--results", type=Path, help="a file that keeps the figures of finished lanes, to go on from")
    options = parser.parse_args()
    names = options.lanes.split(",")
    unknown = sorted(set(names) - set(LANES))
    if unknown:
        parser.error(f"there is no lane {', '.join(unknown)}; there are {', '.join(LANES)}")
    options.lanes = [LANES[name] for name in names]
    return options


def _measure(lane: Lane, options: argparse.Namespace) -> dict:
    why = lane.missing()
    if why:
        return {"figures": None, "control": None, "why": why, "is_red": False}
    figures = _run(lane, _trials(lane, options), options.seed)
    # At every place in turn: what shows only where two meet would else need luck.
    control = _run(lane, MANY, options.seed, lane.control, in_turn=True)
    is_red = bool(figures.anomalies) or not control.anomalies or figures.trials < _trials(lane, options)
    return {"figures": asdict(figures), "control": asdict(control), "why": None, "is_red": is_red}


def _run(
    lane: Lane, trials: int, seed: int, mutant: str | None = None, *, enough: int = 20, in_turn: bool = False
) -> Figures:
    last, shown, name = [time.monotonic()], [0], f"{lane.name}, control" if mutant else lane.name

    def report(figures: Figures) -> None:
        if mutant is None and len(figures.anomalies) > shown[0]:
            progress.print(*figures.anomalies[shown[0] :], sep="\n", markup=False)
            shown[0] = len(figures.anomalies)
        if time.monotonic() - last[0] >= SECONDS_BETWEEN_REPORTS:
            last[0] = time.monotonic()
            progress.print(f"{name}: {figures.trials:,} of {trials:,}, {len(figures.anomalies)} anomalies")

    change = MUTANTS[mutant] if mutant else Mutant("", "", lambda: None)
    with fault_folder() as folder:
        plan = Plan(folder, trials, seed, mutant, change.scenarios, change.calls, enough, report)
        return lane.measure(plan, in_turn=in_turn)


def _trials(lane: Lane, options: argparse.Namespace) -> int:
    return options.count or (lane.short if options.quick else lane.long)


def _gate(options: argparse.Namespace) -> bool:
    """Run each change of the protocol under its lane, and print which lane noticed; return whether one went unnoticed."""
    table = Table("the protocol, but", "lane", "noticed as", title="The gate: each step is needed")
    is_red, chosen = False, {lane.name for lane in options.lanes}
    for name, mutant in MUTANTS.items():
        if mutant.lane not in chosen or LANES[mutant.lane].missing():
            continue
        found = _run(LANES[mutant.lane], MANY, options.seed, name, enough=1, in_turn=True)
        is_red |= not found.anomalies
        table.add_row(
            mutant.what, mutant.lane, found.anomalies[0][:110] if found.anomalies else "[red]NOT NOTICED[/red]"
        )
    console.print(table)
    return is_red


def _table(rows: list[tuple[Lane, dict]]) -> Table:
    table = Table(title="What storage survives")
    for heading in ("lane", "trials", "points", "anomalies", "control's anomalies", "seconds", "further"):
        table.add_column(heading, justify="left" if heading in {"lane", "further"} else "right")
    for lane, row in rows:
        if row["figures"] is None:
            table.add_row(lane.name, "skipped", "", "", "", "", row["why"])
            continue
        figures, control = row["figures"], row["control"]
        table.add_row(
            lane.name,
            f"{figures['trials']:,}",
            f"{figures['points']:,}" if figures["points"] else "",
            _colour(len(figures["anomalies"]), bad=bool(figures["anomalies"])),
            _colour(f"{len(control['anomalies'])} in {control['trials']:,}", bad=not control["anomalies"]),
            f"{figures['seconds']:.0f}",
            ", ".join(f"{name}: {count:,}" for name, count in figures["notes"].items()),
        )
    return table


def _colour(value: object, *, bad: bool) -> str:
    return f"[red]{value}[/red]" if bad else str(value)


def _key(lane: Lane, options: argparse.Namespace) -> str:
    return f"{lane.name} {_trials(lane, options)} {options.seed}"


def _read(results: Path | None) -> dict[str, dict]:
    return json.loads(results.read_text()) if results and results.exists() else {}


def _write(results: Path | None, known: dict[str, dict]) -> None:
    if results:
        temp = results.with_suffix(".new")
        temp.write_text(json.dumps(known, indent=1))
        temp.replace(results)


if __name__ == "__main__":
    sys.exit(main())
