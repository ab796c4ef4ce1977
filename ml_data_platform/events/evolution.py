"""How one schema version becomes the next, and which changes are safe.

Belongs here: upcasting expressions along registered steps, classifying a change as additive or breaking, and
refusing versions between which there is a gap. Does not belong here: which versions there are (registry) and
how landed text is read (readings).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ml_data_platform.errors import SchemaMismatchError
from ml_data_platform.events.readings import read_binary, read_integer, read_number
from ml_data_platform.events.schema_versions import Add, FieldType, Remove, Rename, Retype, SchemaVersion, Step, Upcast

LARGEST_EXACT_INTEGER = 2**53
"""Beyond it a double does not hold every integer."""


def upcast(
    expressions: Mapping[str, str], from_version: int, to_version: int, upcasts: Mapping[int, Upcast]
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
    for found in chain(from_version, to_version, upcasts):
        for step in found.steps:
            carried = _apply(step, carried)
    return carried


def chain(from_version: int, to_version: int, upcasts: Mapping[int, Upcast]) -> tuple[Upcast, ...]:
    """Return the upcasts that lead from one version to a later one, in order.

    Raises:
        SchemaMismatchError: There is no such chain.
    """
    found: list[Upcast] = []
    version = from_version
    while version != to_version:
        following = upcasts.get(version)
        if version > to_version or following is None or following.to_version != version + 1:
            raise SchemaMismatchError(
                "No upcast leads from one schema version to the other.",
                remedy="Register an upcast for each version in between.",
                from_version=from_version,
                to_version=to_version,
                stopped_at=version,
            )
        found.append(following)
        version = following.to_version
    return tuple(found)


def _apply(step: Step, expressions: Mapping[str, str]) -> dict[str, str]:
    if isinstance(step, Add):
        return {**expressions, step.name: f"CAST(NULL AS {step.type.sql_type})"}
    if isinstance(step, Remove):
        return {name: value for name, value in expressions.items() if name != step.name}
    return {
        (step.new if name == step.old else name): (_stepped(step, value) if name == step.old else value)
        for name, value in expressions.items()
    }


def _stepped(step: Rename | Retype, expression: str) -> str:
    return expression if isinstance(step, Rename) else convert(expression, step.from_type, step.to_type)


def convert(expression: str, from_type: FieldType, to_type: FieldType) -> str:
    """Return SQL for a value in another type; NULL where that type cannot hold it. Nothing is rounded.

    Args:
        expression: SQL of the value in the SQL type of ``from_type``.
        from_type: The type that it has.
        to_type: The type wanted.
    """
    if from_type.sql_type == to_type.sql_type:
        return expression
    if from_type is FieldType.TEXT:
        readers = {FieldType.NUMBER: read_number, FieldType.INTEGER: read_integer, FieldType.BINARY: read_binary}
        return readers[to_type](expression)
    if to_type is FieldType.BINARY:
        return f"CASE WHEN {expression} IN (0, 1) THEN CAST({expression} AS TINYINT) END"
    if to_type is FieldType.NUMBER and from_type is FieldType.INTEGER:
        return f"CASE WHEN abs({expression}::HUGEINT) <= {LARGEST_EXACT_INTEGER} THEN CAST({expression} AS DOUBLE) END"
    if to_type is FieldType.INTEGER and from_type is FieldType.NUMBER:
        return f"CASE WHEN {expression} = trunc({expression}) THEN TRY_CAST({expression} AS BIGINT) END"
    return f"TRY_CAST({expression} AS {to_type.sql_type})"


def can_convert(from_type: FieldType, to_type: FieldType) -> bool:
    """Return whether `convert` knows a way; an event time stays an event time."""
    return from_type.is_instant == to_type.is_instant


def renamed_fields(
    version: SchemaVersion, to_version: int, upcasts: Mapping[int, Upcast]
) -> dict[str, tuple[str, tuple[FieldType, ...]]]:
    """Return what becomes of each field of one version on the way to a later one.

    Args:
        version: The version whose fields are named.
        to_version: The version wanted; the same or a later one.
        upcasts: Registered upcasts by the version they start from.

    Returns:
        Field to the name that it has in the later version and the types that it had on the way, its first and its
        last among them, none twice in a row. Fields that are removed on the way are left out.

    Raises:
        SchemaMismatchError: There is no chain of upcasts.
    """
    found: dict[str, tuple[str, tuple[FieldType, ...]]] = {
        name: (name, (described.type,)) for name, described in version.fields.items()
    }
    for following in chain(version.number, to_version, upcasts):
        for step in following.steps:
            if isinstance(step, Remove):
                found = {old: known for old, known in found.items() if known[0] != step.name}
            elif not isinstance(step, Add):
                found = {old: _moved(step, *known) for old, known in found.items()}
    return found


def _moved(step: Rename | Retype, name: str, types: tuple[FieldType, ...]) -> tuple[str, tuple[FieldType, ...]]:
    if name != step.old:
        return name, types
    is_other = isinstance(step, Retype) and step.to_type is not types[-1]
    return step.new, (*types, step.to_type) if isinstance(step, Retype) and is_other else types


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
    """Refuse versions of which one cannot be reached from the one before it.

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
                remedy="Register an upcast whose steps cover every difference.",
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
        elif isinstance(step, Remove):
            types.pop(step.name, None)
        elif step.old in types:
            kind = types.pop(step.old)
            types[step.new] = step.to_type if isinstance(step, Retype) and step.from_type is kind else kind
    return types
