"""How one schema version becomes the next, and which changes are safe.

Belongs here: upcasting expressions along the registered steps, classifying a change as additive or
breaking, and refusing a registry with a gap. Does not belong here: the versions and steps themselves
(schema_versions) and how landed text is read (parsing).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ml_data_platform.errors import SchemaMismatchError
from ml_data_platform.events.schema_versions import (
    CURRENT_VERSION,
    SCHEMA_VERSIONS,
    UPCASTS,
    Add,
    EventField,
    FieldType,
    Rename,
    Retype,
    SchemaVersion,
    Step,
    Upcast,
)

__all__ = [
    "CURRENT_VERSION",
    "SCHEMA_VERSIONS",
    "UPCASTS",
    "Add",
    "EventField",
    "FieldType",
    "Rename",
    "Retype",
    "SchemaChange",
    "SchemaVersion",
    "Step",
    "Upcast",
    "classify_change",
    "renamed_fields",
    "upcast",
    "verify_upcasts",
]


def upcast(
    expressions: Mapping[str, str],
    from_version: int,
    to_version: int,
    upcasts: Mapping[int, Upcast] = UPCASTS,
) -> dict[str, str]:
    """Carry the fields of one version over to a later one.

    Args:
        expressions: Field of ``from_version`` to the SQL expression of its value, already read into the
            SQL type of its field type. Fields that a source does not have are left out.
        from_version: The version of the expressions.
        to_version: The version wanted; the same or a later one.
        upcasts: Registered upcasts by the version they start from.

    Returns:
        Field of ``to_version`` to SQL expression. Going there at once equals going step by step.

    Raises:
        SchemaMismatchError: No chain of registered upcasts leads there.
    """
    carried = dict(expressions)
    version = from_version
    while version != to_version:
        found = upcasts.get(version)
        if version > to_version or found is None or found.to_version != version + 1:
            raise SchemaMismatchError(
                "No upcast leads from one schema version to the other.",
                remedy="Register an Upcast for each version in between.",
                from_version=from_version,
                to_version=to_version,
                stopped_at=version,
            )
        for step in found.steps:
            carried = _apply(step, carried)
        version = found.to_version
    return carried


def _apply(step: Step, expressions: Mapping[str, str]) -> dict[str, str]:
    if isinstance(step, Add):
        return {**expressions, step.name: f"CAST(NULL AS {step.type.sql_type})"}
    return {
        (step.new if name == step.old else name): (_converted(step, value) if name == step.old else value)
        for name, value in expressions.items()
    }


def _converted(step: Rename | Retype, expression: str) -> str:
    if isinstance(step, Rename) or step.from_type.sql_type == step.to_type.sql_type:
        return expression
    return f"TRY_CAST({expression} AS {step.to_type.sql_type})"


def renamed_fields(from_version: int, to_version: int, upcasts: Mapping[int, Upcast] = UPCASTS) -> dict[str, str]:
    """Return each field of one version and the name that it has in a later one.

    Args:
        from_version: The version whose fields are named.
        to_version: The version wanted; the same or a later one.
        upcasts: Registered upcasts by the version they start from.
    """
    names = {name: name for name in SCHEMA_VERSIONS[from_version].fields}
    for version in range(from_version, to_version):
        moves = {step.old: step.new for step in upcasts[version].steps if not isinstance(step, Add)}
        names = {old: moves.get(name, name) for old, name in names.items()}
    return names


@dataclass(frozen=True)
class SchemaChange:
    """What differs between two schema versions.

    Attributes:
        kind: ``additive`` is safe to take as it comes; ``breaking`` needs a registered upcast.
        differences: Every difference, in field order; empty when the fields are the same.
    """

    kind: Literal["additive", "breaking"]
    differences: tuple[str, ...]


def classify_change(old: SchemaVersion, new: SchemaVersion) -> SchemaChange:
    """Say whether rows of ``new`` can be taken wherever rows of ``old`` were.

    Args:
        old: The version known so far.
        new: The version proposed.

    Returns:
        ``additive`` when only nullable fields were added; ``breaking`` when a field was removed (a renamed
        one shows as removed and added), retyped, or made required or optional. All differences are listed.
    """
    breaking: list[str] = []
    additive: list[str] = []
    for name, before in old.fields.items():
        after = new.fields.get(name)
        if after is None:
            breaking.append(f"{name}: removed (was {before.type})")
            continue
        if before.type is not after.type:
            breaking.append(f"{name}: retyped from {before.type} to {after.type}")
        if before.required is not after.required:
            breaking.append(f"{name}: became {'required' if after.required else 'optional'}")
    for name, after in new.fields.items():
        if name not in old.fields:
            (breaking if after.required else additive).append(
                f"{name}: added as {'required' if after.required else 'nullable'} {after.type}"
            )
    return SchemaChange("breaking" if breaking else "additive", (*breaking, *additive))


def verify_upcasts(versions: Mapping[int, SchemaVersion], upcasts: Mapping[int, Upcast]) -> None:
    """Refuse a registry in which a version cannot be reached from the one before it.

    Args:
        versions: Schema versions by number.
        upcasts: Upcasts by the version they start from.

    Raises:
        SchemaMismatchError: Numbers have gaps, an upcast is missing, or its steps do not give exactly the
            fields and types of the next version; every difference is listed.
    """
    numbers = sorted(versions)
    if numbers != list(range(1, len(numbers) + 1)):
        raise SchemaMismatchError("Schema versions must count from 1 without gaps.", got=numbers)
    for number in numbers[1:]:
        old, new = versions[number - 1], versions[number]
        registered = upcasts.get(number - 1)
        reached = _fields_after(old, registered) if registered else {}
        expected = {name: described.type for name, described in new.fields.items()}
        if reached != expected:
            raise SchemaMismatchError(
                "The upcast does not lead to the fields of the next schema version.",
                remedy="Register an Upcast whose steps cover every difference.",
                from_version=number - 1,
                to_version=number,
                differences="; ".join(classify_change(old, new).differences),
                expected={name: str(kind) for name, kind in expected.items()},
                got={name: str(kind) for name, kind in reached.items()},
            )


def _fields_after(old: SchemaVersion, registered: Upcast) -> dict[str, FieldType]:
    types = {name: described.type for name, described in old.fields.items()}
    for step in registered.steps:
        if isinstance(step, Add):
            types[step.name] = step.type
        elif step.old in types:
            kind = types.pop(step.old)
            types[step.new] = step.to_type if isinstance(step, Retype) and step.from_type is kind else kind
    return types


verify_upcasts(SCHEMA_VERSIONS, UPCASTS)
