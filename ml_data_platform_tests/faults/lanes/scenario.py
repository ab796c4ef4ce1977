"""The form of what storage is doing when a fault strikes.

Belongs here: how any kind of work is prepared, done and checked. Does not belong here: a kind of work (`committing`,
`upkeep`), or how a fault is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ml_data_platform_tests.faults.lanes.lane import fault_folder
from ml_data_platform_tests.faults.lanes.trees import Tree


@dataclass(frozen=True)
class Scenario:
    """One kind of work.

    Attributes:
        name: How it is named.
    """

    name: str

    def prepare(self, root: Path) -> None:
        """Make the root that the work starts from."""

    def act(self, root: Path) -> str:
        """Do the work; what is returned has been promised to whoever asked for it."""
        raise NotImplementedError

    def die(self, root: Path) -> None:
        """Do what a process does that dies in it before the work begins: by default the same work."""
        self.act(root)

    def check(self, root: Path, acknowledged: str | None) -> None:
        """Check what a fault left, recover, do the work again, and check the end.

        Args:
            root: The root, before any recovery.
            acknowledged: What `act` returned; None when it did not come so far.
        """
        raise NotImplementedError

    @cached_property
    def prepared(self) -> Tree:
        """The prepared root, made once."""
        with fault_folder() as folder:
            self.prepare(folder / "root")
            return Tree.read(folder / "root")
