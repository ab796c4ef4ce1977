"""Reading schema versions from ``schema_versions.yaml``: the shipped ones, and a user's own on top.

Belongs here: what such a file may say, and joining several of them. Does not belong here: what follows from
the versions (registry).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from ml_data_platform.errors import ContractError, SchemaMismatchError
from ml_data_platform.events.contract_errors import Problem, contract_error, problems_of, read_contract
from ml_data_platform.events.evolution import renamed_fields, verify_upcasts
from ml_data_platform.events.registry import CANONICAL_VERSION, SchemaRegistry
from ml_data_platform.events.schema_versions import EventField, SchemaVersion, Upcast
from ml_data_platform.events.version_entries import VersionsFile, default_markers, entry_problems, steps_to
from ml_data_platform.yaml_text import regular_bytes

SHIPPED_SOURCES = Path(__file__).parent.parent / "sources"
VERSIONS_FILE = "schema_versions.yaml"
# Contracts treat the label apart from the other fields, under this name.
_KEEPS_ITS_NAME = "label"
_SUBJECT = "the file of schema versions"
_REMEDY = "Mend the YAML file; sources/schema_versions.yaml in the package says what may stand in it."


def load_registry(*folders: Path) -> SchemaRegistry:
    """Read the schema versions of all folders.

    Args:
        folders: The shipped folder is read first whether it is named or not; a folder without the file is fine.

    Raises:
        ContractError: A file cannot be read, is wrong, or changes more of an earlier version than its retirement.
    """
    registry = SHIPPED_REGISTRY
    for folder in folders:
        path = folder / VERSIONS_FILE
        # A link that leads nowhere is a broken file, not an absent one: versions would be gone without a word.
        if os.path.lexists(path) and path.resolve() != (SHIPPED_SOURCES / VERSIONS_FILE).resolve():
            registry = extend_registry(registry, _content(path), file=str(path))
    return registry


def extend_registry(registry: SchemaRegistry, content: bytes | str, *, file: str) -> SchemaRegistry:
    """Add the versions of one file to those that are known.

    Args:
        registry: What is known so far; empty for the shipped file.
        content: YAML text.
        file: Where it came from, for messages.

    Raises:
        ContractError: The text is wrong, or does not fit what is known; every problem is named.
    """
    try:
        entries = VersionsFile.model_validate(read_contract(content, file)).versions
    except ValidationError as found:
        raise _error(problems_of(found, VersionsFile), file) from None
    versions, upcasts = dict(registry.versions), dict(registry.upcasts)
    problems: list[Problem] = []
    for number, entry in sorted(entries.items()):
        if number in versions:
            if entry.model_fields_set - {"retired_on"}:
                says = "a version that is known can be retired, but not changed: add a version"
                problems.append(Problem(f"versions.{number}", says, sorted(entry.model_fields_set)))
            versions[number] = replace(versions[number], retired_on=entry.retired_on)
            continue
        below = versions.get(number - 1)
        if number > 1 and below is None:
            raise _error([Problem("versions", "must count from 1 without gaps", number)], file)
        if wrong := tuple(entry_problems(number, below, entry)):
            raise _error([*problems, *wrong], file)
        fields = {name: EventField(field.type, field.required) for name, field in entry.fields.items()}
        markers = default_markers(entry, versions) if entry.markers is None else entry.markers
        versions[number] = SchemaVersion(number, fields, markers, entry.retired_on)
        if below:
            upcasts[number - 1] = Upcast(number - 1, number, steps_to(below, entry))
    extended = SchemaRegistry(versions, upcasts)
    problems += _joint_problems(extended)
    if problems:
        raise _error(problems, file)
    return extended


def version_forms(registry: SchemaRegistry) -> tuple[str, ...]:
    """Return what a contract may give as its schema version, as text."""
    return (*(str(number) for number in registry.versions), "infer", "{column: name}")


def _joint_problems(registry: SchemaRegistry) -> Iterator[Problem]:
    try:
        verify_upcasts(registry.versions, registry.upcasts)
    except SchemaMismatchError as found:
        yield Problem("versions", found.what, found.facts.get("differences") or found.facts.get("got"))
        return
    for number, version in registry.versions.items():
        lower = {name for below in range(1, number) for name in registry.versions[below].fields}
        for name in version.markers:
            if name in lower:
                yield Problem(f"versions.{number}.markers", "a version below has this field too", name)
    if CANONICAL_VERSION not in registry.versions:
        return
    canonical = registry.versions[CANONICAL_VERSION]
    reached = renamed_fields(canonical, registry.current, registry.upcasts)
    for name, described in canonical.fields.items():
        if described.required and name not in reached:
            yield Problem("versions", "a later version removes a field that events cannot be without", name)
    if reached.get(_KEEPS_ITS_NAME, (_KEEPS_ITS_NAME,))[0] != _KEEPS_ITS_NAME:
        yield Problem("versions", "a field keeps its name in all versions", _KEEPS_ITS_NAME)


def _error(problems: list[Problem] | tuple[Problem, ...], file: str) -> ContractError:
    return contract_error(problems, file, subject=_SUBJECT, remedy=_REMEDY)


def _content(path: Path) -> bytes:
    try:
        return regular_bytes(path)
    except OSError as cause:
        raise ContractError(f"The file of schema versions cannot be read: {cause.strerror}.", file=str(path)) from cause


SHIPPED_REGISTRY = extend_registry(
    SchemaRegistry({}, {}), (SHIPPED_SOURCES / VERSIONS_FILE).read_bytes(), file=VERSIONS_FILE
)
"""The versions that the platform comes with."""
