"""The same work on a file system that knows no hard links, where the view is made of copies.

Belongs here: taking links away from other scenarios. Does not belong here: what those do and promise.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from ml_data_platform_tests.faults.lanes.committing import Committing
from ml_data_platform_tests.faults.lanes.promises import MakingKey
from ml_data_platform_tests.faults.lanes.scenario import Scenario
from ml_data_platform_tests.faults.lanes.successors import CollectingAfter, RecoveringAfter
from ml_data_platform_tests.storage_tables import PARTED


@contextmanager
def without_links() -> Iterator[None]:
    """Refuse every hard link, as FAT and some network file systems do."""

    def link(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    with patch.object(os, "link", link):
        yield


@dataclass(frozen=True)
class Linkless(Scenario):
    """Another scenario without hard links.

    Attributes:
        real: The other one.
    """

    real: Scenario

    def prepare(self, root: Path) -> None:
        """Prepare it."""
        with without_links():
            self.real.prepare(root)

    def act(self, root: Path) -> str:
        """Do its work."""
        with without_links():
            return self.real.act(root)

    def die(self, root: Path) -> None:
        """Do what dies in it."""
        with without_links():
            self.real.die(root)

    def check(self, root: Path, acknowledged: str | None) -> None:
        """Check the same."""
        with without_links():
            self.real.check(root, acknowledged)


LINKLESS = tuple(
    Linkless(f"{real.name}_without_links", real)
    for real in (
        Committing("recommit", before=(1,), number=2, expected=1),
        Committing("multi_file", table=PARTED, before=(1,), number=2, expected=1),
        RecoveringAfter("recovery"),
        CollectingAfter("collection"),
        MakingKey("key"),
    )
)
