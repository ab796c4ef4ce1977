"""References to published partitions: what a stage reads.

Belongs here: a pinned set of generations and the paths of their immutable files. Does not belong here:
finding the newest generation, or reading the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from ml_data_platform.errors import DamagedObjectError, MissingPartitionError
from ml_data_platform.storage.commit_log import LogRecord
from ml_data_platform.storage.layout import Layout, day_key
from ml_data_platform.storage.object_store import ObjectStore

ABSENT = "absent"


@dataclass(frozen=True)
class PartitionRef:
    """One generation of each of several days of an asset, fixed when the reference was made.

    Attributes:
        asset: Asset name.
        days: By day ``YYYY-MM-DD``, the generation to read; None where nothing is published.
        objects: Where the files are found.
    """

    asset: str
    days: Mapping[str, LogRecord | None]
    objects: ObjectStore = field(repr=False, compare=False)

    @property
    def absent(self) -> tuple[str, ...]:
        """The days of the reference that have no generation, in order."""
        return tuple(day for day, record in sorted(self.days.items()) if record is None)

    def record(self, day: date | str) -> LogRecord | None:
        """Return the pinned generation of a day; None where nothing is published.

        Raises:
            MissingPartitionError: The day is not one of this reference.
        """
        key = day_key(day)
        if key not in self.days:
            raise MissingPartitionError(
                "The day is not part of the reference.",
                remedy="Make the reference with all days that the stage reads.",
                asset=self.asset,
                partition=key,
                expected=sorted(self.days),
            )
        return self.days[key]

    def paths(self, day: date | str | None = None, file: str | None = None) -> list[str]:
        """Return local paths of the immutable files to read, by day, then by name; empty where nothing is published.

        Each is compared with its hash, once per state of the file. Of a root in a bucket they are fetched now; a cache
        may drop them an hour after this.

        Args:
            day: Only this day.
            file: Only the file of this name within each partition.

        Raises:
            MissingPartitionError: The day is not one of this reference, or a generation lacks the file.
            DamagedObjectError: A file is gone, or has other bytes than the generation says.
        """
        days = [
            (Layout.object_key(self.asset, entry.sha256), record.day)
            for record in self._records(day)
            for entry in record.files
            if self._wanted(record, file, entry.name)
        ]
        try:
            return [str(path) for path in self.objects.local_paths([key for key, _ in days])]
        except DamagedObjectError as error:
            partition = dict(reversed(days)).get(error.key)
            raise DamagedObjectError(error.what, remedy=error.remedy, partition=partition, **error.facts) from error

    def content(self, day: date | str) -> str:
        """Return the content hash of a day, or ``absent``."""
        record = self.record(day)
        return record.content if record else ABSENT

    def rows(self, day: date | str | None = None) -> int:
        """Return the rows of a day, or of all days; an absent day has none."""
        return sum(record.rows for record in self._records(day))

    def _records(self, day: date | str | None) -> list[LogRecord]:
        chosen = [self.days[key] for key in sorted(self.days)] if day is None else [self.record(day)]
        return [record for record in chosen if record is not None]

    def _wanted(self, record: LogRecord, file: str | None, name: str) -> bool:
        names = [entry.name for entry in record.files]
        if file is not None and file not in names:
            raise MissingPartitionError(
                "A generation has no such file.", asset=self.asset, partition=record.day, expected=file, got=names
            )
        return file in {None, name}
