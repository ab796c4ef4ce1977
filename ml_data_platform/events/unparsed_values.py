"""Values that do not parse as the field they stand in, as SQL text: personal data may stand in any column.

Belongs here: which places of a landed row hold such a value, before the row is masked. Does not belong here: masking.

A contract lists the columns that stay, because it reads them as a time, a number or a type. A form that was filled in one
column too far puts an address where the time belongs, and an address is no time: such a value is masked like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ml_data_platform.events.contract_parts import VersionColumn
from ml_data_platform.events.event_mapping import read_field
from ml_data_platform.events.id_texts import trimmed_sql
from ml_data_platform.events.landed_paths import Place, kind_at, places, text_at
from ml_data_platform.events.parsing import read_time
from ml_data_platform.events.schema_versions import FieldType
from ml_data_platform.events.sql_text import json_pointer, present, sql_list, sql_literal

if TYPE_CHECKING:
    from ml_data_platform.events.contract_model import SourceContract

EVENT_TYPE_WORD = "[A-Za-z][A-Za-z_.:/ -]{0,63}"
"""What an event type that the contract does not map may look like to stay: a new type should be told by its name."""

Path = tuple[str, ...]
# Stands for the text of a place in a condition.
_TEXT = "\0"


def unparsed_paths(contract: SourceContract) -> tuple[Path, ...]:
    """Return the paths at which a value may stand that must parse, in the order of `unparsed_query`."""
    return tuple(_conditions(contract, {}))


def unparsed_query(contract: SourceContract, relation: str) -> str:
    """Return SQL that tells which values of rows do not parse as the field they stand in.

    Args:
        contract: The contract of the rows' source.
        relation: FROM item with ``source_row`` and ``landed`` (JSON objects); inserted as it is.

    Returns:
        SQL of one row per row that has such a value, in no order: ``source_row``, and ``unparsed``, a list with the
        numbers, from 0 on, of the paths of `unparsed_paths` at which one stands. Null and blank texts are none, and
        neither are objects and arrays, in which nothing that is not named stays anyway.
    """
    pointers: dict[str, int] = {}
    conditions = _conditions(contract, pointers)
    numbers = [f"CASE WHEN {check} THEN {at:d} END" for at, check in enumerate(conditions.values())]
    return f"""
SELECT source_row, unparsed
FROM (SELECT source_row, list_filter([{", ".join(numbers)}], lambda number: number IS NOT NULL) AS unparsed
FROM (SELECT source_row, landed, json_extract_string(landed, {sql_list(pointers)}) AS texts
FROM {relation} AS landed_rows))
WHERE len(unparsed) > 0"""


def _conditions(contract: SourceContract, pointers: dict[str, int]) -> dict[Path, str]:
    """Return path to the condition, on ``texts`` and ``landed``, under which what stands there does not parse.

    Args:
        contract: The contract.
        pointers: SQL literals of the JSON pointers to the texts, each with its place in ``texts``; new ones are added.
    """
    found: dict[Path, str] = {}
    for columns, readings in [*_typed_columns(contract).items(), *_time_columns(contract).items()]:
        parts = [places(column, is_flat=contract.is_flat) for column in columns]
        for place in (each for part in parts for each in part):
            text = _text(place, pointers)
            joined = text if len(parts) == 1 else _joined(parts, pointers)
            is_read = " OR ".join(reading.replace(_TEXT, joined) for reading in readings)
            # The kind costs another pass over the row, so only a text that does not parse pays for it.
            is_plain = f"{kind_at(place)} NOT IN ('OBJECT', 'ARRAY')"
            check = f"CASE WHEN {present(text)} IS NOT NULL AND NOT coalesce({is_read}, false) THEN {is_plain} END"
            path = (*place.text, *place.path)
            found[path] = f"{found[path]} OR {check}" if path in found else check
    return found


def _joined(parts: Sequence[Sequence[Place]], pointers: dict[str, int]) -> str:
    """SQL for the texts of several columns, joined by a blank; NULL where one has none."""
    texts = [f"coalesce({', '.join([_text(place, pointers) for place in part])}, NULL)" for part in parts]
    return f"({' || chr(32) || '.join(texts)})"


def _text(place: Place, pointers: dict[str, int]) -> str:
    """SQL for the text at a place, from the texts of the row where it stands in the row itself."""
    pointer = sql_literal(json_pointer(place.text or place.path))
    text = f"texts[{pointers.setdefault(pointer, len(pointers) + 1):d}]"
    return f"CASE WHEN starts_with(ltrim({text}), '{{') THEN {text_at(place)} END" if place.text else text


def _typed_columns(contract: SourceContract) -> dict[tuple[str, ...], list[str]]:
    """Return column to the conditions on its text, of which one must hold."""
    found: dict[tuple[str, ...], list[str]] = {}
    for version in contract.versions:
        described = contract.registry.versions[version].fields
        canonical = contract.registry.canonical_columns(version)
        for name, columns in contract.field_columns(version).items():
            kind = described[name].type
            if canonical.get(name, name) == "event_type":
                condition = _is_event_type(contract)
            elif kind is FieldType.TEXT or kind.is_instant:
                continue
            else:
                condition = f"{read_field(contract, _TEXT, kind)} IS NOT NULL"
            for column in columns:
                found.setdefault((column,), []).append(condition)
    if isinstance(contract.schema_version, VersionColumn):
        numbers = sql_list(sql_literal(str(number)) for number in contract.versions)
        found.setdefault((contract.schema_version.column,), []).append(f"list_contains({numbers}, {_TEXT})")
    return found


def _time_columns(contract: SourceContract) -> dict[tuple[str, ...], list[str]]:
    """Return the columns of an event time to the conditions on their joined texts, of which one must hold."""
    found: dict[tuple[str, ...], list[str]] = {}
    for version in contract.versions:
        reading = read_time(contract, contract.registry.versions[version], _TEXT)
        found.setdefault(contract.time_columns(version), []).append(f"CASE WHEN {reading} IS NOT NULL THEN true END")
    return found


def _is_event_type(contract: SourceContract) -> str:
    known = sql_list(sql_literal(text) for text in contract.known_event_types)
    is_word = f"regexp_full_match({_TEXT}, {sql_literal(EVENT_TYPE_WORD)})"
    return f"list_contains({known}, {trimmed_sql(_TEXT)}) OR list_contains({known}, {_TEXT}) OR {is_word}"
