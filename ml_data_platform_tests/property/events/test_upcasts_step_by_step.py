"""Going from one version to a later one at once gives the values of going there step by step."""

from __future__ import annotations

import duckdb
from hypothesis import given
from hypothesis import strategies as st

from ml_data_platform.events.evolution import upcast
from ml_data_platform.events.schema_versions import Add, FieldType, Remove, Rename, Retype, Upcast
from ml_data_platform_tests.examples import tried

KINDS = ("text", "integer", "number", "binary")
LITERALS = {
    "text": st.sampled_from(["'7'", "'7.5'", "'x'", "''", "'1'", "'99999999999999999999'"]),
    "integer": st.sampled_from(["7::BIGINT", "0::BIGINT", "9007199254740993::BIGINT"]),
    "number": st.sampled_from(["7.0::DOUBLE", "7.5::DOUBLE", "1e300::DOUBLE", "0.0::DOUBLE"]),
    "binary": st.sampled_from(["1::TINYINT", "0::TINYINT"]),
}


@st.composite
def histories(draw):
    """Return the first version's values by field, and the upcasts of three versions on top of it."""
    types = {f"f{at}": draw(st.sampled_from(KINDS)) for at in range(3)}
    literals = (st.sampled_from([f"NULL::{FieldType(kind).sql_type}"]) | LITERALS[kind] for kind in types.values())
    values = {name: draw(literal) for name, literal in zip(types, literals, strict=True)}
    upcasts = {}
    for number in (1, 2, 3):
        steps = []
        for at in range(draw(st.integers(0, 3))):
            name, other = draw(st.sampled_from(sorted(types) or ["none"])), f"v{number}_{at}"
            move = draw(st.sampled_from(["rename", "retype", "retype in place", "remove", "add"]))
            kind = draw(st.sampled_from(KINDS))
            if move == "add" or name == "none":
                steps.append(Add(other, FieldType(kind)))
                types[other] = kind
                continue
            was = types.pop(name)
            if move == "remove":
                steps.append(Remove(name))
            elif move == "rename":
                steps.append(Rename(name, other))
                types[other] = was
            else:
                new = name if move == "retype in place" else other
                steps.append(Retype(name, new, FieldType(was), FieldType(kind)))
                types[new] = kind
        upcasts[number] = Upcast(number, number + 1, tuple(steps))
    return values, upcasts


def evaluated(connection, expressions, relation="(SELECT 1)"):
    """Return the values of expressions over a relation, as a dict with types."""
    if not expressions:
        return {}
    columns = ", ".join(f'{value} AS "{name}"' for name, value in expressions.items())
    row = connection.execute(f"SELECT {columns} FROM {relation}").fetchall()[0]
    return {name: (value, type(value)) for name, value in zip(expressions, row, strict=True)}


def store(connection, number, expressions, relation):
    """Write the values of one version into a table and return the names of its fields."""
    columns = ", ".join(f'{value} AS "{name}"' for name, value in expressions.items()) or "1 AS nothing"
    connection.execute(f"CREATE TABLE version_{number} AS SELECT {columns} FROM {relation}")
    return list(expressions)


@given(histories())
@tried(120)
def test_at_once_equals_step_by_step(history):
    """The nested expressions of three versions evaluate to what tables between the versions hold."""
    values, upcasts = history
    with duckdb.connect() as connection:
        fields = store(connection, 1, values, "(SELECT 1)")
        for number in upcasts:
            columns = {name: f'"{name}"' for name in fields}
            fields = store(connection, number + 1, upcast(columns, number, number + 1, upcasts), f"version_{number}")
        stepped = evaluated(connection, {name: f'"{name}"' for name in fields}, "version_4")
        assert evaluated(connection, upcast(values, 1, 4, upcasts)) == stepped
