"""Whether a landed file has too many rows that reach no day.

Belongs here: the verdict on one file, from its counts and what its contract tolerates. It is computed whenever it is
asked for and stored nowhere, so that another tolerance, or a newer record of the file, changes it at once. Does not
belong here: which files count (``stages.unusable_rows``), and why a row reaches no day (``parsing``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from ml_data_platform.errors import LandingError, bounded

if TYPE_CHECKING:
    # The process that reads Parquet imports this module for one name, and pays for no model of contracts.
    from ml_data_platform.events.contract_model import SourceContract
    from ml_data_platform.events.contract_parts import UnusableRows

CUT_OFF = "cut_off"
"""Why the last row of a file reaches no day: the file ends in the middle of it."""


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    RED = "red"


@dataclass(frozen=True)
class FileVerdict:
    """What is to be said of one landed file.

    Attributes:
        source: Source name.
        sha256: Hash of the landed bytes, hex.
        name: File name it was landed under first.
        level: The verdict.
        rows: Rows of the file.
        unusable: Rows that reach no day, by reason, without those that the contract expects.
        expected: Rows that reach no day as the contract expects, by reason.
        refusal: Why nothing of the file is published; none where its other rows are.
        days: UTC days ``YYYY-MM-DD`` that its usable rows fall on; empty where nothing says on which days they would.
    """

    source: str
    sha256: str
    name: str
    level: Level
    rows: int
    unusable: Mapping[str, int]
    expected: Mapping[str, int]
    refusal: str | None
    days: frozenset[str]

    @property
    def unusable_rows(self) -> int:
        """Rows that reach no day and should."""
        return sum(self.unusable.values())

    @property
    def share(self) -> float:
        """Share of them among the rows that are judged; 0 without any row."""
        return share_of(self.rows - sum(self.expected.values()), self.unusable_rows)

    @property
    def reasons(self) -> str:
        """The reasons with their counts, the most frequent first."""
        return counted_reasons(self.unusable)

    @property
    def show_with(self) -> str:
        """The command that shows the rows, or why there are none."""
        reason = "undated" if self.unusable else "file"
        return f"ml-data-platform quarantine show --source {self.source} --reason {reason}"

    def __str__(self) -> str:
        """Return one line."""
        said = self.refusal or f"{said_of(self.rows, self.expected, self.unusable)}; see them: {self.show_with}"
        return f"{self.source}/{bounded(self.name)}: {said}"

    def to_json(self) -> dict[str, object]:
        """Return plain values for scripts."""
        return {
            "source": self.source,
            "file": self.name,
            "sha256": self.sha256,
            "level": self.level.value,
            "rows": self.rows,
            "unusable_rows": self.unusable_rows,
            "unusable_share": self.share,
            "reasons": dict(self.unusable),
            "expected": dict(self.expected),
            "refusal": self.refusal,
            "show_with": self.show_with,
        }


def judge_counts(rows: int, undated: Mapping[str, int], tolerated: UnusableRows) -> Level:
    """Judge the rows of one file.

    Args:
        rows: Rows of the file.
        undated: Its rows that reach no day, by reason.
        tolerated: What its contract tolerates.

    Returns:
        Red also where no judged row is usable, or where the file was cut off, whatever is tolerated; a file without rows
        is not judged.
    """
    unusable, expected = split_reasons(undated, tolerated)
    bad, judged = sum(unusable.values()), rows - sum(expected.values())
    share = share_of(judged, bad)
    if CUT_OFF in unusable or (bad and (bad == judged or (share >= tolerated.red and bad >= tolerated.red_rows))):
        return Level.RED
    return Level.WARN if share >= tolerated.warn else Level.OK


def refusal_of(contract: SourceContract, rows: int, undated: Mapping[str, int]) -> str | None:
    """Return why nothing of a file is published, though it can be read; none where its usable rows are.

    Args:
        contract: The contract of its source.
        rows: Rows of the file.
        undated: Its rows that reach no day, by reason.
    """
    tolerated = contract.unusable_rows
    if contract.on_unusable != "refuse_file" or judge_counts(rows, undated, tolerated) is not Level.RED:
        return None
    unusable, expected = split_reasons(undated, tolerated)
    refusal = LandingError(
        f"The contract refuses the file (on_unusable: refuse_file): {said_of(rows, expected, unusable)}.",
        remedy="Land a corrected file, or correct the contract: then the kept bytes are read again.",
    )
    return str(refusal)


def split_reasons(undated: Mapping[str, int], tolerated: UnusableRows) -> tuple[dict[str, int], dict[str, int]]:
    """Return the rows that are unusable and those that the contract expects to reach no day, each by reason."""
    unusable: dict[str, int] = {}
    expected: dict[str, int] = {}
    for reason, rows in undated.items():
        (expected if reason in tolerated.expected else unusable)[reason] = rows
    return unusable, expected


def share_of(rows: int, unusable: int) -> float:
    """Return a share; 0 where there are no rows."""
    return unusable / rows if rows else 0.0


def said_of(rows: int, expected: Mapping[str, int], unusable: Mapping[str, int]) -> str:
    """Return how many rows reach no day, and why."""
    judged, bad = rows - sum(expected.values()), sum(unusable.values())
    share = share_of(judged, bad)
    missing = "; the file was cut off, more rows are missing: send it whole" if CUT_OFF in unusable else ""
    return f"{bad:,} of {judged:,} rows ({share:.2%}) reach no day: {counted_reasons(unusable)}{missing}"


def counted_reasons(reasons: Mapping[str, int]) -> str:
    """Return reasons with their counts, the most frequent first."""
    return ", ".join(
        f"{rows:,} {reason}" for reason, rows in sorted(reasons.items(), key=lambda each: (-each[1], each[0]))
    )
