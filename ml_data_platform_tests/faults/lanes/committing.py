"""Commits as scenarios: the first and later ones, of the same bytes, in conflict, of several files.

Belongs here: what must hold of log, objects and view when one is struck. Does not belong here: how it is struck.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ml_data_platform.errors import CommitConflictError
from ml_data_platform.events.schemas import TableSchema
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.faults.lanes import numbered
from ml_data_platform_tests.faults.lanes.scenario import Scenario
from ml_data_platform_tests.storage_tables import DAY, PARTED, SINGLE, present

CONFLICT = "conflict"


@dataclass(frozen=True)
class Committing(Scenario):
    """A commit.

    Attributes:
        table: Of this table.
        before: Numbers in the log when it begins.
        number: The number that it writes.
        expected: The generation that it was computed against; None for the head as it is read then.
        why: A further input: the same bytes for another reason.
        is_current: Whether its inputs still count when another writer was faster.
        ends: How it ends, undisturbed.
    """

    table: TableSchema = SINGLE
    before: tuple[int, ...] = ()
    number: int = 1
    expected: int | None = 0
    why: str = ""
    is_current: bool = False
    ends: str = "committed"

    @property
    def after(self) -> tuple[int, ...]:
        """Numbers in the log when it has ended."""
        return self.before if self.ends in {"unchanged", CONFLICT} else (*self.before, self.number)

    def prepare(self, root: Path) -> None:
        """Commit what was there before."""
        root.mkdir()
        numbered.commit_all(root, self.table, self.before)

    def act(self, root: Path) -> str:
        """Stage and commit."""
        return self._commit(root, "first")

    def check(self, root: Path, acknowledged: str | None) -> None:
        """Old or new, nothing promised is lost, and the retry makes it new exactly once."""
        found = tuple(numbered.numbers(root, self.table))
        numbered.assert_view_is_whole(root, self.table, found, complete=bool(self.before))
        assert found in {self.before, self.after}, f"the log holds {found}"
        assert acknowledged is None or found == self.after, f"{acknowledged} was promised, the log holds {found}"
        assert acknowledged in {None, self.ends, *self._also}, f"it ended as {acknowledged}"
        if acknowledged and found and acknowledged != CONFLICT:
            numbered.assert_view_is_whole(root, self.table, [found[-1]], complete=True)
        numbered.recover(root)
        assert tuple(numbered.numbers(root, self.table)) == found
        numbered.assert_whole(root, self.table)
        retried = self._commit(root, "retry")
        is_there = found == self.after and self.ends != CONFLICT
        assert retried == ("unchanged" if is_there else self.ends), f"the retry ended as {retried}"
        assert tuple(numbered.numbers(root, self.table)) == self.after, "the retry did not end as new, once"
        numbered.assert_whole(root, self.table)
        numbered.assert_no_litter(root, self.table)

    @property
    def _also(self) -> set[str]:
        # Who reads a head that holds his work already has nothing to commit.
        return {"unchanged"} if self.expected is None else set()

    def _commit(self, root: Path, run_id: str) -> str:
        store = TableStore(root, present)
        head = store.head(self.table.name, DAY) if self.expected is None else None
        expected = self.expected if self.expected is not None else head.generation if head else 0
        facts = {"expected": expected, "why": self.why, "is_current": self.is_current, "run_id": run_id}
        try:
            return numbered.commit_numbered(store, self.table, self.number, **facts).outcome
        except CommitConflictError:
            return CONFLICT


COMMITS = (
    Committing("first_commit"),
    Committing("recommit", before=(1,), number=2, expected=1),
    Committing("identical_bytes", before=(1,), number=1, expected=1, why="another reason"),
    Committing("nothing_new", before=(1,), number=1, expected=1, ends="unchanged"),
    Committing("rebase", before=(1, 5), number=2, expected=1, is_current=True, ends="rebased"),
    Committing("stale", before=(1, 5), number=2, expected=1, ends=CONFLICT),
    Committing("as_read", before=(1,), number=2, expected=None),
    Committing("multi_file", table=PARTED, before=(1,), number=2, expected=1),
)
