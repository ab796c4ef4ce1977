"""Schema versions follow from each other by registered steps."""

from __future__ import annotations

from dataclasses import replace

import duckdb
import pytest

from ml_data_platform.errors import SchemaMismatchError
from ml_data_platform.events.evolution import classify_change, convert, renamed_fields, upcast, verify_upcasts
from ml_data_platform.events.registry_file import SHIPPED_REGISTRY
from ml_data_platform.events.schema_versions import (
    Add,
    EventField,
    FieldType,
    Remove,
    Rename,
    Retype,
    SchemaVersion,
    Upcast,
)

SCHEMA_VERSIONS, UPCASTS = SHIPPED_REGISTRY.versions, SHIPPED_REGISTRY.upcasts

# A third version as it might be registered next: a name, a type and a field change.
THIRD = SchemaVersion(
    number=3,
    fields={
        **{
            name: field
            for name, field in SCHEMA_VERSIONS[2].fields.items()
            if name not in {"sequence", "client_version", "session_duration_seconds"}
        },
        "client": EventField(FieldType.TEXT),
        "sequence": EventField(FieldType.NUMBER),
        "country": EventField(FieldType.TEXT),
    },
)
TO_THIRD = Upcast(
    from_version=2,
    to_version=3,
    steps=(
        Remove("session_duration_seconds"),
        Rename("client_version", "client"),
        Retype("sequence", "sequence", FieldType.INTEGER, FieldType.NUMBER),
        Add("country", FieldType.TEXT),
    ),
)
VERSIONS = {**SCHEMA_VERSIONS, 3: THIRD}
ALL_UPCASTS = {**UPCASTS, 2: TO_THIRD}


def test_the_registry_reaches_the_current_version():
    """Fields of version 1, upcast, are exactly the fields of the current version."""
    carried = upcast({name: name for name in SCHEMA_VERSIONS[1].fields}, 1, 2, UPCASTS)
    assert set(carried) == set(SCHEMA_VERSIONS[2].fields)
    assert carried["session_uuid"] == "session_id"
    assert carried["event_timestamp"] == "timestamp"
    assert carried["client_version"] == "CAST(NULL AS VARCHAR)"


def test_upcasting_at_once_equals_step_by_step():
    """From 1 to 3 gives the expressions of 1 to 2 to 3, for whole and for partial rows."""
    for names in (SCHEMA_VERSIONS[1].fields, ("user_id", "timestamp"), ()):
        expressions = {name: f"read({name})" for name in names}
        at_once = upcast(expressions, 1, 3, ALL_UPCASTS)
        assert at_once == upcast(upcast(expressions, 1, 2, ALL_UPCASTS), 2, 3, ALL_UPCASTS)


VALUES = {
    ("'7'", "text", "integer"): 7,
    ("'7.5'", "text", "integer"): None,
    ("'seven'", "text", "number"): None,
    ("'7.5'", "text", "number"): 7.5,
    ("'2'", "text", "binary"): None,
    ("'1'", "text", "binary"): 1,
    ("7::BIGINT", "integer", "number"): 7.0,
    ("9007199254740993::BIGINT", "integer", "number"): None,
    ("(-9223372036854775808)::BIGINT", "integer", "number"): None,
    ("7.0::DOUBLE", "number", "integer"): 7,
    ("7.5::DOUBLE", "number", "integer"): None,
    ("1e300::DOUBLE", "number", "integer"): None,
    ("1.0::DOUBLE", "number", "binary"): 1,
    ("7::BIGINT", "integer", "binary"): None,
    ("1::TINYINT", "binary", "number"): 1.0,
    ("7::BIGINT", "integer", "text"): "7",
    ("'7'", "text", "text"): "7",
}


@pytest.mark.parametrize(("value", "old", "new"), VALUES)
def test_a_retype_converts_exactly_or_not_at_all(value, old, new):
    """A value that the new type cannot hold becomes NULL: nothing is rounded and nothing raises."""
    sql = convert(f"({value})", FieldType(old), FieldType(new))
    found = duckdb.sql(f"SELECT {sql}").fetchall()[0][0]
    expected = VALUES[value, old, new]
    assert (found, type(found)) == (expected, type(expected))


def test_a_removed_field_is_not_carried():
    """What a version does not have any more is not among its upcast fields."""
    assert "session_duration_seconds" not in upcast({"session_duration_seconds": "d"}, 2, 3, ALL_UPCASTS)


def test_the_same_version_is_left_as_it_is():
    """Upcasting to the own version changes nothing."""
    assert upcast({"user_id": "u"}, 2, 2, UPCASTS) == {"user_id": "u"}


@pytest.mark.parametrize(("old", "new"), [(2, 1), (2, 9), (0, 2)])
def test_a_way_that_is_not_registered_is_refused(old, new):
    """Neither downwards nor beyond the registered versions is there a way."""
    with pytest.raises(SchemaMismatchError, match="No upcast leads"):
        upcast({}, old, new, UPCASTS)


def test_names_and_types_follow_the_steps():
    """Each field of version 1 is known by its name in a later version and by the types that it had; removed ones are not."""
    found = renamed_fields(SCHEMA_VERSIONS[1], 3, ALL_UPCASTS)
    assert found["session_id"] == ("session_uuid", ("text",))
    assert found["timestamp"] == ("event_timestamp", ("iso_instant", "epoch_instant"))
    assert found["sequence"] == ("sequence", ("integer", "number"))
    assert found["user_id"] == ("user_id", ("text",))
    assert "session_duration_seconds" not in found


def test_version_2_is_a_breaking_change_with_every_difference_listed():
    """The change from 1 to 2 needs its upcast: what was renamed and retyped is listed, and what was added."""
    change = classify_change(SCHEMA_VERSIONS[1], SCHEMA_VERSIONS[2])
    assert change.kind == "breaking"
    assert change.differences == (
        "session_id: removed (was text)",
        "timestamp: removed (was iso_instant)",
        "session_uuid: added as required text",
        "event_timestamp: added as required epoch_instant",
        "client_version: added as nullable text",
    )


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"a": EventField(FieldType.TEXT)}, "additive"),
        ({"a": EventField(FieldType.TEXT), "b": EventField(FieldType.NUMBER)}, "additive"),
        ({"a": EventField(FieldType.TEXT), "b": EventField(FieldType.NUMBER, required=True)}, "breaking"),
        ({"a": EventField(FieldType.NUMBER)}, "breaking"),
        ({"a": EventField(FieldType.TEXT, required=True)}, "breaking"),
        ({"b": EventField(FieldType.TEXT)}, "breaking"),
        ({}, "breaking"),
    ],
)
def test_only_nullable_additions_are_additive(fields, kind):
    """Removing, renaming, retyping or requiring a field breaks; a new nullable one does not."""
    old = SchemaVersion(1, {"a": EventField(FieldType.TEXT)})
    assert classify_change(old, SchemaVersion(2, fields)).kind == kind


def test_a_registry_without_gaps_is_taken():
    """Versions 1 to 3 with the steps between them are accepted."""
    verify_upcasts(VERSIONS, ALL_UPCASTS)


@pytest.mark.parametrize(
    ("versions", "upcasts"),
    [
        (VERSIONS, UPCASTS),
        ({1: SCHEMA_VERSIONS[1], 3: THIRD}, ALL_UPCASTS),
        (VERSIONS, {**UPCASTS, 2: replace(TO_THIRD, steps=TO_THIRD.steps[:-1])}),
        (VERSIONS, {**UPCASTS, 2: replace(TO_THIRD, steps=(*TO_THIRD.steps[:2], *TO_THIRD.steps[3:]))}),
        (VERSIONS, {**UPCASTS, 2: replace(TO_THIRD, steps=(*TO_THIRD.steps, Add("more", FieldType.TEXT)))}),
    ],
)
def test_a_registry_with_a_gap_is_refused(versions, upcasts):
    """A missing version, a missing upcast, or steps that give other fields than the next version's are refused."""
    with pytest.raises(SchemaMismatchError):
        verify_upcasts(versions, upcasts)


def test_an_event_time_stands_in_every_version():
    """Each version has exactly one field that says when the event happened."""
    for version in SCHEMA_VERSIONS.values():
        assert [name for name, field in version.fields.items() if field.type.is_instant] == [version.time_field]
