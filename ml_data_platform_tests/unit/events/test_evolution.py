"""Schema versions follow from each other by registered steps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ml_data_platform.errors import SchemaMismatchError
from ml_data_platform.events.evolution import (
    CURRENT_VERSION,
    SCHEMA_VERSIONS,
    UPCASTS,
    Add,
    EventField,
    FieldType,
    Rename,
    Retype,
    SchemaVersion,
    Upcast,
    classify_change,
    renamed_fields,
    upcast,
    verify_upcasts,
)

# A third version as it might be registered next: a name, a type and a field change.
THIRD = SchemaVersion(
    number=3,
    fields={
        **{
            name: field
            for name, field in SCHEMA_VERSIONS[2].fields.items()
            if name not in {"sequence", "client_version"}
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
        Rename("client_version", "client"),
        Retype("sequence", "sequence", FieldType.INTEGER, FieldType.NUMBER),
        Add("country", FieldType.TEXT),
    ),
)
VERSIONS = {**SCHEMA_VERSIONS, 3: THIRD}
ALL_UPCASTS = {**UPCASTS, 2: TO_THIRD}


def test_the_registry_reaches_the_current_version():
    """Fields of version 1, upcast, are exactly the fields of the current version."""
    carried = upcast({name: name for name in SCHEMA_VERSIONS[1].fields}, 1, CURRENT_VERSION)
    assert set(carried) == set(SCHEMA_VERSIONS[CURRENT_VERSION].fields)
    assert carried["session_uuid"] == "session_id"
    assert carried["event_timestamp"] == "timestamp"
    assert carried["client_version"] == "CAST(NULL AS VARCHAR)"


def test_upcasting_at_once_equals_step_by_step():
    """From 1 to 3 gives the expressions of 1 to 2 to 3, for whole and for partial rows."""
    for names in (SCHEMA_VERSIONS[1].fields, ("user_id", "timestamp"), ()):
        expressions = {name: f"read({name})" for name in names}
        at_once = upcast(expressions, 1, 3, ALL_UPCASTS)
        assert at_once == upcast(upcast(expressions, 1, 2, ALL_UPCASTS), 2, 3, ALL_UPCASTS)


def test_a_retype_between_sql_types_converts():
    """An integer that becomes a number is cast; a value that cannot be is NULL and no error."""
    assert upcast({"sequence": "s"}, 2, 3, ALL_UPCASTS)["sequence"] == "TRY_CAST(s AS DOUBLE)"


def test_the_same_version_is_left_as_it_is():
    """Upcasting to the own version changes nothing."""
    assert upcast({"user_id": "u"}, 2, 2) == {"user_id": "u"}


@pytest.mark.parametrize(("old", "new"), [(2, 1), (2, 9), (0, 2)])
def test_a_way_that_is_not_registered_is_refused(old, new):
    """Neither downwards nor beyond the registered versions is there a way."""
    with pytest.raises(SchemaMismatchError, match="No upcast leads"):
        upcast({}, old, new)


def test_names_follow_the_steps():
    """Each field of version 1 is known by its name in version 2."""
    names = renamed_fields(1, 2)
    assert names["session_id"] == "session_uuid"
    assert names["timestamp"] == "event_timestamp"
    assert names["user_id"] == "user_id"


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
        (VERSIONS, {**UPCASTS, 2: replace(TO_THIRD, steps=(*TO_THIRD.steps[:1], *TO_THIRD.steps[2:]))}),
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
