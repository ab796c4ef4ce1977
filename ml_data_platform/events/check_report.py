"""What a dry run of a contract on a file found.

Belongs here: the findings as values, and as JSON. Does not belong here: finding them (``stages.source_check``), and
what to do about them (advice).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ml_data_platform.events.evolution import SchemaChange


@dataclass(frozen=True)
class UndatedRows:
    """Rows without a usable day, for one reason.

    Attributes:
        rows: Their number.
        examples: Row number and what stands as event time, or the row where it is malformed; the first ones.
        times: Some different texts that stand as event time.
    """

    rows: int
    examples: tuple[str, ...]
    times: tuple[str, ...] = ()


@dataclass(frozen=True)
class DayCounts:
    """What would become of the rows of one UTC day.

    Attributes:
        landed: Rows routed to the day.
        valid: Rows that would be published.
        rejected: Rows that break a row rule.
        duplicates: Valid rows that repeat the event id of another.
        refused_by: Blocking checks that would keep the day from being published.
    """

    landed: int
    valid: int
    rejected: int
    duplicates: int
    refused_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class FieldCounts:
    """How one canonical column would be filled.

    Attributes:
        columns: Landed columns that feed it, by schema version seen.
        filled: Rows with a value.
        unreadable: Rows with a text that cannot be read as the column's type.
        examples: Some landed texts, in the order of the rows.
        unreadable_examples: Some texts that cannot be read.
    """

    columns: tuple[str, ...]
    filled: int
    unreadable: int
    examples: tuple[str, ...]
    unreadable_examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class BrokenRule:
    """A row rule that rows would break.

    Attributes:
        description: The rule in a sentence.
        rows: Rows that break it.
        examples: Row number and value of the first ones.
        is_warning: Rows that break it would be published all the same.
    """

    description: str
    rows: int
    examples: tuple[str, ...]
    is_warning: bool = False


@dataclass(frozen=True)
class TypeCounts:
    """Rows of one landed event type.

    Attributes:
        rows: Their number.
        becomes: The canonical type; None where the type is not mapped and has no default.
    """

    rows: int
    becomes: str | None


@dataclass(frozen=True)
class CheckReport:
    """What would become of the rows of one file under one contract.

    Attributes:
        source: Source of the contract.
        file: Path of the file.
        status: ``read``; ``refused`` as a whole; ``empty``, ``header_only``: there is no row.
        refusal: Why the file is refused.
        rows: Rows of the file.
        undated: Reason to rows without a usable day.
        is_red: More of them than the contract tolerates, see ``events.usable_rows``.
        days: UTC day to counts, in order.
        first: Earliest event time, aware, of the rows with a day.
        last: Latest event time.
        versions: Schema version to rows with a day.
        fields: Canonical column to counts, in the order of the columns.
        event_types: Landed type to counts, most rows first; the empty text stands for none. At most 100.
        rules: Broken row rule to counts.
        unknown_columns: Landed top-level column that the contract does not name, to rows.
        shared_sessions: Sessions that hold several users.
        unordered: Why nobody stated the order of rows of one session and instant, to such rows; most rows first.
        sessions: All sessions.
        change: How the file's columns differ from what the contract reads.
    """

    source: str
    file: str
    status: Literal["read", "refused", "empty", "header_only"]
    refusal: str | None = None
    rows: int = 0
    undated: Mapping[str, UndatedRows] = field(default_factory=dict)
    is_red: bool = False
    days: Mapping[dt.date, DayCounts] = field(default_factory=dict)
    first: dt.datetime | None = None
    last: dt.datetime | None = None
    versions: Mapping[int, int] = field(default_factory=dict)
    fields: Mapping[str, FieldCounts] = field(default_factory=dict)
    event_types: Mapping[str, TypeCounts] = field(default_factory=dict)
    rules: Mapping[str, BrokenRule] = field(default_factory=dict)
    unknown_columns: Mapping[str, int] = field(default_factory=dict)
    shared_sessions: int = 0
    unordered: Mapping[str, int] = field(default_factory=dict)
    sessions: int = 0
    change: SchemaChange | None = None

    @property
    def dated(self) -> int:
        """Rows with a usable day."""
        return sum(day.landed for day in self.days.values())

    @property
    def refused_days(self) -> tuple[dt.date, ...]:
        """Days that a blocking check would keep from being published."""
        return tuple(day for day, counts in self.days.items() if counts.refused_by)

    @property
    def is_good(self) -> bool:
        """Whether the file would be read, has rows with a day, would not be red, and no day would be refused."""
        return self.status == "read" and bool(self.days) and not self.is_red and not self.refused_days

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON-able values."""
        facts = asdict(self)
        facts["days"] = {day.isoformat(): asdict(counts) for day, counts in self.days.items()}
        facts["versions"] = {str(number): rows for number, rows in self.versions.items()}
        for name in ("first", "last"):
            instant = facts[name]
            facts[name] = instant.isoformat() if instant else None
        return {**facts, "is_good": self.is_good}
