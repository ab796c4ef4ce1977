"""Recovery, collection and landing as scenarios.

Belongs here: what must hold when one of them is struck. Does not belong here: how it is struck.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from ml_data_platform.datasets.snapshots import write_snapshot
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.landing.landing import LandingTerms, land_file
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.faults.lanes import numbered
from ml_data_platform_tests.faults.lanes.lane import fault_folder
from ml_data_platform_tests.faults.lanes.scenario import Scenario
from ml_data_platform_tests.landed_shop_files import NOW, START, shop_file
from ml_data_platform_tests.storage_tables import DAY, PARTED, present


@dataclass(frozen=True)
class Recovering(Scenario):
    """A recovery, of a view half of which is behind its head, and of scratch whose owner is dead."""

    def prepare(self, root: Path) -> None:
        """Commit twice, show the older object in one file of the view, and leave scratch behind."""
        root.mkdir()
        numbered.commit_all(root, PARTED, (1, 2))
        old = numbered.records(root, PARTED)[0]["files"][0]
        temp = root / "older"
        os.link(numbered.object_path(root, PARTED, old["sha256"]), temp)
        temp.replace(root / "data" / PARTED.name / f"dt={DAY}" / old["name"])
        for dead in ("a" * 32, "b" * 32):
            folder = root / "_store" / "tmp" / dead
            (folder / "deeper").mkdir(parents=True)
            (folder / "deeper" / "part").write_bytes(b"half a file")
            folder.with_name(f"{dead}.lock").touch()

    def act(self, root: Path) -> str:
        """Recover."""
        numbered.recover(root)
        return "recovered"

    def check(self, root: Path, acknowledged: str | None) -> None:
        """The log is as before, a second recovery ends whole, and a third has nothing to do."""
        assert numbered.numbers(root, PARTED) == [1, 2]
        # What it could not remove of the dead it leaves to the next, but what it found or made whole stays whole.
        numbered.assert_view_is_whole(root, PARTED, [2] if acknowledged else [1, 2], complete=True)
        numbered.recover(root)
        numbered.assert_whole(root, PARTED)
        again = TableStore(root, present).recover()
        assert (again.views_repaired, again.folders_removed) == (0, 0)


@dataclass(frozen=True)
class Collecting(Scenario):
    """A collection: of five generations the newest and a pinned one stay, and an orphan goes."""

    def prepare(self, root: Path) -> None:
        """Commit five times, pin the second, leave an object that no record names."""
        root.mkdir()
        numbered.commit_all(root, PARTED, (1, 2, 3, 4, 5))
        pinned = [file["sha256"] for file in numbered.records(root, PARTED)[1]["files"]]
        write_snapshot(TableStore(root, present), {"pinned": pinned, "partitions": {}}, root / "notes")
        orphan = numbered.object_path(root, PARTED, "0" * 64)
        orphan.parent.mkdir(exist_ok=True)
        orphan.write_bytes(b"of a commit that never was")

    def act(self, root: Path) -> str:
        """Collect."""
        TableStore(root, present).collect(keep_last=1, older_than=timedelta(0), now=present() + timedelta(days=1))
        return "collected"

    def check(self, root: Path, acknowledged: str | None) -> None:
        """What must stay is there at all times; collecting again leaves nothing else."""
        history = numbered.records(root, PARTED)
        assert len(history) == 5
        kept = {file["sha256"] for record in (history[1], history[4]) for file in record["files"]}
        assert kept <= numbered.stored_objects(root, PARTED), "an object that must stay is gone"
        numbered.assert_view_is_whole(root, PARTED, [5], complete=True)
        numbered.recover(root)
        numbered.assert_whole(root, PARTED)
        self.act(root)
        assert numbered.stored_objects(root, PARTED) == kept, "an object that must go is there"
        numbered.assert_record_holds(root, PARTED, history[1])
        numbered.assert_whole(root, PARTED)


@dataclass(frozen=True)
class Landing(Scenario):
    """Landing a file."""

    @cached_property
    def undisturbed(self) -> dict[str, bytes]:
        """The root after landing without any fault."""
        with fault_folder() as folder:
            self.prepare(folder / "root")
            assert self.act(folder / "root") == "landed"
            return self._kept(folder / "root")

    def prepare(self, root: Path) -> None:
        """Drop a file."""
        root.mkdir()
        (root / "dropped").write_bytes(shop_file(2, 40).content)

    def act(self, root: Path) -> str:
        """Land the file."""
        terms = LandingTerms(TableStore(root, lambda: NOW), START, NOW, threads=1)
        return land_file(root / "dropped", SourceContract(source="demo_shop", format="jsonl"), terms).outcome

    def check(self, root: Path, acknowledged: str | None) -> None:
        """A record or none, never a second one; landing again ends with the files of an undisturbed landing."""
        names = [path for path in (root / "ledger").rglob("*.json") if path.parent.name == "demo_shop"]
        is_recorded = bool(names)
        assert len(names) <= 1
        assert acknowledged in {None, "landed", "known"}, f"it ended as {acknowledged}"
        assert is_recorded or acknowledged is None, "a landing was promised, and is lost"
        numbered.recover(root)
        retried = self.act(root)
        assert retried == ("known" if is_recorded else "landed"), f"the retry ended as {retried}"
        found = self._kept(root)
        assert found.keys() == self.undisturbed.keys(), f"files differ: {found.keys() ^ self.undisturbed.keys()}"
        assert found == self.undisturbed, "bytes differ"

    def _kept(self, root: Path) -> dict[str, bytes]:
        files = [path for path in root.rglob("*") if path.is_file() and "locks" not in path.parts]
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
