"""Where in a landed row the value of a column stands, and the SQL that takes it from there.

Belongs here: names that hold dots, and JSON text within a value. Does not belong here: which columns a contract reads
(contract_model), and what a text means (readings).

A column ``a.b`` is the member of that very name; else the member ``b`` of the object ``a``; else the member ``b`` of the
JSON text that stands in ``a``. In CSV a column is a cell, so that only the first and the last are there. The first place
that holds a value counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from ml_data_platform.events.sql_text import BLANKS, json_pointer, sql_list, sql_literal

MAX_SPLIT_EVERYWHERE = 4


@dataclass(frozen=True)
class Place:
    """One place at which a column may stand.

    Attributes:
        path: Keys within the landed object, or within the JSON text.
        text: Keys of the member with the JSON text; none where the column stands in the landed object itself.
    """

    path: tuple[str, ...]
    text: tuple[str, ...] = ()


def key_paths(column: str, *, is_flat: bool) -> tuple[tuple[str, ...], ...]:
    """Return the keys that may lead to a column within the landed object, the one that is tried first at the front.

    Args:
        column: Name of the landed column.
        is_flat: Rows have no objects within them, as those of CSV.
    """
    return ((column,),) if is_flat else tuple(_splits(column.split(".")))


def places(column: str, *, is_flat: bool) -> tuple[Place, ...]:
    """Return all places at which a column may stand, the one that is tried first at the front; see `key_paths`."""
    parts = column.split(".")
    found = [Place(path) for path in key_paths(column, is_flat=is_flat)]
    for cut in range(1, len(parts)):
        if all(parts):
            outer = ".".join(parts[:cut])
            holders = ((outer,),) if is_flat else tuple(_splits(parts[:cut]))
            found += [Place(path, holder) for holder in holders for path in _splits(parts[cut:])]
    return tuple(found)


def top_names(column: str, *, is_flat: bool) -> tuple[str, ...]:
    """Return the names of columns of a file that may hold a column, the one of its own name first."""
    return tuple(dict.fromkeys((place.text or place.path)[0] for place in places(column, is_flat=is_flat)))


def landed_text(column: str, *, is_flat: bool) -> str:
    """Return SQL for the text of a column of the row ``landed``, NULL where it is absent or null."""
    texts = [text_at(place) for place in places(column, is_flat=is_flat)]
    return texts[0] if len(texts) == 1 else f"coalesce({', '.join(texts)})"


def landed_kind(column: str, *, is_flat: bool) -> str:
    """Return SQL for the JSON type of the value whose text `landed_text` is."""
    found = places(column, is_flat=is_flat)
    kinds = {place: kind_at(place) for place in found}
    filled = [f"CASE WHEN {text_at(place)} IS NOT NULL THEN {kinds[place]} END" for place in found]
    return kinds[found[0]] if len(found) == 1 else f"coalesce({', '.join(filled)})"


def text_at(place: Place) -> str:
    """Return SQL for the text at one place of the row ``landed``, NULL where it is absent or null."""
    return f"json_extract_string({_document(place)}, {_pointer(place)})"


def kind_at(place: Place) -> str:
    """Return SQL for the JSON type of the value at one place."""
    return f"json_type({_document(place)}, {_pointer(place)})"


def landed_value(column: str, *, is_flat: bool) -> str:
    """Return SQL for the JSON value whose text `landed_text` is."""
    found = places(column, is_flat=is_flat)
    values = {place: f"json_extract({_document(place)}, {_pointer(place)})" for place in found}
    filled = [f"CASE WHEN {text_at(place)} IS NOT NULL THEN {values[place]} END" for place in found]
    return values[found[0]] if len(found) == 1 else f"coalesce({', '.join(filled)})"


def texts_query(columns: Sequence[str], beside: str, relation: str, *, is_flat: bool) -> str:
    """Return SQL that adds the list ``texts`` to rows: the text of each column, in one pass over the row for most.

    Args:
        columns: Landed columns.
        beside: SQL of the columns that are selected beside.
        relation: FROM item with ``landed``, and what follows it; inserted as it is.
        is_flat: Rows have no objects within them, as those of CSV.
    """
    own = {column: key_pointers(column, is_flat=is_flat) for column in columns}
    pointers = sql_list(pointer for each in own.values() for pointer in each)
    found = f"json_extract_string(landed, {pointers})"
    if all(len(places(column, is_flat=is_flat)) == 1 for column in columns):
        return f"SELECT {beside}, {found} AS texts FROM {relation}"
    texts, at = [], 1
    for column, each in own.items():
        candidates = [f"found[{at + number:d}]" for number in range(len(each))]
        candidates += [text_at(place) for place in places(column, is_flat=is_flat) if place.text]
        texts.append(f"coalesce({', '.join(candidates)})" if len(candidates) > 1 else candidates[0])
        at += len(each)
    return f"SELECT {beside}, {sql_list(texts)} AS texts FROM (SELECT *, {found} AS found FROM {relation})"


def key_pointers(column: str, *, is_flat: bool) -> list[str]:
    """Return SQL literals of the JSON pointers to `key_paths`."""
    return [sql_literal(json_pointer(path)) for path in key_paths(column, is_flat=is_flat)]


def without_paths(paths: Iterable[tuple[str, ...]]) -> str:
    """Return SQL for the row ``landed`` without the members at these paths."""
    paths = list(dict.fromkeys(paths))
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


def with_member_query(name: str, relation: str) -> str:
    """Return SQL for rows with one member more where they do not have it: ``source_row``, ``landed``, ``defect``.

    Args:
        name: The member's name; the parameter ``$member`` is the text that ends an object with it.
        relation: FROM item of such rows; inserted as it is.
    """
    bare = f"rtrim(landed, {sql_literal(BLANKS)})"
    opening = f"left({bare}, -1) || CASE WHEN len(json_keys(landed)) = 0 THEN '' ELSE ',' END"
    is_left = f"defect IS NOT NULL OR json_exists(landed, {sql_literal(json_pointer((name,)))})"
    return f"""
SELECT source_row, CASE WHEN {is_left} THEN landed ELSE {opening} || $member END AS landed, defect
FROM {relation} AS landed_rows ORDER BY source_row"""


def _splits(parts: Sequence[str]) -> list[tuple[str, ...]]:
    """All ways to read parts of a name as keys, those of fewer keys first; of a long name the two plain ones."""
    if len(parts) > MAX_SPLIT_EVERYWHERE or not all(parts):
        return list(dict.fromkeys([(".".join(parts),), tuple(parts)]))
    found = []
    for count in range(len(parts)):
        for cuts in combinations(range(1, len(parts)), count):
            bounds = [0, *cuts, len(parts)]
            found.append(tuple(".".join(parts[a:b]) for a, b in pairwise(bounds)))
    return found


def _pointer(place: Place) -> str:
    return sql_literal(json_pointer(place.path))


def _document(place: Place) -> str:
    """SQL for the JSON that a place lies in: the row, or the text of one of its members where that is JSON."""
    if not place.text:
        return "landed"
    pointer = sql_literal(json_pointer(place.text))
    text = f"json_extract_string(landed, {pointer})"
    is_json = f"json_type(landed, {pointer}) = 'VARCHAR' AND json_valid({text})"
    return f"CASE WHEN {is_json} THEN {text} END"


def _json_literal(value: object) -> str:
    return sql_literal(json.dumps(value, ensure_ascii=False))
