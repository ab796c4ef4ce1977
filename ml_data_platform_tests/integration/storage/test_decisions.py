"""Decisions about landed contents only grow, and the last one of a kind holds."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ml_data_platform.errors import PartitionKeyError, RecordError
from ml_data_platform.storage.decisions import UNDECIDED, Decisions, applied
from ml_data_platform.storage.local_objects import LocalObjectStore
from ml_data_platform_tests.integration.storage.test_ledger import FIRST

SHOP, OTHER = "demo_shop", "b" * 64
AT = "2026-03-01T00:00:00+00:00"
SAID = {"reason": "späte \u20ac", "at": AT}


@pytest.fixture
def decisions(tmp_path):
    """The decisions under an empty root."""
    return Decisions(LocalObjectStore(tmp_path))


def test_a_decision_that_holds_already_is_not_repeated(decisions):
    """Admitted days add up, a content is retracted or not, and what changes nothing leaves no record."""
    sha = FIRST.sha256
    assert decisions.standing(SHOP, sha) == UNDECIDED
    assert decisions.admit(SHOP, sha, ["2026-01-03", "2026-01-02"], **SAID) == ("2026-01-02", "2026-01-03")
    assert decisions.admit(SHOP, sha, ["2026-01-03", "2026-01-04"], **SAID) == ("2026-01-04",)
    assert decisions.admit(SHOP, sha, ["2026-01-02"], **SAID) == ()
    assert not decisions.reinstate(SHOP, sha, **SAID)
    assert decisions.retract(SHOP, sha, replaced_by=OTHER, **SAID)
    assert not decisions.retract(SHOP, sha, replaced_by=None, **SAID)
    standing = decisions.standing(SHOP, sha)
    assert (standing.is_retracted, standing.replaced_by) == (True, OTHER)
    assert decisions.reinstate(SHOP, sha, **SAID)
    standing = decisions.standing(SHOP, sha)
    assert (standing.is_retracted, standing.replaced_by, standing.decisions) == (False, None, 4)
    assert standing.admitted == {"2026-01-02": 1, "2026-01-03": 1, "2026-01-04": 2}
    assert decisions.standing(SHOP, OTHER) == UNDECIDED
    # Another process reads the same.
    assert Decisions(decisions.objects).of(SHOP) == decisions.of(SHOP)
    assert [each.reason for each in decisions.of(SHOP)] == [SAID["reason"]] * 4


def test_of_two_who_decide_at_once_none_is_lost(tmp_path):
    """Every decision is taken by exactly one, and all of them hold."""
    days = [f"2026-01-{number:02d}" for number in range(1, 13)]

    def admit(day):
        return Decisions(LocalObjectStore(tmp_path)).admit(SHOP, FIRST.sha256, [day], **SAID)

    with ThreadPoolExecutor(4) as pool:
        new = list(itertools.chain.from_iterable(pool.map(admit, days * 2)))
    assert sorted(new) == days
    assert set(Decisions(LocalObjectStore(tmp_path)).standing(SHOP, FIRST.sha256).admitted) == set(days)


def test_admitted_rows_move_to_their_days_and_no_others(decisions):
    """A record counts rows once, before and after; days that it has no rows on change nothing."""
    record = applied(FIRST, UNDECIDED)
    assert record is FIRST
    late = FIRST.__class__(**{**FIRST.__dict__, "rows": 8, "too_late": {"2025-12-30": 1, "2026-01-02": 4}})
    decisions.admit(SHOP, late.sha256, ["2025-12-30", "2025-12-31"], **SAID)
    found = applied(late, decisions.standing(SHOP, late.sha256))
    assert (found.rows_per_day, found.too_late) == ({"2025-12-30": 1, "2026-01-02": 2}, {"2026-01-02": 4})
    found.check()


def test_damaged_decisions_are_named_and_foreign_files_ignored(decisions):
    """A cut or moved record raises with its path; a day that is none is refused before anything is written."""
    with pytest.raises(PartitionKeyError):
        decisions.admit(SHOP, FIRST.sha256, ["2026-02-30"], **SAID)
    assert decisions.of(SHOP) == ()
    decisions.retract(SHOP, FIRST.sha256, replaced_by=None, **SAID)
    (decision,) = decisions.of(SHOP)
    path = Path(decisions.objects.uri(decision.key))
    (path.parent / "notes.txt").write_text("x")
    (path.parent / f"{OTHER}.1.json").write_text("{}")
    assert decisions.of(SHOP) == (decision,)
    path.with_name(f"{OTHER}.00000001.json").write_bytes(path.read_bytes())
    with pytest.raises(RecordError, match=OTHER[:20]):
        decisions.of(SHOP)
    path.with_name(f"{OTHER}.00000001.json").write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RecordError, match=OTHER[:20]):
        decisions.of(SHOP)
