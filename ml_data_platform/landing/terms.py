"""What landing depends on, and what it answers.

Belongs here: the two values that go into and come out of landing, and the engine that many files share. Does not belong here: the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import duckdb

from ml_data_platform.errors import SettingsError
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.lateness import start_of_day
from ml_data_platform.landing.limits import LIMITS, Limits
from ml_data_platform.landing.masked_files import BrokenRules
from ml_data_platform.landing.masking import MaskingKeys
from ml_data_platform.storage import duck
from ml_data_platform.storage.ledger import Ledger, LedgerRecord
from ml_data_platform.storage.object_store import ObjectStore
from ml_data_platform.storage.table_store import TableStore

MAX_FUTURE = timedelta(hours=24)

Outcome = Literal["landed", "empty", "header_only", "rejected", "known", "unreadable"]
Status = Literal["landed", "empty", "header_only", "rejected"]


@dataclass(frozen=True)
class LandedFile:
    """What landing did with one file.

    Attributes:
        source: Source name.
        path: The file, as it was given; for a kept file its key.
        name: The name it goes by in the ledger.
        outcome: The new record's status; ``known`` when the ledger had the content under the present routing;
            ``unreadable`` when there were no bytes to land, or too little memory to read them.
        record: The ledger record that holds now; None when unreadable.
        reason: Why it was rejected or is unreadable.
    """

    source: str
    path: str
    name: str
    outcome: Outcome
    record: LedgerRecord | None
    reason: str | None = None


@dataclass(frozen=True)
class LandingTerms:
    """What landing depends on beside the file and its contract.

    Attributes:
        store: Where everything is kept.
        start_date: First UTC day that has partitions.
        now: The present, with a time zone.
        max_future: An event later than its file's first landing by more has no usable day.
        memory_limit: Bound of the engine's memory, e.g. ``1GB``.
        threads: Threads of the engine.
        limits: What the file may cost.
        key_id: Id of the key that user ids are hashed with, noted in the record.
        masking_keys: Keys of the masks; needed for sources with a ``pii`` section.
        judge_of: Returns what judges rows of a contract before they are masked; None where nothing has to.
        mixed_sources: Sources of which nothing can be landed, and why, see `masking_state`.
        engine: Routes the rows; by default each file opens its own. Of one thread, see `with_one_engine`.
        watermarks: Source to watermark before the landing run, aware; a source without one has no late rows. All files
            of a run are judged by it, so that their order decides nothing.
        is_historical: The load is not late, whatever days it has rows of.
    """

    store: TableStore
    start_date: date
    now: datetime
    max_future: timedelta = MAX_FUTURE
    memory_limit: str = "1GB"
    threads: int = 2
    limits: Limits = LIMITS
    key_id: str | None = None
    masking_keys: MaskingKeys | None = None
    judge_of: Callable[[SourceContract], BrokenRules | None] = lambda _: None
    mixed_sources: Mapping[str, str] = field(default_factory=dict)
    engine: duckdb.DuckDBPyConnection | None = None
    watermarks: Mapping[str, datetime] = field(default_factory=dict)
    is_historical: bool = False

    def __post_init__(self) -> None:
        if self.now.tzinfo is None:
            raise SettingsError("Landing needs a clock with a time zone.", got=self.now)

    def routing_hash(self, contract: SourceContract) -> str:
        """Return the routing hash of what is landed under a contract now."""
        masked_with = self.masking_keys.key_id if self.masking_keys is not None else None
        return contract.routing_hash(self.start_date, masked_with)

    @property
    def dated_through(self) -> datetime:
        """Latest instant that an event may have in a file that is read again; it moves once a day."""
        return start_of_day(self.now.astimezone(UTC).date()) + self.max_future

    @property
    def objects(self) -> ObjectStore:
        """The bytes under the root."""
        return self.store.objects

    @property
    def ledger(self) -> Ledger:
        """The ledger under the root."""
        return Ledger(self.store.objects)

    @property
    def landed_at(self) -> str:
        """The present as the ledger writes it."""
        return self.now.astimezone(UTC).isoformat()


@contextmanager
def with_one_engine(terms: LandingTerms) -> Iterator[LandingTerms]:
    """Give terms whose engine serves all files landed within the block: opening one costs as much as a small file."""
    with (
        terms.store.scratch() as folder,
        duck.connect(
            folder,
            folders=[terms.objects.local_folder],
            memory_limit=terms.memory_limit,
            threads=terms.threads,
        ) as engine,
    ):
        yield replace(terms, engine=engine)
