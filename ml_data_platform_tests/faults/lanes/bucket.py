"""The lane of commits to a bucket whose requests and answers are lost, late, cut or refused by chance.

Belongs here: writers of machines of their own, who note what they were promised. Does not belong here: the faults
(`bucket_faults`), comparing promises with the bucket (`bucket_audit`).
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

from ml_data_platform.errors import CommitStateUnknownError, SettingsError, StorageUnavailableError, bounded
from ml_data_platform.locations import S3Location
from ml_data_platform.storage import s3_requests
from ml_data_platform.storage.s3_client import S3Connection
from ml_data_platform.storage.s3_objects import S3ObjectStore
from ml_data_platform.storage.staging import StagedTable
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.faults.lanes import mutants, numbered
from ml_data_platform_tests.faults.lanes.bucket_audit import (
    Bucket,
    Partition,
    Promises,
    assert_promises_kept,
    assert_view_is_head,
)
from ml_data_platform_tests.faults.lanes.bucket_faults import ATTEMPTS, FAULTS, TIMEOUT_SECONDS, Meddler
from ml_data_platform_tests.faults.lanes.lane import Figures, Plan
from ml_data_platform_tests.s3_server import S3Server, Serve, moto, s3_server
from ml_data_platform_tests.storage_tables import PARTED, SINGLE, present
from ml_data_platform_tests.waiting import PATIENCE_SECONDS

PARTITIONS: list[Partition] = [(SINGLE, "2026-03-04"), (SINGLE, "2026-03-05"), (PARTED, "2026-03-04")]
# Most of the work is on one of them, so that writers meet.
WEIGHTS = (4, 1, 2)
DEAF = "deaf"
COMMIT_BEFORE, LOSE_ANSWER = STRIKES = ("another commits before", "answer lost")
SCENARIOS = (DEAF, *STRIKES)
FEWEST_EACH_ROUND, MOST_ROUNDS = 12, 20
MOST_WRITERS = 2
CHANCE_OF_GIVING_UP = 0.3
_MAX_TRIES = 10
# What the way to a bucket may do to a commit; everything else is a failure of the platform.
_EXCUSED = (StorageUnavailableError, CommitStateUnknownError)


def commit_through_faults(plan: Plan, backend: Callable[[], AbstractContextManager[Serve]] = moto) -> Figures:
    """Commit to one new bucket after the other, by one writer or two; compare promises with what is there."""
    figures, chooser = Figures(), plan.chooser
    each_round = max(FEWEST_EACH_ROUND, plan.trials // MOST_ROUNDS)
    with (
        mutants.applied(plan.mutant),
        mock.patch.object(s3_requests, "FIRST_PAUSE_SECONDS", 0.005),
        s3_server(backend) as server,
    ):
        meddler = Meddler(chooser.randrange(2**32))
        if DEAF in (plan.scenarios or SCENARIOS):
            with figures.noting("a store that ignores conditions"):
                _assert_is_refused(server, plan.folder / "deaf")
                figures.count("refused")
        server.meddle = meddler.take
        while set(STRIKES) & set(plan.scenarios or SCENARIOS) and not plan.is_done(figures):
            number = figures.notes.get("buckets", 0)
            figures.count("buckets")
            wanted = min(each_round, plan.trials - figures.trials)
            writers = MOST_WRITERS - number % MOST_WRITERS
            race = Race(server, plan.folder / str(number), writers, wanted, chooser.randrange(2**32))
            with figures.noting(f"bucket {number}"):
                race.run(meddler)
                race.check(meddler)
            figures.trials += len(race.promises.acknowledged)
            figures.count("ended with an error", race.errors)
        figures.count("faults", meddler.struck.total())
        figures.points = len(meddler.struck)
    return figures


def strike_in_turn(plan: Plan, backend: Callable[[], AbstractContextManager[Serve]] = moto) -> Figures:
    """Strike each request of a commit in turn: another machine commits before it, or its answer is lost."""
    figures = Figures()
    with (
        mutants.applied(plan.mutant),
        mock.patch.object(s3_requests, "FIRST_PAUSE_SECONDS", 0.005),
        s3_server(backend) as server,
    ):
        if DEAF in (plan.scenarios or SCENARIOS):
            with figures.noting("a store that ignores conditions"):
                _assert_is_refused(server, plan.folder / "deaf")
            figures.trials += 1
        for strike in (each for each in STRIKES if each in (plan.scenarios or SCENARIOS)):
            for request in count():
                known, has_struck = len(figures.anomalies), False
                with figures.noting(f"{strike}, request {request}"):
                    has_struck = _strike(server, plan.folder / f"{strike}-{request}", strike, request)
                figures.trials += 1
                if len(figures.anomalies) >= plan.enough:
                    return figures
                if not has_struck and len(figures.anomalies) == known:
                    break
    figures.points = figures.trials
    return figures


def _strike(server: S3Server, folder: Path, strike: str, request: int) -> bool:
    """Commit twice; strike one request of the second time, if there is such a one, and check what becomes of it."""
    meddler, seen, struck = Meddler(0), count(), []
    server.meddle = meddler.take
    race = Race(server, folder, writers=2, wanted=0, seed=0)
    ours, theirs = (open_store(server, folder / who, race.bucket) for who in ("ours", "theirs"))
    race.commit(ours, PARTITIONS[0], 1)

    def meddle(environ: Any, start_response: Any, serve: Any) -> list[bytes]:
        if not struck and next(seen) == request:
            struck.append(strike)
            if strike == LOSE_ANSWER:
                return FAULTS["answer lost"](environ, start_response, serve)
            race.commit(theirs, PARTITIONS[0], 3)
        return meddler.take(environ, start_response, serve)

    server.meddle = meddle
    race.commit(ours, PARTITIONS[0], 2)
    server.meddle = meddler.take
    race.check(meddler)
    return bool(struck)


def open_store(
    server: S3Server, home: Path, bucket: str, *, read_timeout_seconds: float = PATIENCE_SECONDS
) -> TableStore:
    """Open a bucket as a machine of its own, so that no lock and no cache is shared."""
    connection = S3Connection(server.endpoint_url, read_timeout_seconds=read_timeout_seconds, attempts=ATTEMPTS)
    return TableStore(S3ObjectStore(S3Location(bucket, ""), home, connection), present)


def _assert_is_refused(server: S3Server, home: Path) -> None:
    """Check that a store which takes a conditional put for a plain one is not written to."""

    def deaf(environ: Any, start_response: Any, serve: Any) -> list[bytes]:
        environ.pop("HTTP_IF_NONE_MATCH", None)
        environ.pop("HTTP_IF_MATCH", None)
        return serve(environ, start_response)

    server.meddle, bucket = deaf, server.new_bucket()
    refused = False
    try:
        numbered.commit_numbered(open_store(server, home, bucket), SINGLE, 1, expected=0)
    except SettingsError:
        refused = True
    assert refused, "it was written to"
    assert list(Bucket(server.client, bucket).held) == ["_store/probe"]


@dataclass
class Race:
    """Writers of one bucket.

    Attributes:
        server: Where the bucket is.
        folder: For the homes of the machines.
        writers: How many there are.
        wanted: Acknowledged commits after which they end.
        seed: Of every random choice.
    """

    server: S3Server
    folder: Path
    writers: int
    wanted: int
    seed: int

    def __post_init__(self) -> None:
        self.bucket = self.server.new_bucket()
        self.promises = Promises()
        self.errors = 0
        self._numbers = count(1)
        self._lock = threading.Lock()

    def run(self, meddler: Meddler) -> None:
        """Let all writers commit through faults, until so many commits are acknowledged."""
        threads = [threading.Thread(target=self._write, args=(who,)) for who in range(self.writers)]
        with meddler.meddling():
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def check(self, meddler: Meddler) -> None:
        """Check the bucket as the writers left it; then recover it from another machine, and check the view."""
        assert_promises_kept(Bucket(self.server.client, self.bucket), PARTITIONS, self.promises)
        assert meddler.went_back == [], f"the view went back: {meddler.went_back[:3]}"
        broken = open_store(self.server, self.folder / "another", self.bucket).recover().broken
        assert broken == (), f"recovery could not mend {broken}"
        after = Bucket(self.server.client, self.bucket)
        assert_promises_kept(after, PARTITIONS, self.promises)
        assert_view_is_head(after, PARTITIONS)

    def _write(self, who: int) -> None:
        try:
            store, chooser = (
                open_store(self.server, self.folder / str(who), self.bucket, read_timeout_seconds=TIMEOUT_SECONDS),
                random.Random(self.seed + who),
            )
            while len(self.promises.acknowledged) < self.wanted and not self.promises.failures:
                self._commit_a_number(store, chooser)
        except Exception as error:
            self.promises.failures.append(bounded(f"{type(error).__name__}: {error}", 300))

    def _commit_a_number(self, store: TableStore, chooser: random.Random) -> None:
        """Compute a number onto the head of some partition, and commit it until that is acknowledged or given up."""
        ((table, day),) = chooser.choices(PARTITIONS, WEIGHTS)
        with self._lock:
            number = next(self._numbers)
        self.commit(store, (table, day), number, gives_up=lambda: chooser.random() < CHANCE_OF_GIVING_UP)

    def commit(
        self, store: TableStore, partition: Partition, number: int, gives_up: Callable[[], bool] = lambda: False
    ) -> None:
        """Compute a number onto the head of a partition, and commit it until that is acknowledged or given up."""
        table, day = partition
        try:
            head = store.head(table.name, day)
        except _EXCUSED:
            return
        with store.scratch() as scratch:
            staged = store.stage(
                table,
                day,
                numbered.write_numbered(scratch, table, number),
                inputs={"number": str(number)},
                code_version="1",
                expected_generation=head.generation if head else 0,
            )
            for _ in range(_MAX_TRIES):
                if self._is_acknowledged(store, staged, number) or gives_up():
                    return

    def _is_acknowledged(self, store: TableStore, staged: StagedTable, number: int) -> bool:
        try:
            done = store.commit(staged, run_id=f"run {number}", inputs_are_current=lambda _: True)
        except _EXCUSED:
            with self._lock:
                self.errors += 1
                self.promises.raised.add(staged.commit_id)
            return False
        with self._lock:
            place = f"{staged.asset}/{staged.day}"
            self.promises.acknowledged.append((staged.commit_id, place, done.record.generation))
        return True
