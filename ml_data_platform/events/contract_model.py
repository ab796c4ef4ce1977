"""What a source contract may say.

Belongs here: the contract's model, what must hold between its keys, and its hashes. Does not belong here: the
sections below its keys (contract_parts), finding and reading the YAML files (contracts), and the SQL that a
contract leads to (parsing).
"""

from __future__ import annotations

import hashlib
import json
import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, ValidationInfo, model_validator

from ml_data_platform.errors import ContractError
from ml_data_platform.events.contract_errors import Problem, contract_error
from ml_data_platform.events.contract_parts import (
    ContractPart,
    CsvDialect,
    EventTimeReading,
    EventTypeReading,
    Lateness,
    PersonalData,
    Pull,
    Text,
    VersionColumn,
)
from ml_data_platform.events.file_times import group_count
from ml_data_platform.events.masking_plan import masking_problems, plan_facts
from ml_data_platform.events.pull_pattern import parse_pattern
from ml_data_platform.events.registry import SchemaRegistry
from ml_data_platform.events.registry_file import SHIPPED_REGISTRY, version_forms
from ml_data_platform.events.schema_versions import EventField, FieldType
from ml_data_platform.events.time_formats import DIRECTIVES, format_fault

LABEL_FIELD = "label"
SEQUENCE_FIELD = "sequence"
# Zones that mean another thing on another machine, or nothing.
_UNUSABLE_ZONES = frozenset({"localtime", "Factory", "posixrules"})


class SourceContract(ContractPart):
    """What one producer lands and how it is read. See the attributes for the YAML keys.

    Attributes:
        source: Name of the producer: the file's stem, the landing subfolder, the prefix of its event ids.
        description: For people; no hash depends on it.
        format: ``csv``, ``jsonl`` or ``parquet``; gzip is recognised by its bytes.
        csv: Only with format ``csv``.
        schema_version: A number, ``infer`` (per row by marker fields), or ``{column: name}``.
        columns: Field of the schema version to landed column. With ``jsonl`` and ``parquet`` a dot descends into an
            object and a field that is not listed lands under its own name; null says that it does not land.
        event_time: How the event time is read.
        event_type: How event types are read.
        identity: Landed columns that identify an event of a producer without event ids; empty = the whole row.
        sequence: What tells the order of events of one instant. ``file``: where a row stands in its file, though the
            file be not sorted by time. ``none``: nothing does. None: the field ``sequence``, and of rows without it
            where they stand in their file.
        label: Landed column with 0 or 1, where the producer labels its events itself.
        user_id_domain: Producers of one domain mean the same person by the same user id; default: the source.
        unknown_columns: ``evolve`` keeps them in ``attributes``, ``freeze`` refuses the file, ``discard``
            leaves them out.
        lateness: How late events may be.
        pull: Where files are fetched from; None: they are dropped into the landing folder.
        pii: Which values are masked or dropped before anything is written; None: landed bytes are kept as they are.
    """

    source: Annotated[str, Field(pattern=r"\A[a-z][a-z0-9_]{0,62}\z")]
    description: Annotated[str, Field(max_length=2_000)] = ""
    format: Literal["csv", "jsonl", "parquet"]
    csv: CsvDialect = CsvDialect()
    schema_version: int | Literal["infer"] | VersionColumn = "infer"
    columns: dict[str, Text | None] = Field(default_factory=dict)
    event_time: EventTimeReading = EventTimeReading()
    event_type: EventTypeReading = EventTypeReading()
    identity: Annotated[tuple[Text, ...], Field(strict=False)] = ()
    sequence: Literal["file", "none"] | None = None
    label: Text | None = None
    user_id_domain: Text | None = None
    unknown_columns: Literal["evolve", "freeze", "discard"] = "evolve"
    lateness: Lateness = Lateness()
    pull: Pull | None = None
    pii: PersonalData | None = None
    _registry: SchemaRegistry = PrivateAttr(default_factory=lambda: SHIPPED_REGISTRY)

    @model_validator(mode="after")
    def _is_consistent(self, info: ValidationInfo) -> SourceContract:
        self._registry = (info.context or {}).get("registry", SHIPPED_REGISTRY)
        problems = tuple(_problems(self))
        if problems:
            raise contract_error(problems)
        return self

    @property
    def registry(self) -> SchemaRegistry:
        """The schema versions that the contract was checked against."""
        return self._registry

    @property
    def domain(self) -> str:
        """The domain of the user ids."""
        return self.user_id_domain or self.source

    @property
    def versions(self) -> tuple[int, ...]:
        """The schema versions that rows of this source may have, ascending."""
        return (self.schema_version,) if isinstance(self.schema_version, int) else tuple(sorted(self.registry.versions))

    def fields(self, version: int) -> dict[str, str]:
        """Return field of the schema version to the landed column that holds it, in field order."""
        landed = {name: self.landed_column(name) for name in self.registry.versions[version].fields}
        if self.sequence is not None:
            canonical = self.registry.canonical_columns(version)
            landed = {name: column for name, column in landed.items() if canonical.get(name) != SEQUENCE_FIELD}
        return {name: column for name, column in landed.items() if column is not None}

    def landed_columns(self, version: int) -> tuple[str, ...]:
        """Return the landed columns that fields of the version take, each once, in field order."""
        declared = self.schema_version
        extra = (declared.column,) if isinstance(declared, VersionColumn) else ()
        return tuple(dict.fromkeys((*self.fields(version).values(), *self.time_columns(version)[1:], *extra)))

    def time_columns(self, version: int) -> tuple[str, ...]:
        """Return the landed columns whose texts, joined by a space, are the event time of rows of the version."""
        described = self.registry.versions[version]
        first = self.fields(version)[described.time_field]
        is_text = described.fields[described.time_field].type is FieldType.ISO_INSTANT
        second = self.event_time.time_column if is_text else None
        return (first,) if second is None else (first, second)

    def required_columns(self, version: int) -> tuple[str, ...]:
        """Return the landed columns that a file with a fixed set of columns must have for rows of the version.

        A field that is optional and lands under its own name only because nothing else is said may be absent.
        """
        fields = self.registry.versions[version].fields
        unsaid = {
            column
            for name, column in self.fields(version).items()
            if name not in self.columns
            and name != LABEL_FIELD
            and (not fields[name].required or (name == "event_type" and self.event_type.default is not None))
        }
        taken = tuple(column for column in self.landed_columns(version) if column not in unsaid)
        return tuple(dict.fromkeys((*taken, *self.identity)))

    def path(self, column: str) -> tuple[str, ...]:
        """Return the keys that lead to a landed column within the landed JSON object."""
        return (column,) if self.format == "csv" else tuple(column.split("."))

    @property
    def known_columns(self) -> frozenset[str]:
        """Top-level landed columns that the contract names; with ``freeze`` a file may have no others."""
        taken = (column for version in self.versions for column in self.landed_columns(version))
        handled = self.pii.columns if self.pii is not None else ()
        return frozenset(self.path(column)[0] for column in (*taken, *self.identity, *handled))

    def landed_column(self, name: str) -> str | None:
        """Return the landed column that holds a field of any version, or None where the field does not land."""
        if name == LABEL_FIELD:
            return self.label
        return self.columns.get(name, None if self.format == "csv" else name)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 hex of all that the contract says about events; where files come from, and when, changes none.

        What lateness decides about rows stands in the ledger, and what it says about labels is an input of its own.
        """
        # Defaults are left out, so that a key added to the model later does not change the hash of old contracts.
        facts = self.model_dump(mode="json", exclude={"description", "pull", "lateness"}, exclude_defaults=True)
        return _hash({**facts, **self._versions_apart(SchemaRegistry.effect)})

    def _versions_apart(self, effect: Callable[[SchemaRegistry, int], Mapping[str, Any]]) -> dict[str, Any]:
        """Versions of the rows that have another effect than as shipped, so that contracts without them keep hashes."""
        shipped = {number: effect(SHIPPED_REGISTRY, number) for number in SHIPPED_REGISTRY.versions}
        found = {number: effect(self.registry, number) for number in self.versions}
        apart = {str(number): facts for number, facts in found.items() if facts != shipped.get(number)}
        return {"versions": apart} if apart else {}

    def routing_hash(self, start_date: date, masked_with: str | None = None) -> str:
        """Return the SHA-256 hex of what decides how a file is read, what is kept, and on which day a row falls.

        Args:
            start_date: First UTC day that has partitions.
            masked_with: Id of the key of the masks; without meaning where the contract has no ``pii`` section.
        """
        read = ("format", "csv", "schema_version", "event_time")
        routed = {
            name: self.fields(number)[name]
            for number in self.versions
            for name in (self.registry.versions[number].time_field, *self.registry.versions[number].markers)
            if name in self.fields(number)
        }
        facts: dict[str, Any] = {
            **self.model_dump(mode="json", include=set(read), exclude_defaults=True),
            "routed": routed,
            "start_date": start_date.isoformat(),
            **self._versions_apart(SchemaRegistry.routing_effect),
        }
        if self.unknown_columns == "freeze":
            facts["unknown_columns"] = "freeze"
        if self.unknown_columns == "freeze" or self.format != "jsonl":
            # A file can be refused for its columns: once the contract is corrected, it is read again.
            facts["known_columns"] = sorted(self.known_columns)
        if self.pii is not None:
            facts["pii"] = {"plan": plan_facts(self), "key_id": masked_with}
        return _hash(facts)


def _hash(facts: Mapping[str, Any]) -> str:
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _problems(contract: SourceContract) -> Iterator[Problem]:
    declared = contract.schema_version
    if isinstance(declared, int) and declared not in contract.registry.versions:
        yield Problem("schema_version", "there is no such version", declared, version_forms(contract.registry))
        return
    yield from _dialect_problems(contract)
    yield from _column_problems(contract)
    yield from _event_time_problems(contract)
    yield from _lateness_problems(contract.lateness)
    if contract.pull is not None:
        try:
            parse_pattern(contract.pull.url)
        except ContractError as error:
            yield from error.problems
    yield from masking_problems(contract)


def _event_time_problems(contract: SourceContract) -> Iterator[Problem]:
    said = contract.event_time
    if not _is_zone(said.zone):
        zones = tuple(sorted(zoneinfo.available_timezones() - _UNUSABLE_ZONES))
        yield Problem("event_time.zone", "is no IANA time zone", said.zone, zones)
    fault = format_fault(said.format) if said.format is not None else None
    if fault is not None:
        yield Problem("event_time.format", fault, said.format, tuple(f"%{name}" for name in DIRECTIVES))
    versions = (contract.registry.versions[number] for number in contract.versions)
    if all(version.fields[version.time_field].type is FieldType.EPOCH_INSTANT for version in versions):
        for key in ("format", "time_column"):
            if getattr(said, key) is not None:
                why = "has no meaning where the event time is an integer; take a schema version that writes it as text"
                yield Problem(f"event_time.{key}", why, getattr(said, key))


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
    named = [(f"columns.{name}", column) for name, column in contract.columns.items()]
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


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return False
    return name not in _UNUSABLE_ZONES
