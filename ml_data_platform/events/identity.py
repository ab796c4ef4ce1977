"""Which rows are one event, where the producer gives no event ids, as SQL text.

Belongs here: the values that identify an event, and how they are joined without ambiguity. Does not belong here: the
ids that are made of them (ids), reading values (event_mapping).

Values are compared, not bytes: a mapped column by its typed value, whatever its name and spelling; another one by its
landed text under its name. Absent, null and empty are one, and so the order of columns tells nothing apart.
"""

from __future__ import annotations

from collections.abc import Sequence

from ml_data_platform.events.sql_text import json_pointer, sql_list, sql_literal

POSITION_COLUMNS = ("", "_column_1", "Unnamed: 0", "__index_level_0__", "__index_level_1__", "__index_level_2__")
"""Columns in which data frames write the positions of rows: sent again, an event has another one. A first column of CSV
without a name lands as ``_column_1``."""

MAX_NAMES = 256
"""Rows with more names than that are taken apart one by one, whatever they hold."""


def framed(text: str) -> str:
    """Return SQL for ``<bytes>:<text>,``, or ``-,`` where the text is NULL, so that no two lists of texts are joined to one."""
    return f"coalesce(strlen({text}) || ':' || {text} || ',', '-,')"


def framed_value(value: str, text: str) -> str:
    """Return SQL for a typed value, framed; where the landed text cannot be read, for that text, marked as such.

    Args:
        value: SQL of the value, NULL where it is absent or cannot be read.
        text: SQL of the landed text, NULL where it is absent.
    """
    written = f"CAST({value} AS VARCHAR)"
    return (
        f"coalesce(strlen({written}) || ':' || {written} || ',', '~' || strlen({text}) || ':' || {text} || ',', '-,')"
    )


def composite_sql(texts: Sequence[str]) -> str:
    """Return SQL for the one text of a key that is made of several ids; NULL where one of them is absent."""
    is_whole = " AND ".join(f"{text} IS NOT NULL" for text in texts)
    return f"CASE WHEN {is_whole} THEN concat({', '.join(framed(text) for text in texts)}) END"


def framed_members(rest: str, landed: str, emptied: Sequence[str] = ()) -> str:
    """Return SQL for the filled members of a JSON object, framed and sorted; nested ones as JSON text.

    Args:
        rest: SQL of the object, without the members that are mapped.
        landed: SQL of what stands for it where it has a name twice.
        emptied: Names of objects that may be empty because their members are mapped.
    """
    entry = f"{framed('e.key')} || {framed('e.value')}"
    is_filled = "e.value <> ''"
    if emptied:
        is_filled += f" AND NOT (e.value = '{{}}' AND list_contains({sql_list(map(sql_literal, emptied))}, e.key))"
    members = f"map_entries(TRY_CAST({rest} AS MAP(VARCHAR, VARCHAR)))"
    kept = f"list_sort(list_transform({members}, lambda e: CASE WHEN {is_filled} THEN {entry} ELSE '' END))"
    return f"coalesce(array_to_string({kept}, ''), {framed(landed)})"


def framed_named_members(rest: str, names: Sequence[str], emptied: Sequence[str] = ()) -> str:
    """Return SQL for the same as `framed_members`, at a fraction of its cost, where all names of all rows are known.

    Args:
        rest: SQL of the object; members that are mapped may be in it.
        names: Names of all members that any row may have beside mapped ones.
        emptied: Names of objects that may be empty because their members are mapped.
    """
    if not names:
        return "''"
    keys = {f"{len(name.encode())}:{name},": name for name in names}
    ordered = sorted(keys, key=str.encode)
    pointers = sql_list(sql_literal(json_pointer((keys[key],))) for key in ordered)
    framed_names = f"({sql_list(map(sql_literal, ordered))})"
    is_filled = "v <> ''"
    if emptied:
        keys_emptied = sql_list(sql_literal(key) for key in ordered if keys[key] in emptied)
        is_filled += f" AND NOT (v = '{{}}' AND list_contains({keys_emptied}, {framed_names}[i]))"
    entry = f"{framed_names}[i] || {framed('v')}"
    texts = f"json_extract_string({rest}, {pointers})"
    return f"array_to_string(list_transform({texts}, lambda v, i: CASE WHEN {is_filled} THEN {entry} ELSE '' END), '')"
