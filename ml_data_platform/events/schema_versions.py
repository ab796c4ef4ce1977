"""Schema versions of events and the steps between them, as data.

Belongs here: which fields each version has, how a row of it is told from older ones by its marker fields,
and the steps that turn version N into N+1. Does not belong here: applying the steps (evolution) and which
landed column holds a field (contracts).
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


Step = Rename | Retype | Add


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


_COMMON_HEAD = {
    "event_id": EventField(FieldType.TEXT),
    "user_id": EventField(FieldType.TEXT, required=True),
}
_COMMON_TAIL = {
    "sequence": EventField(FieldType.INTEGER),
    "session_duration_seconds": EventField(FieldType.NUMBER),
    "purchase_amount_usd": EventField(FieldType.NUMBER),
    "label": EventField(FieldType.BINARY),
}

SCHEMA_VERSIONS: Mapping[int, SchemaVersion] = MappingProxyType(
    {
        1: SchemaVersion(
            number=1,
            fields=MappingProxyType(
                {
                    **_COMMON_HEAD,
                    "session_id": EventField(FieldType.TEXT, required=True),
                    "event_type": EventField(FieldType.TEXT, required=True),
                    "timestamp": EventField(FieldType.ISO_INSTANT, required=True),
                    **_COMMON_TAIL,
                }
            ),
        ),
        2: SchemaVersion(
            number=2,
            fields=MappingProxyType(
                {
                    **_COMMON_HEAD,
                    "session_uuid": EventField(FieldType.TEXT, required=True),
                    "event_type": EventField(FieldType.TEXT, required=True),
                    "event_timestamp": EventField(FieldType.EPOCH_INSTANT, required=True),
                    **_COMMON_TAIL,
                    "client_version": EventField(FieldType.TEXT),
                }
            ),
            markers=("session_uuid", "event_timestamp"),
        ),
    }
)

UPCASTS: Mapping[int, Upcast] = MappingProxyType(
    {
        1: Upcast(
            from_version=1,
            to_version=2,
            steps=(
                Rename("session_id", "session_uuid"),
                Retype("timestamp", "event_timestamp", FieldType.ISO_INSTANT, FieldType.EPOCH_INSTANT),
                Add("client_version", FieldType.TEXT),
            ),
        ),
    }
)

CURRENT_VERSION = max(SCHEMA_VERSIONS)
