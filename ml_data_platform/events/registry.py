"""The registered schema versions, together, and how each of them feeds the canonical events.

Belongs here: what follows from the versions and upcasts that are registered. Does not belong here: reading
them from files (registry_file), and single steps (evolution).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ml_data_platform.events.evolution import SchemaChange, classify_change, convert, renamed_fields, upcast
from ml_data_platform.events.schema_versions import FieldType, SchemaVersion, Step, Upcast

CANONICAL_VERSION = 2
"""The version whose fields are columns of ``validated_events``; a later version changes no column."""


@dataclass(frozen=True)
class SchemaRegistry:
    """All schema versions and the steps between them.

    Attributes:
        versions: Version by number, counted from 1 without gaps.
        upcasts: Upcast by the version that it starts from.
    """

    versions: Mapping[int, SchemaVersion]
    upcasts: Mapping[int, Upcast]

    @property
    def current(self) -> int:
        """The newest version."""
        return max(self.versions)

    @property
    def canonical_types(self) -> dict[str, FieldType]:
        """Canonical column to its type, in order; the event time included."""
        return {name: field.type for name, field in self.versions[CANONICAL_VERSION].fields.items()}

    def canonical_columns(self, version: int) -> dict[str, str]:
        """Return each field of a version that feeds a canonical column, and that column; in field order."""
        return {name: path[0] for name, path in self._paths(version).items()}

    def canonical_values(self, read: Mapping[str, str], version: int) -> dict[str, str]:
        """Upcast the fields of one version to the current one, and from there to the canonical columns.

        Args:
            read: Field of the version to SQL of its value, read into its SQL type.
            version: The version of the fields.

        Returns:
            Canonical column to SQL of its value in the column's type; columns that nothing feeds are left out.
        """
        described = self.versions[self.current].fields
        reached = upcast(read, version, self.current, self.upcasts)
        types = self.canonical_types
        columns = self.canonical_columns(self.current)
        return {
            columns[name]: convert(value, described[name].type, types[columns[name]])
            for name, value in reached.items()
            if name in columns
        }

    def effect(self, version: int) -> dict[str, Any]:
        """Return, as JSON-able facts, all that decides what becomes of rows of one version.

        A version that is added later leaves the effect of those below as it is, unless it retypes or removes what
        feeds a canonical column.
        """
        return {
            "columns": {name: [column, *types] for name, (column, types) in self._paths(version).items()},
            "fields": list(self.versions[version].fields),
        }

    def routing_effect(self, version: int) -> dict[str, Any]:
        """Return, as JSON-able facts, all that decides on which day rows of one version fall."""
        known = self.versions[version]
        return {
            "event_time": [known.time_field, str(known.fields[known.time_field].type)],
            "markers": list(known.markers),
            "retired_on": known.retired_on.isoformat() if known.retired_on else None,
        }

    def change(self, old: int, new: int) -> SchemaChange:
        """Classify the change from one version to another."""
        return classify_change(self.versions[old], self.versions[new])

    def steps(self, old: int, new: int) -> tuple[Step, ...]:
        """Return the registered steps from one version to a later one, in order."""
        return tuple(step for number in range(old, new) for step in self.upcasts[number].steps)

    def _paths(self, version: int) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Field of a version to canonical column and the types on the way."""
        canonical = renamed_fields(self.versions[CANONICAL_VERSION], self.current, self.upcasts)
        column_of = {name: column for column, (name, _) in canonical.items()}
        types = self.canonical_types
        found = {}
        for field, (name, passed) in renamed_fields(self.versions[version], self.current, self.upcasts).items():
            if name in column_of:
                column = column_of[name]
                end = () if passed[-1] is types[column] else (types[column],)
                found[field] = (column, tuple(str(kind) for kind in (*passed, *end)))
        return found
