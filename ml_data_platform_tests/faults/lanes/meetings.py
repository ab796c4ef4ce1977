"""Two who meet at a chosen step: one commits, and before a step of it the other does all of its work.

Belongs here: each meeting of a commit with another commit, a collection, a recovery and readers, in turn, with nothing
left to chance. Does not belong here: meetings by chance (`racing`, `reading`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from ml_data_platform.events.schemas import TableSchema
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.faults.lanes import changes, mutants, numbered, writers
from ml_data_platform_tests.faults.lanes.children import Server, server
from ml_data_platform_tests.faults.lanes.kills import remove
from ml_data_platform_tests.faults.lanes.lane import Figures, Plan
from ml_data_platform_tests.faults.lanes.reading import readers_of
from ml_data_platform_tests.faults.lanes.scenarios import SCENARIOS
from ml_data_platform_tests.faults.lanes.steps import at_step, watched
from ml_data_platform_tests.storage_tables import DAY, SINGLE, TABLES, present

BEFORE, OURS, THEIRS = 1, 2, writers.THEIRS
COMMIT = "a commit"


def meet_in_turn(plan: Plan) -> Figures:
    """Let each other work come in before each step of a commit; then kill it there, and retry it after another's."""
    figures = Figures()
    with server(plan.mutant) as forker:
        ways: dict[str, Callable[[Path, int], bool]] = {
            f"{table.name}, {other}": partial(_meet, forker, table, other)
            for table in TABLES.values()
            for other in writers.OTHERS
        }
        ways["a death, and another commit"] = partial(_retry_after_a_death, forker)
        for name in plan.scenarios or ways:
            way = ways[name]
            for step in itertools.count():
                root, known = plan.folder / "meeting" / "root", len(figures.anomalies)
                root.parent.mkdir()
                has_met = False
                with figures.noting(f"{name} before step {step}"):
                    has_met = way(root, step)
                remove(root.parent)
                figures.trials += 1
                if len(figures.anomalies) >= plan.enough:
                    return figures
                if not has_met and len(figures.anomalies) == known:
                    break
    figures.points = figures.trials
    return figures


def read_in_turn(plan: Plan) -> Figures:
    """Let all readers read before each step of a commit; none finds a part, or a mix."""
    figures = Figures()
    for table in TABLES.values():
        root = plan.folder / table.name
        root.mkdir()
        numbered.commit_all(root, table, (BEFORE,))
        readers = readers_of(root, table)

        def read(where: str, table: TableSchema = table, readers: dict[str, Any] = readers) -> None:
            for name, reader in readers.items():
                figures.trials += 1
                with figures.noting(f"{table.name}, {name} {where}"):
                    found = reader()
                    assert sorted(found) == sorted(table.files), f"files found: {sorted(found)}"
                    assert set(found.values()) <= {BEFORE, OURS}, f"found {found}"
                    assert not name.startswith("platform") or len(set(found.values())) == 1, f"a mix: {found}"

        within = patch.object(changes, "let_others_run", lambda read=read: read("within a step"))
        with watched(read), within, mutants.applied(plan.mutant):
            numbered.commit_numbered(TableStore(root, present), table, OURS, expected=1)
        read("at the end")
        remove(root)
    figures.points = figures.trials
    return figures


def _meet(forker: Server, table: TableSchema, other: str, root: Path, step: int) -> bool:
    """Let the other come in before one step, if there is such a step, and check what becomes of both."""
    root.mkdir()
    numbered.commit_all(root, table, (BEFORE,))
    told: list[dict[str, Any]] = []
    shown: dict[str, list[int]] = {name: [] for name in table.files}

    def look() -> None:
        for name, numbers in shown.items():
            numbers.append(numbered.number_in(root / "data" / table.name / f"dt={DAY}" / name))

    def come_in() -> None:
        if not told:
            forker.order(do="meet", other=other, root=root, table=table.name)
            told.append(forker.answer())
        look()

    try:
        with watched(at_step(step, come_in)):
            numbered.commit_numbered(TableStore(root, present), table, OURS, expected=1, is_current=True)
    finally:
        # It waits for nobody any more; its answers must not be taken for another's.
        while told and told[-1]["waits"]:
            told.append(forker.answer())
    look()
    assert not told or told[-1]["failed"] is None, told[-1]["failed"]
    found = numbered.numbers(root, table)
    theirs = {THEIRS} if other == COMMIT and told else set()
    assert sorted(found) == sorted({BEFORE, OURS} | theirs), f"lost, or twice: the log holds {found}"
    for name, numbers in shown.items():
        places = [found.index(number) for number in numbers]
        assert places == sorted(places), f"the view went back: {name} showed generations {places}"
    numbered.assert_record_holds(root, table, numbered.records(root, table)[-1])
    numbered.assert_view_is_whole(root, table, found[-1:], complete=True)
    numbered.recover(root)
    numbered.assert_whole(root, table)
    return bool(told)


def _retry_after_a_death(forker: Server, root: Path, step: int) -> bool:
    """Kill a commit before one step, commit something else on what it left, then retry it: it is there once."""
    scenario = SCENARIOS["recommit"]
    scenario.prepared.write(root)
    done = forker.ask(do="act", scenario=scenario.name, root=root, told=root.parent / "told", dies_at=step)
    assert forker.ask(do="meet", other=COMMIT, root=root, table=SINGLE.name)["failed"] is None
    numbered.commit_numbered(TableStore(root, present), SINGLE, OURS, expected=1, is_current=True, run_id="retry")
    found = numbered.numbers(root, SINGLE)
    assert sorted(found) == [BEFORE, OURS, THEIRS], f"lost, or twice: the log holds {found}"
    numbered.recover(root)
    numbered.assert_whole(root, SINGLE)
    return bool(done["killed"])
