"""What a version says of the landed files that have rows on its days.

Belongs here: the form of that part of a manifest. Does not belong here: finding it out (``spanned_files``).
"""

from __future__ import annotations

from ml_data_platform.datasets.manifest_fields import Part


class SpannedSource(Part):
    """The landed files of one source that have rows on the days of the version.

    Attributes:
        source: Its name.
        files: Their number; empty files among them.
        rows: Their rows, those of other days too.
        unusable: Rows that reach no day, by reason.
        expected: Rows that reach no day as the contract expects, by reason.
        red_files: Files of which more rows reach no day than the contract tolerates, or of which nothing is published.
        warned_files: Files that are only warned of.
    """

    source: str
    files: int
    rows: int
    unusable: dict[str, int]
    expected: dict[str, int]
    red_files: int
    warned_files: int

    @property
    def unusable_rows(self) -> int:
        """Rows that reach no day and should."""
        return sum(self.unusable.values())


class SpannedFile(Part):
    """A landed file that is red or warned of, see `SpannedSource`; ``refusal``: why nothing of it is published."""

    source: str
    sha256: str
    name: str
    level: str
    rows: int
    unusable: dict[str, int]
    refusal: str | None


class SpannedFiles(Part):
    """The landed files of the version's days, as they stood when it was cut.

    Attributes:
        accepted: Why red files may be among them, in the words of who cut it; empty where none is.
        sources: By name.
        worst: The red ones and those that are warned of, the largest loss first; of many only the first.
    """

    accepted: str
    sources: tuple[SpannedSource, ...]
    worst: tuple[SpannedFile, ...]
