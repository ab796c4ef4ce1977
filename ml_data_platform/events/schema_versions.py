"""What a schema version of events consists of, and the steps between two of them.

Belongs here: the kinds of fields, versions and steps. Does not belong here: the versions themselves
(``sources/schema_versions.yaml``), applying steps (evolution), which landed column holds a field (contracts).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from types import MappingProxyType


class FieldType(StrEnum):
    """How the landed text of a field is to be read."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BINARY = "binary"
    ISO_INSTANT = "iso_instant"
    EPOCH_INSTANT = "epoch_instant"

    @property
    def is_instant(self) -> bool:
        """Whether a field of this type says when the event happened."""
        return self in {FieldType.ISO_INSTANT, FieldType.EPOCH_INSTANT}

    @property
    def sql_type(self) -> str:
        """The SQL type of a value once it has been read."""
        return PARSED_SQL_TYPES[self]


LABEL_FIELD = "label"
SEQUENCE_FIELD = "sequence"
ID_COLUMNS = ("user_id", "session_uuid", "event_id")
"""Canonical columns of ids: their fields may be made of several landed columns."""

PARSED_SQL_TYPES: Mapping[FieldType, str] = MappingProxyType(
    {
        FieldType.TEXT: "VARCHAR",
        FieldType.INTEGER: "BIGINT",
        FieldType.NUMBER: "DOUBLE",
        FieldType.BINARY: "TINYINT",
        FieldType.ISO_INSTANT: "TIMESTAMPTZ",
        FieldType.EPOCH_INSTANT: "TIMESTAMPTZ",
    }
)


@dataclass(frozen=True)
class EventField:
    """One field of a schema version.

    Attributes:
        type: How its landed text is read.
        required: Whether a source must say where it lands.
    """

    type: FieldType
    required: bool = False


@dataclass(frozen=True)
class SchemaVersion:
    """One version of the event schema.

    Attributes:
        number: The version, counted from 1 without gaps.
        fields: Field name to its description, in reading order.
        markers: Fields whose presence in a row tells this version from all lower ones.
        retired_on: First UTC day on which events of this version are no longer taken; None = never.
    """

    number: int
    fields: Mapping[str, EventField]
    markers: tuple[str, ...] = ()
    retired_on: date | None = None

    @property
    def time_field(self) -> str:
        """The field that holds the event time."""
        return next(name for name, described in self.fields.items() if described.type.is_instant)


@dataclass(frozen=True)
class Rename:
    """The field has another name in the next version; its values are unchanged."""

    old: str
    new: str


@dataclass(frozen=True)
class Retype:
    """The field is written in another type, under another or the same name; it means the same."""

    old: str
    new: str
    from_type: FieldType
    to_type: FieldType


@dataclass(frozen=True)
class Add:
    """The next version has a new nullable field."""

    name: str
    type: FieldType


@dataclass(frozen=True)
class Remove:
    """The next version does not have the field any more."""

    name: str


Step = Rename | Retype | Add | Remove


@dataclass(frozen=True)
class Upcast:
    """The way from one schema version to the next.

    Attributes:
        from_version: The version that the rows have.
        to_version: The version right after it.
        steps: What to do, in this order.
    """

    from_version: int
    to_version: int
    steps: tuple[Step, ...]
