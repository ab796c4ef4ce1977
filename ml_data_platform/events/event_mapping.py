"""The canonical events of one source, as SQL text.

Belongs here: which text feeds which canonical column, per schema version, and what is reported when it
cannot. Does not belong here: the grammars (readings), the ids (ids), the union of all sources (parsing).

The query is a stack of projections, each using the columns of the one below: all texts of a row at once;
texts that are scalars; texts that are ids; values per schema version, upcast; the event id; canonical columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ml_data_platform.events.broken_rules import broken_before_masking, without_broken_rules
from ml_data_platform.events.contract_model import LABEL_FIELD, SourceContract
from ml_data_platform.events.id_texts import PLACEHOLDERS, absent_texts, id_text_sql, placeholder_of_sql, trimmed_sql
from ml_data_platform.events.identity import (
    POSITION_COLUMNS,
    composite_sql,
    framed,
    framed_members,
    framed_named_members,
    framed_value,
)
from ml_data_platform.events.ids import (
    anonymous_text_sql,
    anonymous_user_id_sql,
    hashed_event_id_sql,
    producer_event_id_sql,
    session_digest_sql,
    session_uuid_sql,
    user_id_sql,
)
from ml_data_platform.events.landed_paths import key_paths, landed_kind, landed_value, texts_query, without_paths
from ml_data_platform.events.masking_plan import ROW_KEY, masking_plan
from ml_data_platform.events.number_marks import plain_number
from ml_data_platform.events.readings import read_value
from ml_data_platform.events.registry_file import SHIPPED_REGISTRY
from ml_data_platform.events.schema_versions import ID_COLUMNS, FieldType
from ml_data_platform.events.sql_text import by_version, present, sql_literal

MAX_SHOWN = 200
_RAW_COLUMNS = "source, source_file, source_row, event_time, schema_version, landed"
_CANONICAL = SHIPPED_REGISTRY.canonical_types
_READ = tuple(name for name, kind in _CANONICAL.items() if not kind.is_instant)
_CHECKED = tuple(name for name in _READ if _CANONICAL[name] is not FieldType.TEXT)


def map_source(contract: SourceContract, relation: str, names: Sequence[str] | None = None) -> str:
    """Return the mapping query of one source; see ``parsing.mapping_query``.

    Args:
        contract: The contract of the source.
        relation: FROM item with its rows.
        names: Names of all members of all its rows; None where they are not known.
    """
    taken = [_taken(contract, version) for version in contract.versions]
    columns = {column for each in taken for names in each.values() for column in names}
    at = {column: place for place, column in enumerate(sorted({*columns, *contract.identity}), start=1)}
    found = ", broken_rules" if contract.pii is not None else ""
    return f"""
SELECT {_canonical_columns(contract, at)}
FROM (SELECT *, {_session_digest(contract)} AS session_digest
FROM (SELECT *, {_event_id(contract, at, names)} AS event_id
FROM (SELECT *, {_versioned_columns(contract, at)}
FROM (SELECT *, {_ids(contract, at)}
FROM (SELECT *, {_scalars(contract, at)}
FROM ({texts_query(list(at), f"{_RAW_COLUMNS}{found}", _rows(contract, relation), is_flat=contract.is_flat)}))))))"""


def _rows(contract: SourceContract, relation: str) -> str:
    """Rows of the source; of masked ones, what was found of them before the mask stands beside them."""
    rows = f"(SELECT {_RAW_COLUMNS} FROM {relation} AS raw_rows WHERE source = {sql_literal(contract.source)})"
    if contract.pii is None:
        return rows
    landed = without_broken_rules("landed")
    return f"(SELECT * REPLACE ({landed} AS landed), {broken_before_masking()} AS broken_rules FROM {rows})"


def _scalars(contract: SourceContract, at: Mapping[str, int]) -> str:
    """Texts as ``t<n>``; where an object or array stands, the text is NULL and ``n<n>`` is true."""
    parts = []
    for column, place in at.items():
        text = f"texts[{place}]"
        if not _may_be_nested(contract, column):
            parts.append(f"{text} AS t{place}, false AS n{place}")
            continue
        # The kind costs another pass over the row, so only a text that looks like JSON pays for it.
        kind = landed_kind(column, is_flat=contract.is_flat)
        nested = f"coalesce(CASE WHEN {text}[1] IN ('{{', '[') THEN {kind} <> 'VARCHAR' END, false)"
        parts.append(f"CASE WHEN NOT {nested} THEN {text} END AS t{place}, {nested} AS n{place}")
    return ", ".join(parts)


def _may_be_nested(contract: SourceContract, column: str) -> bool:
    return not contract.is_flat or len(contract.top_names(column)) > 1


def _ids(contract: SourceContract, at: Mapping[str, int]) -> str:
    """The ids that texts write, as ``i<n>``, for columns that fields of ids are made of."""
    columns = {
        column
        for version in contract.versions
        for name, columns in _taken(contract, version).items()
        if name in ID_COLUMNS
        for column in columns
    }
    absent = contract.absent_ids
    found = (f"{id_text_sql(f't{at[column]}', absent)} AS i{at[column]}" for column in sorted(columns))
    return ", ".join(found) or "true AS has_no_ids"


def _versioned_columns(contract: SourceContract, at: Mapping[str, int]) -> str:
    texts: dict[str, dict[int, str]] = {name: {} for name in _READ}
    values: dict[str, dict[int, str]] = {name: {} for name in _READ}
    for version in contract.versions:
        taken = _taken(contract, version)
        described = contract.registry.versions[version].fields
        landed = {name: f"t{at[column]}" for name, column in contract.fields(version).items() if column in at}
        read = {name: read_field(contract, text, described[name].type) for name, text in landed.items()}
        current_value = contract.registry.canonical_values(read, version)
        for name in _READ:
            null = f"CAST(NULL AS {_CANONICAL[name].sql_type})"
            texts[name][version] = _text(contract, version, name, at) if name in taken else "CAST(NULL AS VARCHAR)"
            values[name][version] = current_value.get(name, null)
    parts = [f"{by_version(texts[name])} AS text_{name}" for name in _READ]
    parts += [f"{by_version(values[name])} AS value_{name}" for name in _CHECKED]
    parts.append(f"{by_version({v: _nested_fields(contract, v, at) for v in contract.versions})} AS nested_fields")
    parts.append(f"{by_version({v: _attributes(contract, v) for v in contract.versions})} AS attributes")
    return ",\n    ".join(parts)


def _text(contract: SourceContract, version: int, name: str, at: Mapping[str, int]) -> str:
    """The text of a canonical column that something feeds, NULL where it is absent."""
    columns = _taken(contract, version)[name]
    if name not in ID_COLUMNS:
        return present(f"t{at[columns[0]]}")
    ids = [f"i{at[column]}" for column in columns]
    if len(ids) == 1:
        return ids[0]
    return f"coalesce({', '.join(ids)})" if _is_first_of(contract, version, name) else composite_sql(ids)


def _is_first_of(contract: SourceContract, version: int, name: str) -> bool:
    fields = contract.registry.canonical_columns(version)
    return any(contract.is_first_of(field) for field, column in fields.items() if column == name)


def _taken(contract: SourceContract, version: int) -> dict[str, tuple[str, ...]]:
    """Canonical column to the landed columns that feed it in rows of one version."""
    landed = contract.field_columns(version)
    return {
        column: landed[name] for name, column in contract.registry.canonical_columns(version).items() if name in landed
    }


def read_field(contract: SourceContract, text: str, kind: FieldType) -> str:
    """Return SQL for the value that a text of a field of this type writes, NULL where it writes none."""
    if kind is FieldType.NUMBER and contract.format == "csv":
        text = plain_number(text, thousands=contract.csv.thousands, decimal=contract.csv.decimal)
    # The event time was read when the row was dated.
    return "event_time" if kind.is_instant else read_value(text, kind)


def _event_id(contract: SourceContract, at: Mapping[str, int], names: Sequence[str] | None) -> str:
    """The producer's event id; where there is none and none is asked for, one made of what identifies the event."""
    own = {version: _own_event_id(contract, version) for version in contract.versions}
    hashed = hashed_event_id_sql(contract.source, _identity(contract, at, names))
    if contract.has_stated_event_ids:
        hashed = "CAST(NULL AS VARCHAR)"
    return by_version({v: hashed if text is None else f"coalesce({text}, {hashed})" for v, text in own.items()})


def _own_event_id(contract: SourceContract, version: int) -> str | None:
    columns = _taken(contract, version).get("event_id")
    if columns is None:
        return None
    if len(columns) == 1 or _is_first_of(contract, version, "event_id"):
        return producer_event_id_sql(contract.source, "text_event_id")
    return f"CASE WHEN text_event_id IS NOT NULL THEN {hashed_event_id_sql(contract.source, ['text_event_id'])} END"


def _identity(contract: SourceContract, at: Mapping[str, int], names: Sequence[str] | None) -> list[str]:
    """What tells the event of a row from others, as framed texts."""
    if contract.identity:
        return [
            by_version({v: _identifying(contract, v, name, at) for v in contract.versions})
            for name in contract.identity
        ]
    parts = [framed("CAST(epoch_us(event_time) AS VARCHAR)")]
    for name in ("user_id", "session_uuid"):
        ids = {v: [f"i{at[column]}" for column in _taken(contract, v).get(name, ())] for v in contract.versions}
        parts.append(by_version({v: " || ".join(map(framed, each)) or "'-,'" for v, each in ids.items()}))
    parts += [_framed_canonical(name) for name in _READ if name not in ID_COLUMNS]
    parts.append(by_version({v: _unmapped(contract, v, names) for v in contract.versions}))
    place = [framed("source_file"), framed("CAST(source_row AS VARCHAR)")]
    return [*parts, *place] if contract.duplicates == "keep" else parts


def _identifying(contract: SourceContract, version: int, column: str, at: Mapping[str, int]) -> str:
    """The value of one column of ``identity``: as it is mapped, else as it landed."""
    if column in contract.time_columns(version):
        return framed("CAST(epoch_us(event_time) AS VARCHAR)")
    for name, columns in _taken(contract, version).items():
        if column in columns:
            return framed(f"i{at[column]}") if name in ID_COLUMNS else _framed_canonical(name)
    return framed(f"nullif(texts[{at[column]}], '')")


def _framed_canonical(name: str) -> str:
    if name not in _CHECKED:
        return framed(f"text_{name}")
    # Of the two zeros of a double one is as good as the other.
    value = f"(value_{name} + 0)" if _CANONICAL[name] is FieldType.NUMBER else f"value_{name}"
    return framed_value(value, f"text_{name}")


def _unmapped(contract: SourceContract, version: int, names: Sequence[str] | None) -> str:
    """All that landed in columns that are not mapped, framed."""
    taken = {column for columns in _taken(contract, version).values() for column in columns}
    fields = contract.fields(version).values()
    mapped = [column for column in contract.landed_columns(version) if column in taken or column not in fields]
    paths = [path for column in dict.fromkeys(mapped) for path in key_paths(column, is_flat=contract.is_flat)]
    flat = {path[0] for path in paths if len(path) == 1} | set(POSITION_COLUMNS)
    nested = [path for path in paths if len(path) > 1]
    emptied = sorted({path[0] for path in nested})
    if names is None:
        return framed_members(without_paths([*((name,) for name in sorted(flat)), *nested]), "landed", emptied)
    rest = without_paths(nested) if nested else "landed"
    return framed_named_members(rest, [name for name in names if name not in flat], emptied)


def _nested_fields(contract: SourceContract, version: int, at: Mapping[str, int]) -> str:
    taken = dict.fromkeys(column for columns in _taken(contract, version).values() for column in columns)
    columns = [column for column in taken if _may_be_nested(contract, column)]
    if not columns:
        return "CAST(NULL AS VARCHAR)"
    names = ", ".join(f"CASE WHEN n{at[column]} THEN {sql_literal(column)} END" for column in columns)
    return f"nullif(left(concat_ws(', ', {names}), {MAX_SHOWN}), '')"


def _attributes(contract: SourceContract, version: int) -> str:
    """Landed columns that feed no canonical column, as JSON text; fields among them stand under their field names."""
    taken = {column for columns in _taken(contract, version).values() for column in columns}
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
    return without_paths(path for column in columns for path in key_paths(column, is_flat=contract.is_flat))


def _with_fields(rest: str, contract: SourceContract, fields: Mapping[str, str]) -> str:
    for name, column in fields.items():
        value = landed_value(column, is_flat=contract.is_flat)
        # A patch of null takes away, so that a field without a value is left out.
        rest = f"json_merge_patch({rest}, json_object({sql_literal(name)}, {value}))"
    return rest


def _session_digest(contract: SourceContract) -> str:
    if contract.ids.anonymous == "reject":
        return session_digest_sql(contract.source, "text_session_uuid")
    alone = f"CASE WHEN text_user_id IS NULL THEN {anonymous_text_sql('event_id')} END"
    return session_digest_sql(contract.source, f"coalesce(text_session_uuid, {alone})")


def _user_id(contract: SourceContract) -> str:
    user = user_id_sql(contract.domain, "text_user_id")
    return f"coalesce({user}, {anonymous_user_id_sql('event_id')})" if contract.ids.anonymous == "admit" else user


def _canonical_columns(contract: SourceContract, at: Mapping[str, int]) -> str:
    event_type, unknown = _event_type(contract.known_event_types, contract.event_type.default)
    unreadable = {name: f"left(CASE WHEN value_{name} IS NULL THEN text_{name} END, {MAX_SHOWN})" for name in _CHECKED}
    is_unlabelled = f"text_{LABEL_FIELD} IS NULL" if contract.label is not None else "false"
    columns = {
        "event_id": "event_id",
        "user_id": _user_id(contract),
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
        "placeholder_id": _placeholder(contract, at),
        "has_own_event_id": "text_event_id IS NOT NULL",
        **({"broken_rules": "broken_rules"} if contract.pii is not None else {}),
    }
    return ",\n    ".join(f"{expression} AS {name}" for name, expression in columns.items())


def _placeholder(contract: SourceContract, at: Mapping[str, int]) -> str:
    """What stands in place of an id, with the canonical column: what the contract itself calls absent is known."""
    said = contract.ids
    known = absent_texts((), said.sentinels)
    if said.anonymous == "admit" or "null_markers" in said.model_fields_set:
        known = contract.absent_ids
    words = {*absent_texts(PLACEHOLDERS, ()), *contract.absent_ids} - set(known)
    found = {}
    for version in contract.versions:
        taken = _taken(contract, version)
        told = (
            f"{sql_literal(name + ': ')} || ({placeholder_of_sql(places, words, is_first_of=is_first_of)})"
            for name in ID_COLUMNS
            if name in taken
            for places, is_first_of in [([at[each] for each in taken[name]], _is_first_of(contract, version, name))]
        )
        found[version] = f"coalesce({', '.join(told)}, NULL)"
    return by_version(found)


def _event_type(known: Mapping[str, str], default: str | None) -> tuple[str, str]:
    """The canonical type and the text that is none; blanks around a text, as in columns of fixed width, are none of it."""
    cases = " ".join(f"WHEN {sql_literal(landed)} THEN {sql_literal(meant)}" for landed, meant in known.items())
    bare = trimmed_sql("text_event_type")
    found = f"coalesce(CASE text_event_type {cases} END, CASE {bare} {cases} END"
    if default is not None:
        return f"{found}, {sql_literal(default)})", "CAST(NULL AS VARCHAR)"
    listed = ", ".join(sql_literal(landed) for landed in known)
    unknown = f"CASE WHEN text_event_type NOT IN ({listed}) AND {bare} NOT IN ({listed}) THEN text_event_type END"
    return f"{found}, text_event_type)", unknown
