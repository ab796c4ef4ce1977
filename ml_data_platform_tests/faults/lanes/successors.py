"""What others do with a commit whose writer died: recover, commit on top of it, collect, pin it.

Belongs here: that whatever they acknowledge outlasts a power cut. Does not belong here: the commit itself
(`committing`), records that are no partition's (`promises`).

The death may come between a step and its flush. Who finds the step done builds on it, and nobody else will flush it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from ml_data_platform.datasets.snapshots import write_snapshot
from ml_data_platform.events.schemas import TableSchema
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.faults.lanes import numbered
from ml_data_platform_tests.faults.lanes.scenario import Scenario
from ml_data_platform_tests.storage_tables import DAY, PARTED, SINGLE, present

BEFORE, DEAD, OURS = 1, 2, 3
FEWER_FILES = replace(PARTED, files=PARTED.files[:1])


@dataclass(frozen=True)
class Succeeding(Scenario):
    """A commit of one number, and what another process does after its writer died.

    Attributes:
        table: Of this table.
        shows_head: The work promises that the view is the head.
    """

    table: TableSchema = PARTED
    shows_head: bool = True

    def prepare(self, root: Path) -> None:
        """Commit what was there before."""
        root.mkdir()
        numbered.commit_all(root, self.table, (BEFORE,))

    def die(self, root: Path) -> None:
        """Commit on top of it."""
        numbered.commit_numbered(TableStore(root, present), self.table, DEAD, expected=1)

    def check(self, root: Path, acknowledged: str | None) -> None:
        """The log has no gap and all objects of its head; the view is never ahead of it, and where it is promised, it."""
        found = numbered.numbers(root, self.table)
        assert found in self.possible, f"the log holds {found}"
        numbered.assert_record_holds(root, self.table, numbered.records(root, self.table)[-1])
        numbered.assert_view_is_whole(root, self.table, found, complete=True)
        if acknowledged is not None:
            allowed = found[-1:] if self.shows_head else found
            numbered.assert_view_is_whole(root, self.table, allowed, complete=True)
            self.check_promise(root, acknowledged)
        numbered.recover(root)
        assert numbered.numbers(root, self.table) == found
        numbered.assert_whole(root, self.table)

    @property
    def possible(self) -> list[list[int]]:
        """What the log may hold."""
        return [[BEFORE], [BEFORE, DEAD]]

    def check_promise(self, root: Path, acknowledged: str) -> None:
        """Check what the work promised beyond that the view shows the head."""


@dataclass(frozen=True)
class RecoveringAfter(Succeeding):
    """A recovery, after which the view is the head."""

    def act(self, root: Path) -> str:
        """Recover."""
        numbered.recover(root)
        return "recovered"


@dataclass(frozen=True)
class CommittingAfter(Succeeding):
    """A commit of another writer."""

    def act(self, root: Path) -> str:
        """Commit on the head as it is read."""
        store = TableStore(root, present)
        head = store.head(self.table.name, DAY)
        assert head is not None
        return numbered.commit_numbered(store, self.table, OURS, expected=head.generation).outcome

    @property
    def possible(self) -> list[list[int]]:
        """What the log may hold: the dead one's commit or not, then ours or not."""
        return [[BEFORE], [BEFORE, DEAD], [BEFORE, OURS], [BEFORE, DEAD, OURS]]

    def check_promise(self, root: Path, acknowledged: str) -> None:
        """What was acknowledged is the head."""
        assert acknowledged in {"committed", "unchanged"}
        assert numbered.numbers(root, self.table)[-1] == OURS, "a commit was promised, and is lost"


@dataclass(frozen=True)
class CollectingAfter(Succeeding):
    """A collection that keeps the newest generation only; a view that lags is not its business."""

    shows_head: bool = False

    def act(self, root: Path) -> str:
        """Collect."""
        store = TableStore(root, present)
        store.collect(keep_last=1, older_than=timedelta(0), now=present() + timedelta(days=1))
        return "collected"


@dataclass(frozen=True)
class ShrinkingAfter(Succeeding):
    """A commit of a table that has a file less than it had; the view shows it no longer."""

    table: TableSchema = FEWER_FILES

    def prepare(self, root: Path) -> None:
        """Commit all files."""
        root.mkdir()
        numbered.commit_all(root, PARTED, (BEFORE,))

    def act(self, root: Path) -> str:
        """Commit one file."""
        store = TableStore(root, present)
        head = store.head(self.table.name, DAY)
        assert head is not None
        return numbered.commit_numbered(store, self.table, OURS, expected=head.generation).outcome

    def check(self, root: Path, acknowledged: str | None) -> None:
        """The head's files are shown, and where that is promised, no other."""
        found = numbered.numbers(root, self.table)
        assert found[0] == BEFORE
        assert set(found[1:]) <= {DEAD, OURS}
        if acknowledged is not None:
            assert found[-1] == OURS, "a commit was promised, and is lost"
            numbered.assert_view_is_whole(root, self.table, [OURS], complete=True)
        numbered.recover(root)
        numbered.assert_whole(root, PARTED if found == [BEFORE] else self.table)


@dataclass(frozen=True)
class WithdrawingAfter(ShrinkingAfter):
    """The same commit told again, after a recovery that died while it withdrew the file."""

    def prepare(self, root: Path) -> None:
        """Commit all files, then one, and show the others still."""
        super().prepare(root)
        self.act(root)
        gone = numbered.records(root, PARTED)[0]["files"][1]
        os.link(
            numbered.object_path(root, PARTED, gone["sha256"]), root / "data" / PARTED.name / f"dt={DAY}" / gone["name"]
        )

    def die(self, root: Path) -> None:
        """Recover."""
        numbered.recover(root)


@dataclass(frozen=True)
class PinningAfter(Succeeding):
    """A snapshot of the newest generation, which a version is traced through."""

    table: TableSchema = SINGLE

    def act(self, root: Path) -> str:
        """Write a snapshot of the head, as a cut does."""
        store = TableStore(root, present)
        head = store.head(self.table.name, DAY)
        assert head is not None
        pinned = {"generation": head.generation, "files": {file.name: file.sha256 for file in head.files}}
        write_snapshot(store, {"partitions": {self.table.name: {DAY: pinned}}}, root / "notes" / "snapshots")
        return str(head.generation)

    def check(self, root: Path, acknowledged: str | None) -> None:
        """The log has the pinned generation, and its objects are there; the view is recovered by others."""
        found = numbered.numbers(root, self.table)
        assert found in self.possible, f"the log holds {found}"
        numbered.assert_view_is_whole(root, self.table, found, complete=True)
        if acknowledged is not None:
            assert len(found) >= int(acknowledged), "a pinned generation is lost"
            assert list((root / "_store" / "snapshots").iterdir()), "a snapshot is lost"
        numbered.recover(root)
        numbered.assert_whole(root, self.table)


SUCCESSORS = (
    RecoveringAfter("recovery_after_a_death"),
    CommittingAfter("commit_after_a_death"),
    CollectingAfter("collection_after_a_death"),
    ShrinkingAfter("fewer_files"),
    WithdrawingAfter("withdrawal_after_a_death"),
    PinningAfter("pin_after_a_death"),
)
