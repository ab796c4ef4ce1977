"""What may be said about one schema version in ``schema_versions.yaml``, and what follows from it.

Belongs here: the model of an entry, the steps that it leads to, what is wrong with it. Does not belong here:
reading and joining files (registry_file).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ml_data_platform.events.contract_errors import Problem
from ml_data_platform.events.evolution import can_convert, classify_change
from ml_data_platform.events.schema_versions import (
    Add,
    EventField,
    FieldType,
    Remove,
    Rename,
    Retype,
    SchemaVersion,
    Step,
)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Name = Annotated[str, Field(pattern=r"\A[a-z][a-z0-9_]{0,62}\z")]


class _FieldEntry(_Part):
    type: FieldType
    required: bool = False


class _UpcastEntry(_Part):
    renamed: dict[Name, Name] = {}
    retyped: dict[Name, Name] = {}
    removed: tuple[Name, ...] = ()


class VersionEntry(_Part):
    """One version; for one that is known already only ``retired_on`` may be given.

    Attributes:
        description: For people.
        fields: Field to its description, in order; a type alone means a field that is not required.
        upcast: The way from the version below; None where only fields were added that are not required.
        markers: See ``SchemaVersion``; None = `default_markers`.
        retired_on: First UTC day on which events of this version are no longer taken.
    """

    description: str = ""
    fields: Annotated[
        dict[
            Name,
            Annotated[_FieldEntry, BeforeValidator(lambda raw: {"type": raw} if isinstance(raw, str) else raw)],
        ],
        Field(max_length=200),
    ] = {}
    upcast: _UpcastEntry | None = None
    markers: tuple[Name, ...] | None = None
    retired_on: dt.date | None = None


class VersionsFile(_Part):
    """The whole file.

    Attributes:
        versions: Entry by the version's number.
    """

    versions: dict[Annotated[int, Field(ge=1, le=999)], VersionEntry]


def steps_to(below: SchemaVersion, entry: VersionEntry) -> tuple[Step, ...]:
    """Return the steps to one version from the one below; fields that no step leads to are new."""
    given = entry.upcast or _UpcastEntry()
    moved = {**given.renamed, **given.retyped}
    kept = below.fields.keys() - moved.keys() - set(given.removed)
    return (
        *(Remove(name) for name in given.removed),
        *(Rename(old, new) for old, new in given.renamed.items()),
        *(
            Retype(old, new, below.fields[old].type, entry.fields[new].type)
            for old, new in given.retyped.items()
            if old in below.fields and new in entry.fields
        ),
        *(
            Add(name, field.type)
            for name, field in entry.fields.items()
            if name not in kept and name not in moved.values()
        ),
    )


def default_markers(entry: VersionEntry, versions: Mapping[int, SchemaVersion]) -> tuple[str, ...]:
    """Return the fields by which rows of a version are told from those of the versions below, if its file gives none."""
    if not versions:
        return ()
    new = [name for name in entry.fields if not any(name in known.fields for known in versions.values())]
    return tuple(name for name in new if entry.fields[name].required) or tuple(new)


def entry_problems(number: int, below: SchemaVersion | None, entry: VersionEntry) -> Iterator[Problem]:
    """Say what is wrong with one new version, as far as it can be told from it and the one below.

    Args:
        number: The version.
        below: The version below; None for the first.
        entry: What the file says about it.
    """
    key = f"versions.{number}"
    times = [name for name, field in entry.fields.items() if field.type.is_instant]
    if len(times) != 1:
        yield Problem(f"{key}.fields", "exactly one field must be the event time", ", ".join(times) or "none")
    for name in entry.markers or ():
        if name not in entry.fields:
            yield Problem(f"{key}.markers", "is no field of the version", name, tuple(entry.fields))
    if below is not None:
        given = entry.upcast or _UpcastEntry()
        yield from _move_problems(f"{key}.upcast.renamed", given.renamed, below, entry, is_retype=False)
        yield from _move_problems(f"{key}.upcast.retyped", given.retyped, below, entry, is_retype=True)
        for name in given.removed:
            if name not in below.fields:
                says = f"is no field of version {below.number}"
                yield Problem(f"{key}.upcast.removed", says, name, tuple(below.fields))
        yield from _gaps(key, below, entry, given)


def _move_problems(
    key: str, moves: Mapping[str, str], below: SchemaVersion, entry: VersionEntry, *, is_retype: bool
) -> Iterator[Problem]:
    for old, new in moves.items():
        if old not in below.fields:
            yield Problem(key, f"is no field of version {below.number}", old, tuple(below.fields))
        elif new not in entry.fields:
            yield Problem(f"{key}.{old}", f"is no field of version {below.number + 1}", new, tuple(entry.fields))
        elif not is_retype and below.fields[old].type is not entry.fields[new].type:
            yield Problem(f"{key}.{old}", "has another type: list it under `retyped`", new)
        elif not can_convert(below.fields[old].type, entry.fields[new].type):
            yield Problem(f"{key}.{old}", "an event time can only become an event time", new)


def _gaps(key: str, below: SchemaVersion, entry: VersionEntry, given: _UpcastEntry) -> Iterator[Problem]:
    moved = {**given.renamed, **given.retyped}
    fields = {name: EventField(field.type, field.required) for name, field in entry.fields.items()}
    change = classify_change(below, SchemaVersion(below.number + 1, fields))
    listed = "; ".join(change.differences)
    for name, before in below.fields.items():
        if name in moved or name in given.removed:
            continue
        after = fields.get(name)
        if after is None or after.type is not before.type:
            what = "was removed" if after is None else f"was retyped from {before.type} to {after.type}"
            yield Problem(f"{key}.upcast", f"no step says what becomes of {name}, which {what}", listed)
    for name, field in fields.items():
        if field.required and name not in below.fields and name not in moved.values():
            says = (
                f"{name} is required and new, but older rows have no value of it: rename, retype, or do not require it"
            )
            yield Problem(f"{key}.fields.{name}", says, listed)
