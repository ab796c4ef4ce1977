"""Columns whose value stands in a file's path, as Hive, Spark and pyarrow write it: ``dt=2026-06-01/region=eu/part.csv``.

Belongs here: which values a path has for a contract, and what they make of the file's content. Does not belong here: reading
files, and keeping the values (the ledger).

Only columns that the contract names are taken from a path, and only where a row has none of its own. The same bytes under
paths of other values are other rows, so that such a content goes by a hash of both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import PurePath
from urllib.parse import unquote

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
PathValues = Mapping[str, str | None]


def path_values(where: str, columns: Collection[str]) -> dict[str, str | None]:
    """Return the values that the folders of a path have for columns, by name; the innermost counts.

    Args:
        where: Path or address of a file.
        columns: Columns that the contract names.
    """
    found: dict[str, str | None] = {}
    for part in PurePath(where).parts[:-1]:
        name, has_value, value = part.partition("=")
        if has_value and unquote(name) in columns:
            found[unquote(name)] = None if value == HIVE_NULL else _text(unquote(value))
    return dict(sorted(found.items()))


def _text(value: str) -> str:
    """Return a value of a path, which need not be text, as text."""
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def content_hash_with(sha256: str, values: PathValues) -> str:
    """Return the hash, hex, by which a content with values of its path goes; without any, its own."""
    if not values:
        return sha256
    facts = json.dumps(["path", sha256, sorted(values.items())], separators=(",", ":"))
    return hashlib.sha256(facts.encode("utf-8", "surrogatepass")).hexdigest()
