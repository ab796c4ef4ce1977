"""Tables in daily partitions: staging, the commit protocol and references.

Belongs here: the order of the steps that make a partition's new generation visible, and what happens when
two writers meet. Does not belong here: what lies under a key (`object_store`), what a record says
(`commit_log`), what a crash leaves (`recovery`).

Steps: 1. the stage writes scratch files; 2. `TableStore.stage` verifies them; 3. objects are published
under their hashes; 4. the commit point: put-if-absent of the log record after the expected generation;
5. the view is projected from the head; 6. the commit is acknowledged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from ml_data_platform.errors import CommitConflictError, SettingsError, StageFailedError
from ml_data_platform.events.schemas import TableSchema
from ml_data_platform.storage import collection, recovery
from ml_data_platform.storage.commit_log import CommitLog, FileEntry, LogRecord
from ml_data_platform.storage.layout import Layout, check_name, day_key
from ml_data_platform.storage.local_objects import LocalObjectStore
from ml_data_platform.storage.lost_files import forget_found
from ml_data_platform.storage.object_store import GRACE, ObjectStore
from ml_data_platform.storage.parquet import verify_file
from ml_data_platform.storage.partition_ref import PartitionRef
from ml_data_platform.storage.records import canonical_json
from ml_data_platform.storage.staging import MEASURED, Commit, Outcome, StagedTable

__all__ = ["Commit", "PartitionRef", "StagedTable", "TableStore", "never_current"]

InputsCheck = Callable[[Mapping[str, str]], bool]
# Each lost round means that another writer published; more than this is a fault, not a race.
MAX_ROUNDS = 100


def never_current(_inputs: Mapping[str, str]) -> bool:
    """Treat every overtaken commit as stale."""
    return False


class TableStore:
    """All partitioned tables under one root.

    Args:
        root: Folder of the platform's data, or the store that holds it.
        clock: Returns the present, with a time zone.
    """

    def __init__(self, root: Path | ObjectStore, clock: Callable[[], datetime]) -> None:
        self.objects = root if isinstance(root, ObjectStore) else LocalObjectStore(root)
        self.clock = clock
        self.log = CommitLog(self.objects)

    def scratch(self) -> AbstractContextManager[Path]:
        """Give a private folder for the files of one stage, removed at the end of the block."""
        return self.objects.scratch()

    def head(self, asset: str, day: date | str) -> LogRecord | None:
        """Return a partition's newest generation; None where nothing is published."""
        return self.log.head(asset, day_key(day))

    def heads(self, asset: str) -> dict[str, LogRecord]:
        """Return the newest generation of every published day of an asset, by day in order."""
        return self.log.heads(asset)

    def ref(self, asset: str, days: Iterable[date | str]) -> PartitionRef:
        """Pin the present heads of several days; days without one stay visible as absent."""
        keys = [day_key(day) for day in days]
        return PartitionRef(check_name(asset, "asset"), {key: self.log.head(asset, key) for key in keys}, self.objects)

    def stage(
        self,
        table: TableSchema,
        day: date | str,
        files: Mapping[str, Path],
        *,
        inputs: Mapping[str, str],
        code_version: str,
        expected_generation: int,
        verdict: Mapping[str, Any] | None = None,
    ) -> StagedTable:
        """Verify the written files of one partition.

        Args:
            table: The declared table; ``files`` must be exactly its files.
            day: UTC day.
            files: Name within the partition to path; the files belong to the store from here on.
            inputs: What they were computed from: input name to content hash.
            code_version: Version of the stage.
            expected_generation: The head's generation when the inputs were read; 0 for none.
            verdict: What validation said, as JSON.

        Raises:
            StageFailedError: The files are not the table's, or the verdict has no JSON form.
            SchemaMismatchError: A file's columns or metadata are not the declared ones.
            VerificationError: A file is missing or cannot be read back.
        """
        if sorted(files) != sorted(table.files):
            raise StageFailedError(
                "A partition must be staged with all its files.",
                asset=table.name,
                partition=day,
                expected=sorted(table.files),
                got=sorted(files),
            )
        staged = [verify_file(Path(path), table, Layout.file_name(name)) for name, path in sorted(files.items())]
        return StagedTable(
            asset=check_name(table.name, "asset"),
            day=day_key(day),
            files=tuple(staged),
            inputs=dict(sorted(inputs.items())),
            code_version=code_version,
            schema_version=table.version,
            expected_generation=expected_generation,
            verdict=None if verdict is None else json.loads(canonical_json(dict(verdict))),
        )

    def commit(self, staged: StagedTable, *, run_id: str, inputs_are_current: InputsCheck = never_current) -> Commit:
        """Publish a staged partition: all of it or nothing.

        Args:
            staged: What `stage` returned, its scratch folder still open. A retry may pass it again.
            run_id: The run, for the record.
            inputs_are_current: Asked when another writer was faster: are these inputs what is required now?

        Raises:
            CommitConflictError: Another writer was faster and our inputs are stale.
            CommitExpiredError: Publishing the files took longer than half of the collector's grace.
            CommitStateUnknownError: The record was written, but may not survive a power cut.
            VerificationError: A staged file changed, or an object of its name has other bytes.
            OSError: The medium failed; the commit may be retried.
        """
        deadline = collection.Deadline(self.clock)
        with self.objects.lock(Layout.objects_lock_key(staged.asset), shared=True):
            for file in staged.files:
                key = Layout.object_key(staged.asset, file.sha256)
                self.objects.put_object(key, file.path, sha256=file.sha256, size_bytes=file.size_bytes)
            commit = self._append(staged, run_id, inputs_are_current, deadline)
        durable = commit.record.generation
        recovery.project_head(self.objects, self.log, staged.asset, staged.day, durable=durable)
        forget_found(self.objects, staged.asset, staged.day)
        return commit

    def recover(self) -> recovery.Recovery:
        """Finish or remove what crashed processes left; safe while others work, cheap when all is well."""
        return recovery.recover(self.objects, self.log)

    def collect(
        self,
        *,
        keep_last: int = 3,
        older_than: timedelta = GRACE,
        now: datetime | None = None,
        is_dry_run: bool = False,
        on_progress: Callable[[str], None] = lambda _: None,
    ) -> collection.Collection:
        """Remove objects that only old generations, or none, refer to; see `collection.collect`."""
        return collection.collect(
            self.objects,
            self.log,
            keep_last=keep_last,
            older_than=older_than,
            now=now or self.clock(),
            is_dry_run=is_dry_run,
            on_progress=on_progress,
        )

    def _append(
        self, staged: StagedTable, run_id: str, inputs_are_current: InputsCheck, deadline: collection.Deadline
    ) -> Commit:
        for _ in range(MAX_ROUNDS):
            head = self.log.head(staged.asset, staged.day)
            generation = head.generation if head else 0
            if own := self._find_own(staged, generation):
                return Commit(own, _outcome_of_own(own, staged, run_id))
            overtaken = generation != staged.expected_generation
            if head and _says_the_same(head, staged, whole=not overtaken):
                # Who wrote it may have died before it was durable, and it is promised now.
                self.log.append(head)
                return Commit(head, "unchanged")
            if overtaken and not (generation > staged.expected_generation and inputs_are_current(staged.inputs)):
                raise _conflict(staged, generation)
            record = self._record(staged, generation + 1, run_id)
            deadline.check(asset=staged.asset, partition=staged.day)
            if self.log.append(record):
                return Commit(record, "rebased" if overtaken else "committed")
        raise _conflict(staged, generation)

    def _find_own(self, staged: StagedTable, generation: int) -> LogRecord | None:
        """Return the generation that an earlier attempt at this commit wrote, its entry made durable."""
        for number in range(staged.expected_generation + 1, generation + 1):
            record = self.log.read(staged.asset, staged.day, number)
            if record.commit_id == staged.commit_id:
                self.log.append(record)
                return record
        return None

    def _record(self, staged: StagedTable, generation: int, run_id: str) -> LogRecord:
        now = self.clock()
        if now.tzinfo is None:
            raise SettingsError("The clock has no time zone.", expected="an aware datetime", got=now)
        return LogRecord(
            asset=staged.asset,
            day=staged.day,
            generation=generation,
            commit_id=staged.commit_id,
            files=tuple(FileEntry(file.name, file.sha256, file.size_bytes, file.rows) for file in staged.files),
            inputs=staged.inputs,
            code_version=staged.code_version,
            schema_version=staged.schema_version,
            run_id=run_id,
            committed_at=now.astimezone(UTC).isoformat(timespec="microseconds"),
            verdict=staged.verdict,
        )


def _outcome_of_own(own: LogRecord, staged: StagedTable, run_id: str) -> Outcome:
    if own.run_id != run_id:
        return "unchanged"
    return "committed" if own.generation == staged.expected_generation + 1 else "rebased"


def _says_the_same(head: LogRecord, staged: StagedTable, *, whole: bool) -> bool:
    same = head.content == staged.content and head.inputs == staged.inputs
    if not whole:
        return same
    ours = (staged.code_version, staged.schema_version, _without_numbers(staged.verdict))
    return same and (head.code_version, head.schema_version, _without_numbers(head.verdict)) == ours


def _without_numbers(verdict: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a verdict as it is compared: a record of before that keeps no numbers is not one that does."""
    return None if verdict is None else {**verdict, MEASURED: MEASURED in verdict}


def _conflict(staged: StagedTable, generation: int) -> CommitConflictError:
    return CommitConflictError(
        "Another writer published this partition first, and these inputs are stale.",
        asset=staged.asset,
        partition=staged.day,
        expected=f"generation {staged.expected_generation}",
        got=f"generation {generation}",
    )
