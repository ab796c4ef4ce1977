"""Records that are no partition's, read by one process after another died writing them.

Belongs here: that what a process was told of the ledger, of a decision, a failure or a key outlasts a power cut. Does
not belong here: partitions (`successors`), landing itself (`upkeep`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ml_data_platform.storage.keys import load_or_create_key
from ml_data_platform.storage.layout import UNDATED_ROWS, Layout
from ml_data_platform.storage.ledger import Ledger, LedgerRecord
from ml_data_platform.storage.local_objects import LocalObjectStore
from ml_data_platform_tests.faults.lanes.scenario import Scenario

SOURCE, CONTENT, ROUTING, LATE_DAY = "demo_shop", "c" * 64, "a" * 64, "2026-03-01"
AT = "2026-03-04T05:06:07+00:00"


def landed_record(sha256: str = CONTENT) -> LedgerRecord:
    """Return the record of an empty file."""
    return LedgerRecord(
        source=SOURCE,
        sha256=sha256,
        routing_hash=ROUTING,
        contract_hash="b" * 64,
        name="file.jsonl",
        size_bytes=0,
        status="empty",
        reason=None,
        rows=0,
        rows_per_day={},
        undated={},
        min_event_time=None,
        max_event_time=None,
        ingested_at=AT,
        fragment=None,
        undated_fragment=None,
        key_id=None,
    )


@dataclass(frozen=True)
class Recording(Scenario):
    """One process appends, or finds, a record; what it then says is checked as another process reads it."""

    def prepare(self, root: Path) -> None:
        """Make a root in which another file was landed, and another failed."""
        root.mkdir()
        ledger = Ledger(LocalObjectStore(root))
        ledger.append(landed_record("d" * 64))
        ledger.decisions.admit(SOURCE, "d" * 64, [LATE_DAY], reason="test", at=AT)
        ledger.note_failure(SOURCE, "/dropped", "unreadable", AT)
        ledger.note_failure(SOURCE, "/other", "unreadable", AT)

    def act(self, root: Path) -> str:
        """Do it, and return what is so from now on."""
        return self.learn(Ledger(LocalObjectStore(root)))

    def learn(self, ledger: Ledger) -> str:
        """Do it in a ledger."""
        raise NotImplementedError

    def check(self, root: Path, acknowledged: str | None) -> None:
        """What was said is still so, and doing it again says it."""
        if acknowledged is not None:
            found = self.is_so(Ledger(LocalObjectStore(root)), acknowledged)
            assert found, f"{acknowledged} was promised, and is lost"
        self.act(root)
        # Told again, it is known or done; either way it holds.
        assert self.is_so(Ledger(LocalObjectStore(root)), self.act(root))

    def is_so(self, ledger: Ledger, said: str) -> bool:
        """Tell whether what was said holds."""
        raise NotImplementedError


@dataclass(frozen=True)
class ReadingLedger(Recording):
    """A file is landed; another process reads the ledger, to build on what it says."""

    def die(self, root: Path) -> None:
        """Append the file's record."""
        Ledger(LocalObjectStore(root)).append(landed_record())

    def learn(self, ledger: Ledger) -> str:
        """Read which files are landed."""
        return " ".join(record.sha256 for record in ledger.records())

    def is_so(self, ledger: Ledger, said: str) -> bool:
        """Those files are landed."""
        return set(said.split()) <= {record.sha256 for record in ledger.records()}


@dataclass(frozen=True)
class AskingLedger(ReadingLedger):
    """The same, asked file by file, to leave alone what is known."""

    def learn(self, ledger: Ledger) -> str:
        """Ask for it, and for the one that was landed before."""
        return " ".join(sha256 for sha256 in (CONTENT, "d" * 64) if ledger.record(SOURCE, sha256, ROUTING))


@dataclass(frozen=True)
class Deciding(Recording):
    """A content's rows are admitted; whoever asks for the same is told that they are."""

    def learn(self, ledger: Ledger) -> str:
        """Admit rows of a day."""
        ledger.decisions.admit(SOURCE, CONTENT, [LATE_DAY], reason="test", at=AT)
        return LATE_DAY

    def is_so(self, ledger: Ledger, said: str) -> bool:
        """They are admitted."""
        return said in ledger.decisions.standing(SOURCE, CONTENT).admitted


@dataclass(frozen=True)
class Forgetting(Recording):
    """A file could be read after all; its failure is told no longer."""

    def learn(self, ledger: Ledger) -> str:
        """Forget it."""
        ledger.forget_failures(SOURCE, "/dropped")
        return "/dropped"

    def check(self, root: Path, acknowledged: str | None) -> None:
        """The other failure stays."""
        super().check(root, acknowledged)
        assert [each.path for each in Ledger(LocalObjectStore(root)).failures()] == ["/other"]

    def is_so(self, ledger: Ledger, said: str) -> bool:
        """It is forgotten."""
        return said not in {each.path for each in ledger.failures()}


@dataclass(frozen=True)
class Withdrawing(Scenario):
    """A file's rows without a day are shown no longer, because a new reading of it found none."""

    def prepare(self, root: Path) -> None:
        """Show some."""
        root.mkdir()
        (root / "rows").write_bytes(b"rows")
        fragment = hashlib.sha256(b"rows").hexdigest()
        objects, key = LocalObjectStore(root), Layout.object_key(UNDATED_ROWS, fragment)
        objects.put_if_absent(key, root / "rows")
        objects.project(key, self.view)

    @property
    def view(self) -> str:
        """Where they are shown."""
        return Layout.undated_view_key(SOURCE, CONTENT)

    def act(self, root: Path) -> str:
        """Withdraw them."""
        LocalObjectStore(root).withdraw(self.view)
        return "withdrawn"

    def check(self, root: Path, acknowledged: str | None) -> None:
        """They are not shown."""
        assert acknowledged is None or not (root / self.view).exists(), "what was withdrawn is shown"
        self.act(root)
        assert not (root / self.view).exists()


@dataclass(frozen=True)
class MakingKey(Scenario):
    """A key is made on first use, and ids are made with it at once."""

    def prepare(self, root: Path) -> None:
        """Make an empty root."""
        root.mkdir()

    def act(self, root: Path) -> str:
        """Load the key, or make it."""
        return load_or_create_key(root / "secrets")[0]

    def check(self, root: Path, acknowledged: str | None) -> None:
        """It is the same key ever after."""
        assert acknowledged in {None, self.act(root)}, "ids were made with a key that is lost"


PROMISES = (
    ReadingLedger("ledger_read_after_a_death"),
    AskingLedger("ledger_asked_after_a_death"),
    Deciding("decision"),
    Forgetting("forgotten_failure"),
    Withdrawing("withdrawn_rows"),
    MakingKey("key"),
)
