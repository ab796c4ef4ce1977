"""What a source contract may say.

Belongs here: the contract's model and its hashes. Does not belong here: the sections below its keys (contract_parts),
what must hold between them (contract_problems), finding and reading the YAML files (contracts), and the SQL that a
contract leads to (parsing).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import date
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, ValidationInfo, model_validator

from ml_data_platform.events.contract_errors import contract_error
from ml_data_platform.events.contract_parts import (
    Columns,
    ContractPart,
    CsvDialect,
    EventTimeReading,
    EventTypeReading,
    FirstOf,
    Ids,
    Lateness,
    PersonalData,
    Pull,
    Text,
    UnusableRows,
    VersionColumn,
)
from ml_data_platform.events.contract_problems import contract_problems
from ml_data_platform.events.expectations import Expectation, RuleName, judged_before_masking
from ml_data_platform.events.id_texts import absent_texts
from ml_data_platform.events.landed_paths import top_names
from ml_data_platform.events.masking_plan import parsed_as as how_parsed
from ml_data_platform.events.masking_plan import plan_facts
from ml_data_platform.events.registry import SchemaRegistry
from ml_data_platform.events.registry_file import SHIPPED_REGISTRY
from ml_data_platform.events.schema_versions import LABEL_FIELD, SEQUENCE_FIELD, FieldType
from ml_data_platform.events.schemas import EVENT_TYPES

__all__ = ["LABEL_FIELD", "SEQUENCE_FIELD", "SourceContract"]

READING_VERSION = 2
"""Raised when bytes are read that were not read before, or otherwise: kept files are then read again once. A file that leads
to the same rows makes no day dirty."""


class SourceContract(ContractPart):
    """What one producer lands and how it is read. See the attributes for the YAML keys.

    Attributes:
        source: Name of the producer: the file's stem, the landing subfolder, the prefix of its event ids.
        description: For people; no hash depends on it.
        format: ``csv``, ``jsonl`` or ``parquet``; gzip is recognised by its bytes.
        csv: Only with format ``csv``.
        schema_version: A number, ``infer`` (per row by marker fields), or ``{column: name}``.
        columns: Field of the schema version to landed column. A column ``a.b`` is the one of this very name, else the
            member ``b`` of the object, or of the JSON text, in ``a``; see ``landed_paths``. With ``jsonl`` and
            ``parquet`` a field that is not listed lands under its own name; null says that it does not land. A field
            of ids may have a list of columns, which are its key together, or ``{first_of: [...]}``.
        ids: Which landed ids stand for nobody.
        event_time: How the event time is read.
        event_type: How event types are read.
        path_columns: Columns that stand only in folders of the path (``region=eu/part.csv``) and that nothing else in the
            contract names; those that something names are taken from there anyway. See ``path_columns``.
        identity: Landed columns that identify an event without an id of its own; empty = all of them.
        duplicates: ``keep`` where equal rows without event ids are different events: their place identifies them too.
        sequence: What tells the order of events of one instant. ``file``: where a row stands in its file, though the
            file be not sorted by time. ``none``: nothing does. None: the field ``sequence``, and of rows without it
            where they stand in their file.
        label: Landed column with 0 or 1, where the producer labels its events itself.
        user_id_domain: Producers of one domain mean the same person by the same user id; default: the source.
        filled: Field of a schema version, or landed column, to the least share of the source's valid rows of a day that
            have a value in it; a day with less is refused.
        unknown_columns: ``evolve`` keeps them in ``attributes``, ``freeze`` refuses the file, ``discard``
            leaves them out.
        lateness: How late events may be.
        pull: Where files are fetched from; None: they are dropped into the landing folder.
        unusable_rows: How many rows of a file may reach no day.
        on_unusable: What becomes of a file with more of them. ``publish``: its other rows are published, and it is red;
            ``refuse_file``: nothing of it is published.
        pii: Which values are masked or dropped before anything is written; None: landed bytes are kept as they are.
        expect: Name to rule: what the producer's values are expected to be, as they land.
    """

    source: Annotated[str, Field(pattern=r"\A[a-z][a-z0-9_]{0,62}\z")]
    description: Annotated[str, Field(max_length=2_000)] = ""
    format: Literal["csv", "jsonl", "parquet"]
    csv: CsvDialect = CsvDialect()
    schema_version: int | Literal["infer"] | VersionColumn = "infer"
    columns: dict[str, Text | Columns | FirstOf | None] = Field(default_factory=dict)
    ids: Ids = Ids()
    event_time: EventTimeReading = EventTimeReading()
    event_type: EventTypeReading = EventTypeReading()
    path_columns: Annotated[tuple[Text, ...], Field(strict=False)] = ()
    identity: Annotated[tuple[Text, ...], Field(strict=False)] = ()
    duplicates: Literal["drop", "keep"] = "drop"
    sequence: Literal["file", "none"] | None = None
    label: Text | None = None
    user_id_domain: Text | None = None
    filled: dict[Text, Annotated[float, Field(gt=0, le=1)]] = Field(default_factory=dict)
    unknown_columns: Literal["evolve", "freeze", "discard"] = "evolve"
    lateness: Lateness = Lateness()
    pull: Pull | None = None
    unusable_rows: UnusableRows = UnusableRows()
    on_unusable: Literal["publish", "refuse_file"] = "publish"
    pii: PersonalData | None = None
    expect: dict[RuleName, Expectation] = Field(default_factory=dict)
    _registry: SchemaRegistry = PrivateAttr(default_factory=lambda: SHIPPED_REGISTRY)

    @model_validator(mode="after")
    def _is_consistent(self, info: ValidationInfo) -> SourceContract:
        self._registry = (info.context or {}).get("registry", SHIPPED_REGISTRY)
        problems = tuple(contract_problems(self))
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
        """Return field of the schema version to the landed column that holds it, or to the first of several."""
        return {name: columns[0] for name, columns in self.field_columns(version).items()}

    def field_columns(self, version: int) -> dict[str, tuple[str, ...]]:
        """Return field of the schema version to all landed columns that it is made of, in field order."""
        landed = {name: self.columns_of(name) for name in self.registry.versions[version].fields}
        if self.sequence is not None:
            canonical = self.registry.canonical_columns(version)
            landed = {name: columns for name, columns in landed.items() if canonical.get(name) != SEQUENCE_FIELD}
        return {name: columns for name, columns in landed.items() if columns}

    def landed_columns(self, version: int) -> tuple[str, ...]:
        """Return the landed columns that fields of the version take, each once, in field order."""
        declared = self.schema_version
        extra = (declared.column,) if isinstance(declared, VersionColumn) else ()
        taken = (column for columns in self.field_columns(version).values() for column in columns)
        return tuple(dict.fromkeys((*taken, *self.time_columns(version)[1:], *extra)))

    def time_columns(self, version: int) -> tuple[str, ...]:
        """Return the landed columns whose texts, joined by a space, are the event time of rows of the version."""
        described = self.registry.versions[version]
        first = self.fields(version)[described.time_field]
        is_text = described.fields[described.time_field].type is FieldType.ISO_INSTANT
        second = self.event_time.time_column if is_text else None
        return (first,) if second is None else (first, second)

    def required_columns(self, version: int) -> tuple[str, ...]:
        """Return the landed columns that a file with a fixed set of columns must have for rows of the version.

        A field that is optional and lands under its own name only because nothing else is said may be absent; of
        `alternatives` one is enough.
        """
        fields = self.registry.versions[version].fields
        unsaid = {
            column
            for name, column in self.fields(version).items()
            if name not in self.columns
            and name != LABEL_FIELD
            and (not fields[name].required or (name == "event_type" and self.event_type.default is not None))
        }
        needed = {
            column
            for name, columns in self.field_columns(version).items()
            if not self.is_first_of(name)
            for column in columns
        }
        optional = unsaid | {column for group in self.alternatives(version) for column in group if column not in needed}
        taken = tuple(column for column in self.landed_columns(version) if column not in optional)
        return tuple(dict.fromkeys((*taken, *self.identity)))

    def alternatives(self, version: int) -> tuple[tuple[str, ...], ...]:
        """Return groups of landed columns of which a file needs one each, for rows of the version."""
        return tuple(columns for name, columns in self.field_columns(version).items() if self.is_first_of(name))

    @property
    def is_flat(self) -> bool:
        """Whether landed rows have no objects within them, so that a dot may lead into the JSON text of a cell only."""
        return self.format == "csv"

    def path(self, column: str) -> tuple[str, ...]:
        """Return the keys that lead to a landed column within the landed JSON object, read as if no key had dots."""
        return (column,) if self.is_flat else tuple(column.split("."))

    def top_names(self, column: str) -> tuple[str, ...]:
        """Return the top-level landed columns that may hold a column, see ``landed_paths``; its own name first."""
        return top_names(column, is_flat=self.is_flat)

    @property
    def known_columns(self) -> frozenset[str]:
        """Top-level landed columns that the contract names; with ``freeze`` a file may have no others."""
        expected = {column for rule in self.expect.values() for column in rule.columns}
        return frozenset(name for column in self.named_columns | expected for name in self.top_names(column))

    @property
    def named_columns(self) -> set[str]:
        """Landed columns that rows are read from, or that are handled as personal data."""
        taken = (column for version in self.versions for column in self.landed_columns(version))
        return {*taken, *self.identity, *self.path_columns, *(self.pii.columns if self.pii is not None else ())}

    def landed_column(self, name: str) -> str | None:
        """Return the landed column that holds a field of any version, the first of several, None where it does not land."""
        return next(iter(self.columns_of(name)), None)

    def columns_of(self, name: str) -> tuple[str, ...]:
        """Return the landed columns that a field of any version is made of; none where it does not land."""
        said = self.label if name == LABEL_FIELD else self.columns.get(name, None if self.format == "csv" else name)
        if isinstance(said, FirstOf):
            return said.first_of
        return said if isinstance(said, tuple) else () if said is None else (said,)

    def is_first_of(self, name: str) -> bool:
        """Return whether a field stands in one of several columns."""
        return isinstance(self.columns.get(name), FirstOf)

    @property
    def has_stated_event_ids(self) -> bool:
        """Whether the contract says where event ids land, so that an event without one is rejected."""
        names = (name for version in self.versions for name in self._id_fields(version) if name in self.columns)
        return any(self.columns_of(name) for name in names)

    def _id_fields(self, version: int) -> list[str]:
        canonical = self.registry.canonical_columns(version)
        return [name for name, column in canonical.items() if column == "event_id"]

    @property
    def known_event_types(self) -> dict[str, str]:
        """Text of an event type to the canonical type that it means; the contract's word counts before the platform's."""
        return {**{name: name for name in EVENT_TYPES}, **self.event_type.mapping}

    @property
    def absent_ids(self) -> tuple[str, ...]:
        """Texts in columns of ids that stand for no id, as ``id_texts`` compares them."""
        return absent_texts(self.ids.null_markers, self.ids.sentinels)

    def marker_columns(self, version: int) -> tuple[str, ...]:
        """Return the landed columns whose presence in a row tells the version from those below."""
        found: list[str] = []
        below = {column for number in self.versions if number < version for column in self.landed_columns(number)}
        for name in self.registry.versions[version].markers:
            columns = self.columns_of(name)
            # Where an id is made of several columns, those of lower versions tell nothing.
            found += [column for column in columns if column not in below] or columns
        return tuple(dict.fromkeys(found))

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 hex of all that the contract says about events; where files come from, and when, changes none.

        What lateness decides about rows stands in the ledger, and what it says about labels is an input of its own.
        """
        # Defaults are left out, so that a key added to the model later does not change the hash of old contracts.
        apart = {"description", "pull", "lateness", "unusable_rows", "on_unusable"}
        facts = self.model_dump(mode="json", exclude=apart, exclude_defaults=True)
        return _hash({**facts, **self._versions_apart(SchemaRegistry.effect)})

    def _versions_apart(self, effect: Callable[[SchemaRegistry, int], Mapping[str, Any]]) -> dict[str, Any]:
        """Versions of the rows that have another effect than as shipped, so that contracts without them keep hashes."""
        shipped = {number: effect(SHIPPED_REGISTRY, number) for number in SHIPPED_REGISTRY.versions}
        found = {number: effect(self.registry, number) for number in self.versions}
        apart = {str(number): facts for number, facts in found.items() if facts != shipped.get(number)}
        return {"versions": apart} if apart else {}

    def routing_hash(
        self,
        start_date: date,
        masked_with: str | None = None,
        *,
        judged_by: Mapping[str, str] | None = None,
        parsed_as: Mapping[str, Any] | None = None,
    ) -> str:
        """Return the SHA-256 hex of what decides how a file is read, what is kept, and on which day a row falls.

        Args:
            start_date: First UTC day that has partitions.
            masked_with: Id of the key of the masks; without meaning where the contract has no ``pii`` section.
            judged_by: Rules by which rows were judged before they were masked, see
                ``expectations.judged_before_masking``; by default those of the contract.
            parsed_as: How values were read that stayed where they parsed, see ``masking_plan.parsed_as``; by default as
                the contract says.
        """
        read = ("format", "csv", "schema_version", "event_time")
        routed = {
            name: columns[0] if len(columns) == 1 else list(columns)
            for number in self.versions
            for name in (self.registry.versions[number].time_field, *self.registry.versions[number].markers)
            if (columns := self.columns_of(name))
        }
        facts: dict[str, Any] = {
            **self.model_dump(mode="json", include=set(read), exclude_defaults=True),
            "routed": routed,
            "reading": READING_VERSION,
            "start_date": start_date.isoformat(),
            **self._versions_apart(SchemaRegistry.routing_effect),
        }
        if self.path_columns:
            facts["path_columns"] = sorted(self.path_columns)
        if self.unknown_columns == "freeze":
            facts["unknown_columns"] = "freeze"
        if self.unknown_columns == "freeze" or self.format != "jsonl":
            # A file can be refused for its columns: once the contract is corrected, it is read again.
            expected = self.known_columns if self.unknown_columns == "freeze" and self.expect else ()
            facts["known_columns"] = sorted({self.path(column)[0] for column in self.named_columns} | {*expected})
        if self.on_unusable == "refuse_file":
            # Only then do tolerances decide what is kept of a file.
            facts["refuse_file"] = self.unusable_rows.model_dump(mode="json", exclude={"warn"})
        if self.pii is not None:
            facts["pii"] = {"plan": plan_facts(self), "key_id": masked_with}
            judged = judged_before_masking(self) if judged_by is None else judged_by
            if judged:
                facts["pii"]["judged_by"] = dict(judged)
            parsed = how_parsed(self) if parsed_as is None else parsed_as
            if parsed:
                facts["pii"]["parsed_as"] = dict(parsed)
        return _hash(facts)


def _hash(facts: Mapping[str, Any]) -> str:
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
