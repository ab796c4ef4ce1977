"""The truth about what was planted: counted as rows are written, read back as an oracle for tests.

Belongs here: the counts by day and by file, ``planted.json`` and the folder that it lives in. Does not
belong here: the lines themselves (``lines``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ml_data_platform.errors import SettingsError
from ml_data_platform.generator.kinds import FIRST_UNDATED, KINDS, UNDATED_KINDS, expected_rules
from ml_data_platform.generator.rhythm import DAY_MS
from ml_data_platform.generator.row_truth import is_late_row
from ml_data_platform.generator.sessions import PURCHASE, Rows

SOURCE = "demo_shop"
TRUTH_FOLDER = "_planted"
TRUTH_FILE = f"{TRUTH_FOLDER}/planted.json"
ROW_TRUTH_FILE = f"{TRUTH_FOLDER}/rows.jsonl"
_VERSIONS = 2


@dataclass(frozen=True)
class DayTruth:
    """What was planted for one UTC event day, over all files.

    Attributes:
        rows: Landed rows whose event falls on the day.
        kinds: Rows by kind, zeros left out. ``clean`` rows are distinct events that must be published;
            each duplicate kind counts the extra copies of them.
        rules: Rejected rows by rule; a row that breaks two rules counts under both.
        rejected: Rows that break at least one rule.
        duplicates: Extra copies.
        late: Rows written to the file of a later hour than the hour of their event, of any kind.
        purchases: Clean rows that are purchases.
    """

    rows: int
    kinds: Mapping[str, int]
    rules: Mapping[str, int]
    rejected: int
    duplicates: int
    late: int
    purchases: int


@dataclass(frozen=True)
class FileTruth:
    """What one hourly file holds.

    Attributes:
        rows: Lines.
        days: Rows by UTC event day.
        undated: Rows without a usable day, by reason, zeros left out.
        size_bytes: Length of the file.
        sha256: Hash of its bytes, hexadecimal.
    """

    rows: int
    days: Mapping[str, int]
    undated: Mapping[str, int]
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Planted:
    """Everything that a run planted.

    Attributes:
        arguments: The arguments of the run as JSON values.
        days: Truth by UTC event day (``YYYY-MM-DD``), in order.
        files: Truth by file name relative to the output folder, in order.
        unchanged: Whether the folder already held exactly this, so that nothing was written.
    """

    arguments: Mapping[str, Any]
    days: Mapping[str, DayTruth]
    files: Mapping[str, FileTruth]
    unchanged: bool = False

    @property
    def rows(self) -> int:
        """Number of lines over all files."""
        return sum(file.rows for file in self.files.values())

    @property
    def undated(self) -> int:
        """Number of rows without a usable day over all files."""
        return sum(sum(file.undated.values()) for file in self.files.values())

    @property
    def kinds(self) -> dict[str, int]:
        """Rows by kind over all days and files, in the order of ``KINDS``, zeros left out."""
        totals = dict.fromkeys(KINDS, 0)
        for counts in (*(day.kinds for day in self.days.values()), *(file.undated for file in self.files.values())):
            for kind, count in counts.items():
                totals[kind] += count
        return {kind: count for kind, count in totals.items() if count}


class DayCounter:
    """Counts dated rows by event day, kind and version in bounded memory.

    Args:
        first_day: The first possible event day, as days since 1970.
        days: Number of possible event days.
    """

    def __init__(self, first_day: int, days: int) -> None:
        self._first_day = first_day
        self._counts = np.zeros((days, len(KINDS), _VERSIONS), dtype=np.int64)
        self._late = np.zeros(days, dtype=np.int64)
        self._purchases = np.zeros(days, dtype=np.int64)

    def add(self, rows: Rows) -> None:
        """Count the dated ones among ``rows``."""
        dated = rows[rows["kind"] < FIRST_UNDATED]
        day = dated["time_ms"] // DAY_MS - self._first_day
        cell = (day * len(KINDS) + dated["kind"]) * _VERSIONS + dated["version"] - 1
        self._counts += np.bincount(cell, minlength=self._counts.size).reshape(self._counts.shape)
        self._late += np.bincount(day[is_late_row(dated)], minlength=len(self._late))
        is_sale = (dated["kind"] == 0) & (dated["event_type"] == PURCHASE)
        self._purchases += np.bincount(day[is_sale], minlength=len(self._purchases))

    def truth(self) -> dict[str, DayTruth]:
        """Return the truth of each day that has rows."""
        return {
            day_text(self._first_day + place): self._day(place)
            for place in range(len(self._late))
            if self._counts[place].any()
        }

    def _day(self, place: int) -> DayTruth:
        counts = self._counts[place]
        rules: dict[str, int] = {}
        rejected = 0
        for code, kind in enumerate(KINDS):
            for version in (1, 2):
                count = int(counts[code, version - 1])
                broken = expected_rules(kind, version)
                rejected += count if broken else 0
                for rule in broken if count else ():
                    rules[rule] = rules.get(rule, 0) + count
        kinds = {kind: int(counts[code].sum()) for code, kind in enumerate(KINDS) if counts[code].any()}
        return DayTruth(
            rows=int(counts.sum()),
            kinds=kinds,
            rules=dict(sorted(rules.items())),
            rejected=rejected,
            duplicates=sum(count for kind, count in kinds.items() if kind.startswith("duplicate_")),
            late=int(self._late[place]),
            purchases=int(self._purchases[place]),
        )


def count_undated(rows: Rows) -> dict[str, int]:
    """Return the number of rows without a usable day by reason, zeros left out."""
    counts = np.bincount(rows["kind"], minlength=len(KINDS))[FIRST_UNDATED:]
    return {kind: int(count) for kind, count in zip(UNDATED_KINDS, counts, strict=True) if count}


def count_days(rows: Rows) -> dict[str, int]:
    """Return the number of dated rows by event day."""
    days, counts = np.unique(rows["time_ms"][rows["kind"] < FIRST_UNDATED] // DAY_MS, return_counts=True)
    return {day_text(int(day)): int(count) for day, count in zip(days, counts, strict=True)}


def day_text(day: int) -> str:
    """Return a day, given as days since 1970, as ``YYYY-MM-DD``."""
    return str(np.datetime64(day, "D"))


def planted_json(planted: Planted) -> str:
    """Return the text of ``planted.json``."""
    body = {
        "is_finished": True,
        "arguments": planted.arguments,
        "totals": {"rows": planted.rows, "kinds": planted.kinds},
        "days": {day: vars(truth) for day, truth in planted.days.items()},
        "files": {name: vars(truth) for name, truth in planted.files.items()},
    }
    return json.dumps(body, indent=1) + "\n"


def unfinished_json(arguments: Mapping[str, Any]) -> str:
    """Return the text of ``planted.json`` while a run is under way."""
    return json.dumps({"is_finished": False, "arguments": arguments}, indent=1) + "\n"


def read_arguments(out: Path) -> Mapping[str, Any] | None:
    """Return the arguments of the run that owns a folder, finished or not; None where there was none."""
    path = out / TRUTH_FILE
    if not path.exists():
        return None
    arguments: Mapping[str, Any] = _read(path)["arguments"]
    return arguments


def load_planted(out: Path) -> Planted | None:
    """Return what a finished run planted in a folder; None where no run finished."""
    path = out / TRUTH_FILE
    if not path.exists():
        return None
    body = _read(path)
    if not body["is_finished"]:
        return None
    return Planted(
        arguments=body["arguments"],
        days={day: DayTruth(**truth) for day, truth in body["days"].items()},
        files={name: FileTruth(**truth) for name, truth in body["files"].items()},
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SettingsError(
            "The truth about this folder cannot be read.",
            remedy="Generate into an empty folder.",
            file=str(path),
            got=str(error),
        ) from error
    return body
