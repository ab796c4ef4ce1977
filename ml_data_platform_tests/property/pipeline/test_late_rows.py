"""A few late rows in a long history repair exactly what they touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_data_platform_tests.late_rows import build_history, late_rows, repair

DAYS = 10


@pytest.mark.slow
def test_late_rows_repair_exactly_what_they_touched(tmp_path: Path) -> None:
    """Five late rows on three days: events of these days, features around them, and further only what changed.

    The next tick starts nothing. That the end is that of a full rebuild, ``test_any_schedule`` shows of any late rows;
    ``make late-rows`` shows all of it over 90 days.
    """
    loop = build_history(tmp_path / "root", DAYS)
    rows, rebuilt, changed = late_rows(DAYS)
    done = repair(loop, rows)
    assert done.rebuilt == rebuilt
    assert {table: days for table, days in done.changed.items() if table in changed} == changed
    assert done.due_again == 0
