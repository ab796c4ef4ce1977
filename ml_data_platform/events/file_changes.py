"""How the columns of a file differ from those that its contract reads.

Belongs here: a file's columns as if they were a schema version, so that the same classification applies. Does not
belong here: classifying (evolution), reading files.
"""

from __future__ import annotations

from collections.abc import Mapping

from ml_data_platform.events.contract_model import SourceContract
from ml_data_platform.events.evolution import SchemaChange, classify_change
from ml_data_platform.events.number_marks import grouped_number
from ml_data_platform.events.profiles import ColumnProfile
from ml_data_platform.events.readings import EPOCH_FRACTION, INTEGER
from ml_data_platform.events.schema_versions import EventField, FieldType, SchemaVersion

READABLE = 0.9
"""A column has a type when at least this share of its values can be read so; single broken values are no change."""


def file_change(contract: SourceContract, version: int, profiles: Mapping[str, ColumnProfile]) -> SchemaChange:
    """Compare the columns of a file with those that a contract reads for one schema version.

    Args:
        contract: The contract.
        version: The schema version that the rows have, or are nearest to.
        profiles: Landed column to profile.

    Returns:
        ``additive`` when the file has all columns in the types that the contract reads, and others besides at
        most; every difference is listed.
    """
    described = contract.registry.versions[version].fields
    types = {
        column: described[name].type for name, columns in contract.field_columns(version).items() for column in columns
    }
    types.update(dict.fromkeys(contract.time_columns(version)[1:], FieldType.TEXT))
    required = contract.required_columns(version)
    expected = {
        column: EventField(types.get(column, FieldType.TEXT), column in required)
        for column in dict.fromkeys((*required, *types))
        if column in required or column in profiles
    }
    found: dict[str, EventField] = {}
    for column, profile in profiles.items():
        if column in expected:
            was = expected[column]
            found[column] = EventField(_type_of(profile, was.type, contract), was.required)
        elif not any(column.startswith(f"{known}.") for known in expected):
            found[column] = EventField(_guessed(profile))
    return classify_change(SchemaVersion(version, expected), SchemaVersion(version + 1, found))


def nearest_version(contract: SourceContract, columns: Mapping[str, ColumnProfile]) -> int:
    """Return the version of the contract of whose columns a file lacks the fewest; of equals the highest."""
    missing = {
        version: sum(column not in columns for column in contract.required_columns(version))
        for version in contract.versions
    }
    return min(missing, key=lambda version: (missing[version], -version))


def _type_of(profile: ColumnProfile, declared: FieldType, contract: SourceContract) -> FieldType:
    has_commas = contract.format == "csv" and contract.csv.decimal == ","
    numbers = profile.integers + profile.comma_numbers if has_commas else profile.numbers
    if contract.format == "csv" and contract.csv.thousands is not None:
        numbers += profile.share(grouped_number(contract.csv.thousands, contract.csv.decimal))
    shares = {
        FieldType.TEXT: 1.0,
        FieldType.ISO_INSTANT: 1.0 if profile.integers < READABLE else 0.0,
        FieldType.EPOCH_INSTANT: profile.share(f"{INTEGER}|{EPOCH_FRACTION}"),
        FieldType.INTEGER: profile.integers,
        FieldType.NUMBER: numbers,
        FieldType.BINARY: profile.share("[01]"),
    }
    is_column = profile.filled == 0 or shares[declared] >= READABLE
    # Parquet has instants of its own, which stand for either.
    return declared if is_column or (declared.is_instant and contract.format == "parquet") else _guessed(profile)


def _guessed(profile: ColumnProfile) -> FieldType:
    if profile.filled and profile.integers == 1:
        return FieldType.INTEGER
    return FieldType.NUMBER if profile.filled and profile.numbers == 1 else FieldType.TEXT
