"""What must hold between the keys of a source contract.

Belongs here: finding what contradicts itself, and saying it. Does not belong here: the keys (contract_model), what a
section may say on its own (contract_parts), and the text of the error (contract_errors).
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_data_platform.errors import ContractError
from ml_data_platform.events.contract_errors import Problem
from ml_data_platform.events.contract_parts import EPOCH, ISO
from ml_data_platform.events.expectation_problems import expectation_problems
from ml_data_platform.events.file_times import group_count
from ml_data_platform.events.masking_plan import masking_problems
from ml_data_platform.events.pull_pattern import parse_pattern
from ml_data_platform.events.registry_file import version_forms
from ml_data_platform.events.schema_versions import ID_COLUMNS, LABEL_FIELD, SEQUENCE_FIELD, EventField, FieldType
from ml_data_platform.events.time_formats import DIRECTIVES, format_fault

if TYPE_CHECKING:
    from ml_data_platform.events.contract_model import SourceContract
    from ml_data_platform.events.contract_parts import Lateness

# Zones that mean another thing on another machine, or nothing.
_UNUSABLE_ZONES = frozenset({"localtime", "Factory", "posixrules"})


def contract_problems(contract: SourceContract) -> Iterator[Problem]:
    """Yield what in a contract contradicts itself, cannot be read, or misses a version that exists."""
    declared = contract.schema_version
    if isinstance(declared, int) and declared not in contract.registry.versions:
        yield Problem("schema_version", "there is no such version", declared, version_forms(contract.registry))
        return
    yield from _dialect_problems(contract)
    yield from _column_problems(contract)
    yield from _id_problems(contract)
    yield from _event_time_problems(contract)
    yield from _lateness_problems(contract.lateness)
    if contract.unusable_rows.warn > contract.unusable_rows.red:
        yield Problem("unusable_rows.warn", "must not be greater than unusable_rows.red", contract.unusable_rows.warn)
    if contract.pull is not None:
        try:
            parse_pattern(contract.pull.url)
        except ContractError as error:
            yield from error.problems
    yield from masking_problems(contract)
    yield from _filled_problems(contract)
    yield from expectation_problems(contract)


def _event_time_problems(contract: SourceContract) -> Iterator[Problem]:
    said = contract.event_time
    if not _is_zone(said.zone):
        zones = tuple(sorted(zoneinfo.available_timezones() - _UNUSABLE_ZONES))
        yield Problem("event_time.zone", "is no IANA time zone", said.zone, zones)
    for at, written_as in enumerate(said.formats):
        is_listed = not isinstance(said.format, str)
        fault = None if written_as in (ISO, EPOCH) else format_fault(written_as)
        fault = "stands in the list twice" if written_as in said.formats[:at] else fault
        if fault is not None:
            allowed = (ISO, EPOCH, *(f"%{name}" for name in DIRECTIVES))
            yield Problem(f"event_time.format{f'.{at}' if is_listed else ''}", fault, written_as, allowed)
    versions = (contract.registry.versions[number] for number in contract.versions)
    if all(version.fields[version.time_field].type is FieldType.EPOCH_INSTANT for version in versions):
        for key in ("format", "time_column"):
            if getattr(said, key) is not None:
                why = "has no meaning where the event time is an integer; take a schema version that writes it as text"
                yield Problem(f"event_time.{key}", why, getattr(said, key))


def _filled_problems(contract: SourceContract) -> Iterator[Problem]:
    fields = {name for number in contract.versions for name in contract.registry.versions[number].fields}
    canonical = {name for number in contract.versions for name in contract.registry.canonical_columns(number).values()}
    landing = {name for number in contract.versions for name in contract.field_columns(number)}
    for name in contract.filled:
        key = f"filled.{name}"
        if name in fields and name not in landing:
            yield Problem(key, "the field does not land, so that it is never filled", name)
        if name in fields | canonical or contract.pii is None:
            continue
        # Masked names, and what is dropped, are in no row that could be counted.
        said = next((contract.pii.columns[head] for head in _heads(name) if head in contract.pii.columns), None)
        if said == "drop" or (said is None and contract.pii.unnamed != "keep" and name not in _named(contract)):
            yield Problem(key, "the column is dropped or its name masked, so that it cannot be counted", name)


def _heads(name: str) -> Iterator[str]:
    """Yield a dotted name and what it lies in, the innermost first."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _named(contract: SourceContract) -> set[str]:
    return {column for number in contract.versions for column in contract.landed_columns(number)}


def _lateness_problems(said: Lateness) -> Iterator[Problem]:
    named = said.file_time
    if (named is None) == (said.watermark == "file_time"):
        why = (
            "is needed with watermark file_time" if named is None else f"has no meaning with watermark {said.watermark}"
        )
        yield Problem("lateness.file_time", why, named and named.pattern)
    if named is None:
        return
    groups = group_count(named.pattern)
    if groups != 1:
        why = "must be a regular expression with one group" if groups is None else f"has {groups} groups instead of one"
        yield Problem("lateness.file_time.pattern", why, named.pattern)
    if not _is_zone(named.zone):
        zones = tuple(sorted(zoneinfo.available_timezones() - _UNUSABLE_ZONES))
        yield Problem("lateness.file_time.zone", "is no IANA time zone", named.zone, zones)
    if (named.format is None) == (named.origin is None):
        yield Problem("lateness.file_time", "needs either a format or an origin", named.format)
    fault = format_fault(named.format) if named.format is not None else None
    if fault is not None:
        yield Problem("lateness.file_time.format", fault, named.format, tuple(f"%{name}" for name in DIRECTIVES))
    if named.origin is not None and not named.period_hours:
        yield Problem("lateness.file_time.period_hours", "is needed with origin", named.period_hours)


def _dialect_problems(contract: SourceContract) -> Iterator[Problem]:
    if contract.format != "csv" and "csv" in contract.model_fields_set:
        yield Problem("csv", f"has no meaning with format {contract.format}", contract.csv.model_dump())
    if contract.csv.delimiter == contract.csv.quote:
        yield Problem("csv.quote", "must differ from the delimiter", contract.csv.quote)
    if contract.csv.escape == contract.csv.quote:
        why = "must differ from the quote; a quote that is doubled within a cell is read without it"
        yield Problem("csv.escape", why, contract.csv.escape)
    if contract.csv.escape == contract.csv.delimiter:
        yield Problem("csv.escape", "must differ from the delimiter", contract.csv.escape)
    if contract.csv.thousands == contract.csv.decimal:
        yield Problem("csv.thousands", "must differ from the decimal mark", contract.csv.thousands)


def _column_problems(contract: SourceContract) -> Iterator[Problem]:
    described: dict[str, EventField] = {}
    for number in contract.versions:
        described.update(contract.registry.versions[number].fields)
    allowed = tuple(name for name in described if name != LABEL_FIELD)
    if LABEL_FIELD in contract.columns:
        yield Problem("columns.label", "is not a column mapping: use the key `label`", contract.columns[LABEL_FIELD])
    yield from _sequence_problems(contract)
    for name in sorted(contract.columns.keys() - described.keys() - {LABEL_FIELD}):
        yield Problem(f"columns.{name}", "is no field of the schema version", name, allowed)
    for name, field in described.items():
        is_defaulted = name == "event_type" and contract.event_type.default is not None
        if field.required and not is_defaulted and contract.landed_column(name) is None:
            yield Problem(f"columns.{name}", "a required field needs a landed column", None)
    named: list[tuple[str, str | None]] = [
        (f"columns.{name}", column) for name in contract.columns for column in contract.columns_of(name)
    ]
    named += [("label", contract.label), ("event_time.time_column", contract.event_time.time_column)]
    named += [*((f"identity.{at}", name) for at, name in enumerate(contract.identity))]
    for key, column in named:
        if column is not None and not all(contract.path(column)):
            yield Problem(key, "a dotted path has an empty part", column)


def _sequence_problems(contract: SourceContract) -> Iterator[Problem]:
    if contract.sequence is None:
        return
    for number in contract.versions:
        for name, column in contract.registry.canonical_columns(number).items():
            if column == SEQUENCE_FIELD and contract.columns.get(name) is not None:
                why = f"says that no column holds the order, and `columns.{name}` names one: keep one of the two"
                yield Problem("sequence", why, contract.sequence)
                return


def _id_problems(contract: SourceContract) -> Iterator[Problem]:
    plain = {
        name
        for number in contract.versions
        for name in contract.registry.versions[number].fields
        if contract.registry.canonical_columns(number).get(name) not in ID_COLUMNS
    }
    for name in contract.columns:
        columns = contract.columns_of(name)
        if len(columns) > 1 and name in plain:
            yield Problem(f"columns.{name}", "is no id: only ids are made of several columns", list(columns))
        if len(set(columns)) < len(columns):
            yield Problem(f"columns.{name}", "names a column twice", list(columns))
    if contract.duplicates == "keep":
        if contract.has_stated_event_ids:
            why = "cannot be kept: the contract says where event ids land, and rows of one id are one event"
            yield Problem("duplicates", why, "keep", ("drop",))
        if contract.identity:
            why = "cannot be kept: the contract says which columns identify an event"
            yield Problem("duplicates", why, "keep", ("drop",))


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return False
    return name not in _UNUSABLE_ZONES
