"""Text as Dagster's UI and logs show it: nothing else here makes Markdown, metadata or descriptions of results.

Belongs here: making names and values of producers harmless in the UI, where Markdown with an image would load it from
wherever they say, and in logs, which end in terminals. Does not belong here: what is shown, or what is harmless
(``events.untrusted_text``).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from ml_data_platform.events.untrusted_text import markdown, plain

NOTHING = "none"


def described(text: str) -> str:
    """Return the description of a result; the UI may read it as Markdown."""
    return markdown(text)


def listed(lines: Iterable[str], *, nothing: str = NOTHING) -> dg.MetadataValue[Any] | str:
    """Return lines as a list, or a word where there are none."""
    text = "\n".join(f"- {markdown(line)}" for line in lines)
    return dg.MetadataValue.md(text) if text else nothing


def table(rows: Iterable[Mapping[str, Any]]) -> dg.MetadataValue[Any]:
    """Return rows, at least one, as a table."""
    return dg.MetadataValue.table([dg.TableRecord(_plain_values(row)) for row in rows])


def own_markdown(text: str) -> dg.MetadataValue[Any]:
    """Return Markdown that this platform wrote, with the texts of others in it escaped there."""
    return dg.MetadataValue.md(text)


def image(png: bytes, title: str) -> dg.MetadataValue[Any]:
    """Return a picture that lies in the metadata itself."""
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})")


def facts(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata whose texts hold no control characters."""
    return _plain_values(metadata)


def _plain_values(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) if isinstance(value, str) else value for name, value in values.items()}
