"""Lanes of SIGKILL: at every system call in turn, and at random moments of a commit.

Belongs here: choosing the moments. Does not belong here: what is done meanwhile and checked after (`scenarios`), how
children are killed (`children`).
"""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path

from ml_data_platform_tests.faults.lanes.children import AFTER, DURING, WRITE_FAILED, Server, server
from ml_data_platform_tests.faults.lanes.committing import COMMITS
from ml_data_platform_tests.faults.lanes.lane import Figures, Plan
from ml_data_platform_tests.faults.lanes.scenario import Scenario
from ml_data_platform_tests.faults.lanes.scenarios import SCENARIOS
from ml_data_platform_tests.faults.lanes.tracing import counted_calls

Point = tuple[str, str, int]


def trial(plan: Plan, scenario: Scenario) -> tuple[Path, Path]:
    """Write out a prepared root, and return it with the file for what is promised."""
    folder = Path(tempfile.mkdtemp(prefix=f"{scenario.name}-", dir=plan.folder))
    scenario.prepared.write(folder / "root")
    return folder / "root", folder / "told"


def check(figures: Figures, scenario: Scenario, root: Path, told: Path, where: str) -> None:
    """Check a struck root, and remove it."""
    acknowledged = told.read_text() if told.exists() and told.stat().st_size else None
    figures.count("acknowledged", acknowledged is not None)
    with figures.noting(f"{scenario.name}, {where}"):
        scenario.check(root, acknowledged)
    remove(root.parent)


def remove(folder: Path) -> None:
    """Remove a small folder quickly."""
    for top, folders, files in os.walk(folder, topdown=False):
        for name in files:
            os.unlink(os.path.join(top, name))
        for name in folders:
            os.rmdir(os.path.join(top, name))
    os.rmdir(folder)


def points_of(plan: Plan, forker: Server, scenario: Scenario, figures: Figures) -> list[Point]:
    """Trace one undisturbed run and return every system call of it, as (scenario, call, which one)."""
    root, told = trial(plan, scenario)
    trace = root.parent / "trace"
    done = forker.ask(do="act", scenario=scenario.name, root=root, told=told, strace=["-o", str(trace)])
    calls = counted_calls(trace, done["pid"])
    if done["exit"]:
        error = told.with_suffix(".error")
        raise SystemExit(f"{scenario.name} fails undisturbed: {error.read_text() if error.exists() else done}")
    check(figures, scenario, root, told, "undisturbed")
    return [(scenario.name, name, which) for name in sorted(calls) for which in range(1, calls[name] + 1)]


def all_points(plan: Plan, forker: Server, figures: Figures) -> list[Point]:
    """Return every point of every scenario, in a random order in which each scenario comes early."""
    chooser, rows = plan.chooser, []
    for name in plan.scenarios or SCENARIOS:
        points = points_of(plan, forker, SCENARIOS[name], figures)
        points = [point for point in points if not plan.calls or point[1] in plan.calls]
        chooser.shuffle(points)
        rows.append(points)
    figures.notes["points there are"] = sum(map(len, rows))
    longest = max(map(len, rows))
    return [row[place] for place in range(longest) for row in rows if place < len(row)]


def kill_at_calls(plan: Plan) -> Figures:
    """Kill a child before a system call, each in turn, as long as the plan says; again from the start at the end."""
    figures, struck = Figures(), set()
    with server(plan.mutant) as forker:
        points = all_points(plan, forker, figures)
        place = 0
        while not plan.is_done(figures):
            point = points[place % len(points)]
            place += 1
            name, call, which = point
            scenario = SCENARIOS[name]
            root, told = trial(plan, scenario)
            options = ["-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={which}"]
            done = forker.ask(do="act", scenario=name, root=root, told=told, strace=options)
            figures.trials += done["killed"]
            struck |= {point} if done["killed"] else set()
            figures.count("survived", not done["killed"])
            with figures.noting(f"{name}, {call} {which}"):
                assert done["killed"] or done["exit"] == 0, f"it ended with {done['exit']}"
            check(figures, scenario, root, told, f"killed before {call} number {which}")
    figures.points = len(struck)
    return figures


def kill_in_turn(plan: Plan) -> Figures:
    """Kill a child before each step of each commit in turn; needs no strace, and leaves nothing to chance."""
    figures = Figures()
    names = plan.scenarios or tuple(scenario.name for scenario in COMMITS)
    with server(plan.mutant) as forker:
        for name in names:
            for step in itertools.count():
                root, told = trial(plan, SCENARIOS[name])
                done = forker.ask(do="act", scenario=name, root=root, told=told, dies_at=step)
                check(figures, SCENARIOS[name], root, told, f"killed before step {step}")
                if not done["killed"] or len(figures.anomalies) >= plan.enough:
                    break
                figures.trials += 1
            if len(figures.anomalies) >= plan.enough:
                break
    figures.points = figures.trials
    return figures


def kill_at_random(plan: Plan) -> Figures:
    """Kill a child at a random moment of its commit; only deaths between its begin and its end count."""
    figures, chooser = Figures(), plan.chooser
    with server(plan.mutant) as forker:
        while not plan.is_done(figures):
            scenario = chooser.choice(COMMITS)
            root, told = trial(plan, scenario)
            done = forker.ask(
                do="act_and_kill", scenario=scenario.name, root=root, told=told, share=chooser.uniform(0, 1)
            )
            figures.trials += done["killed"] and done["phase"] == DURING
            figures.count("after its end", done["phase"] == AFTER)
            with figures.noting(scenario.name):
                assert done["exit"] != WRITE_FAILED, "it failed"
            check(figures, scenario, root, told, f"killed at random, {figures.trials}")
    return figures
