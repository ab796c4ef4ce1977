"""From landed rows to dated rows, and from dated rows to canonical events, as SQL text.

Belongs here: the two queries, composed of readings, upcasts and ids. Both read all columns of a row in one
pass over its JSON. Does not belong here: running them, files, rules about what is valid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from types import MappingProxyType

from ml_data_platform.errors import ContractError
from ml_data_platform.events.contract_model import SourceContract
from ml_data_platform.events.contract_parts import EPOCH, ISO, VersionColumn
from ml_data_platform.events.event_mapping import map_source
from ml_data_platform.events.identity import MAX_NAMES
from ml_data_platform.events.landed_paths import key_pointers, texts_query
from ml_data_platform.events.readings import read_epoch_instant, read_iso_instant
from ml_data_platform.events.schema_versions import FieldType, SchemaVersion
from ml_data_platform.events.sql_text import (
    by_version,
    present,
    sql_day_start,
    sql_identifier,
    sql_instant,
    sql_list,
    sql_literal,
)
from ml_data_platform.events.time_formats import read_formatted_instant
from ml_data_platform.events.usable_rows import CUT_OFF

__all__ = [
    "IN_THE_FUTURE",
    "UNDATED_REASONS",
    "mapping_query",
    "member_names_query",
    "routing_query",
    "sql_identifier",
    "sql_literal",
    "unknown_columns_query",
]

MAX_SHOWN = 200
IN_THE_FUTURE = "event_time_in_the_future"
UNDATED_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "malformed_row": "the line cannot be read as an object",
        "wrong_field_count": "the row has more or fewer cells than the header",
        CUT_OFF: "the file ends in the middle of the row: it was cut off, nobody knows how many rows are missing",
        "schema_version_unknown": "the row names no schema version that exists",
        "event_time_missing": "the row has no event time",
        "event_time_unreadable": "the event time is not written as the contract says",
        "schema_version_retired": "the row has a schema version that was retired before its event time",
        "event_time_before_start_date": "the event time lies before the first day that has partitions",
        IN_THE_FUTURE: "the event time lies after what the landing allows",
    }
)


def routing_query(
    contract: SourceContract,
    relation: str,
    *,
    start_date: date,
    latest: datetime,
) -> str:
    """Return SQL that dates the rows of one landed file.

    Args:
        contract: The contract of the file's source.
        relation: FROM item with ``source_row`` BIGINT, ``landed`` VARCHAR (a JSON object) and ``defect`` VARCHAR
            (an undated reason, or NULL); inserted as it is.
        start_date: First UTC day that has partitions.
        latest: Latest instant that an event of this file may have; aware.

    Returns:
        SQL of one row per row of the relation, in no order: ``source_row``, ``event_time`` TIMESTAMPTZ (NULL for
        undated rows), ``schema_version`` SMALLINT, ``undated_reason`` VARCHAR (a key of UNDATED_REASONS, NULL for
        dated rows), ``event_time_landed`` VARCHAR (first 200 characters), ``landed``, ``future_us`` BIGINT
        (microseconds since 1970 of rows that lie in the future).

    Raises:
        SettingsError: ``latest`` has no time zone.
    """
    declared, versions = contract.schema_version, contract.registry.versions
    timed = {number: contract.time_columns(number) for number in contract.versions}
    is_inferred = declared == "infer"
    markers = {number: contract.marker_columns(number) if is_inferred else () for number in contract.versions}
    named = (declared.column,) if isinstance(declared, VersionColumn) else ()
    columns = tuple(dict.fromkeys(name for names in (named, *timed.values(), *markers.values()) for name in names))
    at = {column: f"texts[{position}]" for position, column in enumerate(columns, start=1)}
    landed_file = f"{relation} AS landed_file"

    version = _row_version(contract, at, markers)
    text = by_version({number: _joined([at[column] for column in columns]) for number, columns in timed.items()})
    instant = by_version({number: read_time(contract, versions[number]) for number in contract.versions})
    reason = _undated_reason(contract, versions, start_date=start_date, latest=latest)
    return f"""
SELECT source_row,
    CASE WHEN undated_reason IS NULL THEN event_time END AS event_time,
    schema_version, undated_reason,
    left(event_time_landed, {MAX_SHOWN}) AS event_time_landed,
    landed,
    CASE WHEN undated_reason = {sql_literal(IN_THE_FUTURE)} AND isfinite(event_time) THEN epoch_us(event_time) END AS future_us
FROM (SELECT *, {reason} AS undated_reason
FROM (SELECT *, {instant} AS event_time
FROM (SELECT *, {text} AS event_time_landed
FROM (SELECT *, CAST({version} AS SMALLINT) AS schema_version
FROM ({texts_query(columns, "source_row, landed, defect", landed_file, is_flat=contract.is_flat)})))))"""


def _row_version(
    contract: SourceContract,
    at: Mapping[str, str],
    markers: Mapping[int, tuple[str, ...]],
) -> str:
    declared = contract.schema_version
    if isinstance(declared, VersionColumn):
        numbers = " ".join(f"WHEN {sql_literal(str(number))} THEN {number}" for number in contract.versions)
        return f"CASE {at[declared.column]} {numbers} END"
    lowest, *later = contract.versions
    cases = ""
    for number in reversed(later):
        # A key may be present and null; looking for the key itself is dear, so only rows without a value pay.
        has_value = " OR ".join(f"{at[column]} IS NOT NULL" for column in markers[number])
        cases += f"WHEN {has_value} THEN {number} "
        if contract.format == "jsonl":
            # Only here can a row have a key of its own; elsewhere every row has all columns of its file.
            pointers = [each for column in markers[number] for each in key_pointers(column, is_flat=contract.is_flat)]
            has_key = " OR ".join(f"json_exists(landed, {pointer})" for pointer in pointers)
            cases += f"WHEN {has_key} THEN {number} "
    return f"CASE {cases}ELSE {lowest} END" if cases else str(lowest)


def _joined(texts: Sequence[str]) -> str:
    if len(texts) == 1:
        return texts[0]
    # A date without its time of day is no event time, and neither is a time of day without its date.
    is_whole = " AND ".join(f"{present(text)} IS NOT NULL" for text in texts)
    return f"CASE WHEN {is_whole} THEN concat_ws(' ', {', '.join(texts)}) END"


def read_time(contract: SourceContract, version: SchemaVersion, text: str = "event_time_landed") -> str:
    """Return SQL for the instant that a text writes in rows of a version, NULL where it writes none."""
    said = contract.event_time
    iso = read_iso_instant(text, said.zone)
    if version.fields[version.time_field].type is FieldType.EPOCH_INSTANT:
        epoch = read_epoch_instant(text, said.epoch_unit)
        # Parquet has instants of its own, which land as ISO-8601 whatever the version writes.
        return f"coalesce({epoch}, {iso})" if contract.format == "parquet" else epoch
    read = [
        iso
        if written_as == ISO
        else read_epoch_instant(text, said.epoch_unit)
        if written_as == EPOCH
        else read_formatted_instant(text, written_as, said.zone)
        for written_as in said.formats
    ]
    return read[0] if len(read) == 1 else f"coalesce({', '.join(read)})"


def _undated_reason(
    contract: SourceContract, versions: Mapping[int, SchemaVersion], *, start_date: date, latest: datetime
) -> str:
    retired = " ".join(
        f"WHEN schema_version = {number} AND event_time >= {sql_day_start(day)} THEN 'schema_version_retired'"
        for number in contract.versions
        if (day := versions[number].retired_on) is not None
    )
    return f"""CASE WHEN defect IS NOT NULL THEN defect
    WHEN schema_version IS NULL THEN 'schema_version_unknown'
    WHEN {present("event_time_landed")} IS NULL THEN 'event_time_missing'
    WHEN event_time IS NULL THEN 'event_time_unreadable'
    {retired}
    WHEN event_time < {sql_day_start(start_date)} THEN 'event_time_before_start_date'
    WHEN event_time > {sql_instant(latest)} THEN {sql_literal(IN_THE_FUTURE)} END"""


def member_names_query(contracts: Mapping[str, SourceContract], relation: str) -> str | None:
    """Return SQL for the names of the members of rows that have to be identified by their values.

    Args:
        contracts: Source to contract.
        relation: FROM item with ``source`` and ``landed``; inserted as it is.

    Returns:
        SQL of one row per name and source, at most 1 more per source than `mapping_query` has a use for: ``source``,
        ``name``. None where no source needs it.
    """
    sources = [source for source, contract in sorted(contracts.items()) if is_identified_by_values(contract)]
    if not sources:
        return None
    return f"""
SELECT source, name FROM (
    SELECT DISTINCT source, unnest(names) AS name FROM (
        SELECT DISTINCT source, json_keys(landed) AS names FROM {relation} AS raw_rows
        WHERE list_contains({sql_list(map(sql_literal, sources))}, source)))
QUALIFY row_number() OVER (PARTITION BY source ORDER BY name) <= {MAX_NAMES + 1}"""


def is_identified_by_values(contract: SourceContract) -> bool:
    """Return whether rows of a source may have no other identity than all that they hold."""
    return not contract.has_stated_event_ids and not contract.identity


def mapping_query(
    contracts: Mapping[str, SourceContract], relation: str, names: Mapping[str, Sequence[str]] | None = None
) -> str:
    """Return SQL that maps dated rows to canonical events, with what could not be read beside them.

    The connection must know the key of the user ids (``ids.bind_id_key``).

    Args:
        contracts: Source to contract; rows of other sources are not returned.
        relation: FROM item with the columns of RAW_EVENTS; inserted as it is, once per source.
        names: Source to what `member_names_query` found in the relation, which makes the query faster; results are the
            same without it.

    Returns:
        SQL of one row per row of the relation, in no order: the columns of VALIDATED_EVENTS in their order and
        types; ``event_time``; ``landed``; then ``unreadable_session_duration_seconds``,
        ``unreadable_purchase_amount_usd``, ``unreadable_sequence``, ``unreadable_label``, ``unknown_event_type``
        and ``nested_fields`` (VARCHAR, NULL where nothing is wrong, else at most 200 characters of what is), and
        ``label_is_missing`` BOOLEAN, ``placeholder_id`` VARCHAR (canonical column and what stands in place of its id, NULL
        where nothing does) and ``has_own_event_id`` BOOLEAN. Where a contract masks, also ``broken_rules``
        VARCHAR[], the names of the rules that a row broke before it was masked.

    Raises:
        ContractError: There is no contract.
    """
    if not contracts:
        raise ContractError("Events cannot be mapped without any source contract.")
    usable = {
        source: found
        for source, found in (names or {}).items()
        if len(found) <= MAX_NAMES and not any("\0" in name for name in found)
    }
    queries = (map_source(contracts[source], relation, usable.get(source)) for source in sorted(contracts))
    return "\nUNION ALL BY NAME\n".join(queries)


def unknown_columns_query(contract: SourceContract, relation: str) -> str:
    """Return SQL that lists the top-level landed columns that the contract does not name.

    A file with any is refused where the contract says ``unknown_columns: freeze``.

    Args:
        contract: The contract of the file's source.
        relation: FROM item as for `routing_query`; rows with a defect are not looked at.

    Returns:
        SQL of one row per unknown column, sorted by it: ``column_name``, and ``source_row`` of its first row.
    """
    known = sql_list(sql_literal(name) for name in sorted(contract.known_columns))
    return f"""
SELECT column_name, min(source_row) AS source_row
FROM (SELECT source_row, unnest(json_keys(landed)) AS column_name FROM {relation} AS landed_file WHERE defect IS NULL)
WHERE NOT list_contains({known}, column_name)
GROUP BY column_name ORDER BY column_name"""
