"""The canonical events of one source, as SQL text.

Belongs here: which text feeds which canonical column, per schema version, and what is reported when it
cannot. Does not belong here: the grammars (readings), the ids (ids), the union of all sources (parsing).

The query is a stack of projections, each using the columns of the one below: all texts of a row at once;
texts that are scalars; values per schema version, upcast; canonical columns.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from ml_data_platform.events.contract_model import LABEL_FIELD, SourceContract
from ml_data_platform.events.ids import (
    hashed_event_id_sql,
    producer_event_id_sql,
    session_digest_sql,
    session_uuid_sql,
    user_id_sql,
    whole_row_event_id_sql,
)
from ml_data_platform.events.masking_plan import ROW_KEY, masking_plan
from ml_data_platform.events.number_marks import plain_number
from ml_data_platform.events.readings import read_value
from ml_data_platform.events.registry_file import SHIPPED_REGISTRY
from ml_data_platform.events.schema_versions import FieldType
from ml_data_platform.events.schemas import EVENT_TYPES
from ml_data_platform.events.sql_text import by_version, json_pointer, present, sql_list, sql_literal

MAX_SHOWN = 200
_RAW_COLUMNS = "source, source_file, source_row, event_time, schema_version, landed"
_CANONICAL = SHIPPED_REGISTRY.canonical_types
_READ = tuple(name for name, kind in _CANONICAL.items() if not kind.is_instant)
_CHECKED = tuple(name for name in _READ if _CANONICAL[name] is not FieldType.TEXT)


def map_source(contract: SourceContract, relation: str) -> str:
    """Return the mapping query of one source; see ``parsing.mapping_query``."""
    columns = {column for version in contract.versions for column in _taken(contract, version).values()}
    at = {column: place for place, column in enumerate(sorted({*columns, *contract.identity}), start=1)}
    pointers = sql_list(sql_literal(json_pointer(contract.path(column))) for column in at)
    return f"""
SELECT {_canonical_columns(contract)}
FROM (SELECT *, {session_digest_sql(contract.source, "text_session_uuid")} AS session_digest
FROM (SELECT {_RAW_COLUMNS}, {_versioned_columns(contract, at)}
FROM (SELECT *, {_scalars(contract, at)}
FROM (SELECT {_RAW_COLUMNS}, json_extract_string(landed, {pointers}) AS texts
FROM {relation} AS raw_rows WHERE source = {sql_literal(contract.source)}))))"""


def _scalars(contract: SourceContract, at: Mapping[str, int]) -> str:
    """Texts as ``t<n>``; where an object or array stands, the text is NULL and ``n<n>`` is true."""
    if contract.format == "csv":
        return ", ".join(f"texts[{place}] AS t{place}, false AS n{place}" for place in at.values())
    parts = []
    for column, place in at.items():
        text, pointer = f"texts[{place}]", sql_literal(json_pointer(contract.path(column)))
        # The kind costs another pass over the row, so only a text that looks like JSON pays for it.
        nested = (
            f"coalesce(CASE WHEN {text}[1] IN ('{{', '[') THEN json_type(landed, {pointer}) <> 'VARCHAR' END, false)"
        )
        parts.append(f"CASE WHEN NOT {nested} THEN {text} END AS t{place}, {nested} AS n{place}")
    return ", ".join(parts)


def _versioned_columns(contract: SourceContract, at: Mapping[str, int]) -> str:
    texts: dict[str, dict[int, str]] = {name: {} for name in _READ}
    values: dict[str, dict[int, str]] = {name: {} for name in _READ}
    for version in contract.versions:
        taken = {name: f"t{at[column]}" for name, column in _taken(contract, version).items()}
        described = contract.registry.versions[version].fields
        landed = {name: f"t{at[column]}" for name, column in contract.fields(version).items() if column in at}
        read = {name: _read(contract, text, described[name].type) for name, text in landed.items()}
        current_value = contract.registry.canonical_values(read, version)
        for name in _READ:
            null = f"CAST(NULL AS {_CANONICAL[name].sql_type})"
            texts[name][version] = present(taken[name]) if name in taken else "CAST(NULL AS VARCHAR)"
            values[name][version] = current_value.get(name, null)
    parts = [f"{by_version(texts[name])} AS text_{name}" for name in _READ]
    parts += [f"{by_version(values[name])} AS value_{name}" for name in _CHECKED]
    parts.append(f"{by_version({v: _event_id(contract, v, at) for v in contract.versions})} AS event_id")
    parts.append(f"{by_version({v: _nested_fields(contract, v, at) for v in contract.versions})} AS nested_fields")
    parts.append(f"{by_version({v: _attributes(contract, v) for v in contract.versions})} AS attributes")
    return ",\n    ".join(parts)


def _taken(contract: SourceContract, version: int) -> dict[str, str]:
    """Canonical column to the landed column that feeds it in rows of one version."""
    landed = contract.fields(version)
    return {
        column: landed[name] for name, column in contract.registry.canonical_columns(version).items() if name in landed
    }


def _read(contract: SourceContract, text: str, kind: FieldType) -> str:
    if kind is FieldType.NUMBER and contract.format == "csv":
        text = plain_number(text, thousands=contract.csv.thousands, decimal=contract.csv.decimal)
    # The event time was read when the row was dated.
    return "event_time" if kind.is_instant else read_value(text, kind)


def _event_id(contract: SourceContract, version: int, at: Mapping[str, int]) -> str:
    column = _taken(contract, version).get("event_id")
    if column is not None:
        return producer_event_id_sql(contract.source, f"({present(f't{at[column]}')})")
    if contract.identity:
        return hashed_event_id_sql(contract.source, [f"texts[{at[name]}]" for name in contract.identity])
    return whole_row_event_id_sql(contract.source, "landed")


def _nested_fields(contract: SourceContract, version: int, at: Mapping[str, int]) -> str:
    if contract.format == "csv":
        return "CAST(NULL AS VARCHAR)"
    columns = dict.fromkeys(_taken(contract, version).values())
    names = ", ".join(f"CASE WHEN n{at[column]} THEN {sql_literal(column)} END" for column in columns)
    return f"nullif(left(concat_ws(', ', {names}), {MAX_SHOWN}), '')"


def _attributes(contract: SourceContract, version: int) -> str:
    """Landed columns that feed no canonical column, as JSON text; fields among them stand under their field names."""
    taken = set(_taken(contract, version).values())
    others = {name: column for name, column in contract.fields(version).items() if column not in taken}
    if contract.unknown_columns == "discard":
        if not others:
            return "CAST(NULL AS VARCHAR)"
        kept = _with_fields("'{}'::JSON", contract, others)
        return f"nullif(CAST({kept} AS VARCHAR), '{{}}')"
    moved = {name: column for name, column in others.items() if contract.path(column) != (name,)}
    gone = [column for column in contract.landed_columns(version) if column in taken or column not in others.values()]
    plan = masking_plan(contract)
    row_key = [ROW_KEY] if plan is not None and plan.tells_rows_apart else []
    rest = _without(contract, dict.fromkeys([*gone, *moved.values(), *row_key]))
    return f"nullif(CAST({_with_fields(rest, contract, moved)} AS VARCHAR), '{{}}')"


def _without(contract: SourceContract, columns: Iterable[str]) -> str:
    paths = [contract.path(column) for column in columns]
    flat = {path[0]: None for path in paths if len(path) == 1}
    rest = f"json_merge_patch(landed, {_json_literal(flat)})"
    for path in (path for path in paths if len(path) > 1):
        patch: object = None
        for key in reversed(path):
            patch = {key: patch}
        # A merge patch would put an object in the place of anything else.
        parent = sql_literal(json_pointer(path[:-1]))
        patched = f"json_merge_patch({rest}, {_json_literal(patch)})"
        rest = f"CASE WHEN json_type({rest}, {parent}) = 'OBJECT' THEN {patched} ELSE {rest} END"
    return rest


def _with_fields(rest: str, contract: SourceContract, fields: Mapping[str, str]) -> str:
    for name, column in fields.items():
        value = f"json_extract(landed, {sql_literal(json_pointer(contract.path(column)))})"
        # A patch of null takes away, so that a field without a value is left out.
        rest = f"json_merge_patch({rest}, json_object({sql_literal(name)}, {value}))"
    return rest


def _json_literal(value: object) -> str:
    return sql_literal(json.dumps(value, ensure_ascii=False))


def _canonical_columns(contract: SourceContract) -> str:
    known = {**{name: name for name in EVENT_TYPES}, **contract.event_type.mapping}
    event_type, unknown = _event_type(known, contract.event_type.default)
    unreadable = {name: f"left(CASE WHEN value_{name} IS NULL THEN text_{name} END, {MAX_SHOWN})" for name in _CHECKED}
    is_unlabelled = f"text_{LABEL_FIELD} IS NULL" if contract.label is not None else "false"
    columns = {
        "event_id": "event_id",
        "user_id": user_id_sql(contract.domain, "text_user_id"),
        "session_uuid": session_uuid_sql("session_digest"),
        "event_type": event_type,
        "event_timestamp": "event_time",
        "sequence": "value_sequence",
        "session_duration_seconds": "value_session_duration_seconds",
        "purchase_amount_usd": "value_purchase_amount_usd",
        "client_version": "text_client_version",
        "label": f"value_{LABEL_FIELD}",
        "attributes": "attributes",
        **{name: name for name in ("source", "schema_version", "source_file", "source_row", "event_time", "landed")},
        "unreadable_session_duration_seconds": unreadable["session_duration_seconds"],
        "unreadable_purchase_amount_usd": unreadable["purchase_amount_usd"],
        "unreadable_sequence": unreadable["sequence"],
        "unreadable_label": unreadable[LABEL_FIELD],
        "unknown_event_type": f"left({unknown}, {MAX_SHOWN})",
        "nested_fields": "nested_fields",
        "label_is_missing": is_unlabelled,
    }
    return ",\n    ".join(f"{expression} AS {name}" for name, expression in columns.items())


def _event_type(known: Mapping[str, str], default: str | None) -> tuple[str, str]:
    cases = " ".join(f"WHEN {sql_literal(landed)} THEN {sql_literal(meant)}" for landed, meant in known.items())
    if default is not None:
        return f"CASE text_event_type {cases} ELSE {sql_literal(default)} END", "CAST(NULL AS VARCHAR)"
    listed = ", ".join(sql_literal(landed) for landed in known)
    unknown = f"CASE WHEN text_event_type NOT IN ({listed}) THEN text_event_type END"
    return f"CASE text_event_type {cases} ELSE text_event_type END", unknown
