"""What a version says of itself: the file ``version.json`` of its commit.

Belongs here: the form of the manifest. Does not belong here: deciding what goes in (``selection``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from ml_data_platform.datasets.manifest_fields import (
    Count,
    Day,
    Md5,
    Name,
    Part,
    PathInVersion,
    Sha256,
    require_below,
)
from ml_data_platform.datasets.spanned_facts import SpannedFiles
from ml_data_platform.errors import CorruptVersionError

MANIFEST = "version.json"
FORMAT = 1
FOLDS = "folds"


class FileFacts(Part):
    """One file: path below the repository, hashes (SHA-256, and the MD5 that DVC files it under), bytes, rows."""

    path: PathInVersion
    sha256: Sha256
    md5: Md5
    size_bytes: Count
    rows: Count


class PartitionFacts(Part):
    """One generation of one partition.

    Attributes:
        day: UTC day.
        generation: Its number in the commit log.
        content: Hash over names and bytes of its files.
        features: Content hash of the ``session_features`` that it was built from.
        code_version: Version of the stage.
        schema_version: Version of the columns.
        committed_at: ISO-8601, UTC.
        rows: Rows of all files.
        files: Its files, by path.
    """

    day: Day
    generation: int
    content: str
    features: str
    code_version: str
    schema_version: int
    committed_at: str
    rows: int
    files: tuple[FileFacts, ...]


class ColumnFacts(Part):
    """One column: name, Arrow type, and its role in the catalog."""

    name: str
    type: str
    role: str


class DatasetFacts(Part):
    """One data set: its columns, the MD5 of DVC's listing of its files, and its partitions by day."""

    name: Name
    columns: tuple[ColumnFacts, ...]
    dir_md5: Md5
    rows: Count
    size_bytes: Count
    partitions: tuple[PartitionFacts, ...]

    @model_validator(mode="after")
    def _holds_its_own_files(self) -> Self:
        """Require that every file lies below the data set, and that none is named twice."""
        require_below(self.name, [file.path for file in self.files])
        return self

    @property
    def files(self) -> Iterator[FileFacts]:
        """All files, by day."""
        return (file for partition in self.partitions for file in partition.files)


class FoldPart(Part):
    """One fold: its number, and the users, rows and positive rows in it."""

    fold: int
    users: int
    rows: int
    positives: int

    @property
    def label_rate(self) -> float | None:
        """Share of positive rows; none without rows."""
        return self.positives / self.rows if self.rows else None


class FoldFacts(Part):
    """Folds that were dealt when the version was cut, and are part of it.

    Attributes:
        strategy: As in ``training.folds``.
        count: Number of folds.
        seed: Of the dealing.
        accepts: What was said in words, for folds that tear users apart; empty otherwise.
        key: What a row of the file puts into a fold: ``user_id``, or ``event_id`` where users are torn apart.
        parts: By fold.
        dir_md5: MD5 of DVC's listing of the folder that holds the file.
        file: The table of key and fold.
    """

    strategy: str
    count: int
    seed: int
    accepts: str
    key: str
    parts: tuple[FoldPart, ...]
    dir_md5: Md5
    file: FileFacts

    @model_validator(mode="after")
    def _holds_its_own_file(self) -> Self:
        require_below(FOLDS, [self.file.path])
        return self

    @property
    def name(self) -> str:
        """The strategy as ``--folds`` takes it."""
        return f"{self.strategy}:{self.count}" + (f":{self.seed}" if self.seed else "")


class Tracked(Part):
    """A folder below ``data`` that DVC tracks: its name, the MD5 of DVC's listing, its files."""

    name: str
    dir_md5: str
    files: tuple[FileFacts, ...]


class DayFacts(Part):
    """One day of the version.

    Attributes:
        day: UTC day.
        rows: Rows that are ready to be learnt from.
        positives: Rows with a positive label; none where no data set of the day tells.
        immature_rows: Rows that are left out since their label was not known; none where that is not recorded.
        is_provisional: Rows may still arrive within the producers' time.
        mature_through: Source to the instant, ISO-8601 with an offset, up to which its events had been seen when the
            labels were given; none where that is not recorded.
        declared_early: Source to the number of rows whose producer declared the label before its horizon had been seen.
        checks: What validation recorded with the day in the commit log; blocking checks passed.
    """

    day: Day
    rows: int
    positives: int | None
    immature_rows: int | None
    is_provisional: bool
    mature_through: dict[str, str] | None = None
    declared_early: dict[str, int] = Field(default_factory=dict)
    checks: dict[str, Any]


class LeftOut(Part):
    """A day that is not in the version, and why."""

    day: str
    reason: str


class AcceptedFeature(Part):
    """A feature that may tell the label alone: why, and the days on which it did to its AUC there."""

    feature: str
    reason: str
    days: dict[str, float]


class Manifest(Part):
    """A version.

    Attributes:
        tag: Its name in git.
        created_at: ISO-8601, UTC.
        snapshot_id: The snapshot in the root that pins its bytes.
        code: Version of the package, and commit and state of its checkout where it is one.
        first: First day that was asked for; none for an open beginning.
        last: Last day that was asked for; none for an open end.
        is_provisional: A day of it is.
        days: By day.
        left_out: Days that are known and not in it.
        datasets: By name.
        folds: Folds that were dealt for it; none where it has those published with each day alone.
        spanned_files: The landed files of its days; none in versions of before that was recorded.
        accepted_features: Features that may tell the label, by name.
    """

    format: int = FORMAT
    tag: str
    created_at: str
    snapshot_id: str
    code: dict[str, Any]
    first: str | None
    last: str | None
    is_provisional: bool
    days: tuple[DayFacts, ...]
    left_out: tuple[LeftOut, ...]
    datasets: tuple[DatasetFacts, ...]
    folds: FoldFacts | None = None
    spanned_files: SpannedFiles | None = None
    accepted_features: tuple[AcceptedFeature, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of all days."""
        return sum(day.rows for day in self.days)

    @property
    def immature_rows(self) -> int:
        """Rows that are left out as immature, as far as that is recorded."""
        return sum(day.immature_rows or 0 for day in self.days)

    @property
    def label_rate(self) -> float | None:
        """Share of positive labels; none without rows, or where a day does not tell."""
        positives = [day.positives for day in self.days]
        return sum(filter(None, positives)) / self.rows if self.rows and None not in positives else None

    @property
    def files(self) -> Iterator[FileFacts]:
        """All files: of all data sets, and the folds."""
        return (file for folder in self.tracked for file in folder.files)

    @property
    def tracked(self) -> Iterator[Tracked]:
        """The folders that DVC tracks: the data sets, then the folds."""
        for dataset in self.datasets:
            yield Tracked(name=dataset.name, dir_md5=dataset.dir_md5, files=tuple(dataset.files))
        if self.folds is not None:
            yield Tracked(name=FOLDS, dir_md5=self.folds.dir_md5, files=(self.folds.file,))

    @property
    def facts(self) -> dict[str, Any]:
        """Everything but the name, the instant and the code that cut it: equal facts are the same version.

        Of the maturity of labels only whether it is recorded, and of the landed files only what was accepted: the same
        bytes are the same version, though more has been seen since.
        """
        facts = self.model_dump(mode="json", exclude={"tag", "created_at", "code"})
        if self.spanned_files is None or not self.spanned_files.accepted:
            del facts["spanned_files"]
        for day in facts["days"]:
            del day["declared_early"]
            day["mature_through"] = day["mature_through"] is not None
        return facts

    def dataset(self, name: str) -> DatasetFacts | None:
        """Return the data set of a name; none where the version lacks it."""
        return next((dataset for dataset in self.datasets if dataset.name == name), None)

    def to_text(self) -> str:
        """Return the file's text: sorted keys, one value a line, so that git shows what changed."""
        return json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_text(cls, text: str, *, where: str) -> Manifest:
        """Read the file's text.

        Raises:
            CorruptVersionError: It is no manifest of this form.
        """
        try:
            found = cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            raise CorruptVersionError(
                f"a version's manifest cannot be read: {first['msg']}",
                remedy="Fetch the repository again; a manifest is never edited.",
                version=where,
                field=".".join(map(str, first["loc"])),
            ) from error
        if found.format != FORMAT:
            raise CorruptVersionError(
                "a version's manifest has another format",
                remedy="Use the platform that cut it, or a newer one.",
                version=where,
                expected=FORMAT,
                got=found.format,
            )
        return found
