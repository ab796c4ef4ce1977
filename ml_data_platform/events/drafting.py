"""Writing the draft of a source contract as YAML with its reasons beside it.

Belongs here: layout and comments. Does not belong here: what the draft says (inference).
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from ml_data_platform.errors import bounded
from ml_data_platform.events.draft import Draft, Remark

WIDTH = 110
MAX_REMARK = 300


def write_draft(draft: Draft, *, origin: str) -> str:
    """Return the draft as the text of a YAML file.

    Args:
        draft: What to write.
        origin: One line about what it was drafted from.

    Returns:
        YAML with comments above each key that there is something to say about; ``CHECK`` marks what its author must
        look at. It loads as a contract where nothing is missing.
    """
    lines = [
        f"# {bounded(origin, WIDTH)}",
        "# Lines with CHECK are guesses: look at them, then try the contract with `sources check`.",
    ]
    lines += [f"# MISSING {lack}; name its column under `columns`." for lack in draft.missing]
    lines += _comments(draft.remarks.get("", ()), "")
    for key, value in draft.keys.items():
        lines += _entry(key, value, (key,), draft.remarks)
    return "\n".join(lines) + "\n"


def source_name(file_name: str) -> str:
    """Return a name for the source of a file, e.g. ``shop_export`` for ``Shop-Export 2026-06-01.csv.gz``."""
    # What tells one file of the source from the next is no part of the source's name.
    stem = re.sub(r"[0-9]{4}-?[0-9]{2}(-?[0-9]{2})?([t_ ]?[0-9]{2}(:?[0-9]{2})*z?)?", "_", file_name.lower())
    words = [word for word in re.split(r"[^a-z0-9]+", stem.split(".", 1)[0]) if word and not word.isdigit()]
    name = "_".join(words).lstrip("0123456789_")[:63].rstrip("_")
    return name or "source"


def _entry(key: str, value: Any, path: tuple[str, ...], remarks: Mapping[str, Sequence[Remark]]) -> Iterator[str]:
    indent = "  " * (len(path) - 1)
    if path[:2] == ("event_type", "mapping") and len(path) == 3:
        found = "; ".join(_text(remark) for remark in remarks.get(".".join(path), ()))
        yield f"{indent}{_scalar(key)}: {_scalar(value)}{f'  # {found}' if found else ''}"
        return
    yield from _comments(remarks.get(".".join(path), ()), indent)
    if isinstance(value, Mapping) and value and len(path) < 3:
        yield f"{indent}{_scalar(key)}:"
        for name, inner in value.items():
            yield from _entry(str(name), inner, (*path, str(name)), remarks)
    else:
        yield f"{indent}{_scalar(key)}: {_scalar(value)}"


def _comments(remarks: Sequence[Remark], indent: str) -> Iterator[str]:
    for remark in remarks:
        for line in textwrap.wrap(_text(remark), WIDTH, break_on_hyphens=False):
            yield f"{indent}# {line}"


def _text(remark: Remark) -> str:
    return bounded(f"CHECK {remark.text}" if remark.is_doubt else remark.text, MAX_REMARK)


def _scalar(value: Any) -> str:
    """Return a value as YAML on one line."""
    is_plain = not isinstance(value, str) or value.isprintable()
    style = None if is_plain else '"'
    text = yaml.safe_dump(value, default_flow_style=True, default_style=style, allow_unicode=is_plain, width=10**9)
    return text.removesuffix("\n").removesuffix("\n...").strip()
