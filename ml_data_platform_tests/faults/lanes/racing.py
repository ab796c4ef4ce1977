"""The lane of writers that race on one partition, some of them killed.

Belongs here: the check that every acknowledged number is in the log exactly once, and that the view never went back.
Does not belong here: the writers (`writers`), kills of a single one (`kills`), what else may come in between at a
chosen step (`meetings`).
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from ml_data_platform_tests.faults.lanes import numbered
from ml_data_platform_tests.faults.lanes.children import server
from ml_data_platform_tests.faults.lanes.lane import Figures, Plan
from ml_data_platform_tests.storage_tables import TABLES

KILLS_EACH_ROUND = 25


def race_with_kills(plan: Plan) -> Figures:
    """Let three writers and a keeper race, kill one after the other, and compare promises with the log."""
    figures, chooser = Figures(), plan.chooser
    with server(plan.mutant) as forker:
        while not plan.is_done(figures):
            number = figures.notes.get("rounds", 0)
            figures.count("rounds")
            root, table = plan.folder / f"race-{number}", chooser.choice(sorted(TABLES))
            root.mkdir()
            kills = min(KILLS_EACH_ROUND, plan.trials - figures.trials)
            told = forker.ask(do="race", root=root, table=table, kills=kills, seed=chooser.randrange(2**32))
            figures.trials += told["kills"]
            with figures.noting(f"race {number} of {table}"):
                figures.count("acknowledged", assert_no_promise_broken(root, table, told))
    return figures


def assert_no_promise_broken(root: Path, table_name: str, told: dict[str, Any]) -> int:
    """Check a root after a race; return how many numbers were acknowledged."""
    table = TABLES[table_name]
    assert told["failed"] == [], f"writers failed: {told['failed'][:3]}"
    logged = Counter(numbered.numbers(root, table))
    acknowledged = Counter(
        int(line) for path in root.parent.glob(f"{root.name}-acks-*") for line in path.read_text().split()
    )
    lost, extra = acknowledged - logged, logged - acknowledged
    assert not lost, f"lost: {sorted(lost)[:5]}"
    assert not extra, f"twice, or never promised: {sorted(extra)[:5]}"
    assert max(logged.values()) == 1, f"twice: {[number for number, times in logged.items() if times > 1][:5]}"
    place = {number: position for position, number in enumerate(numbered.numbers(root, table))}
    for name, shown in json.loads(root.with_name(f"{root.name}-seen").read_text()).items():
        places = [place[number] for number in shown]
        assert places == sorted(places), f"the view went back: {name} showed generations {places}"
    # Nobody was killed while the last writers ended, so the view must be at the head without a recovery.
    numbered.assert_view_is_whole(root, table, [numbered.numbers(root, table)[-1]], complete=True)
    numbered.recover(root)
    numbered.assert_whole(root, table)
    return acknowledged.total()
