"""Where values begin and end in JSON text, so that what stays of it keeps its exact form.

Belongs here: positions. Does not belong here: what a value means, and what becomes of it (``masking``).
"""

from __future__ import annotations

import re
from json.decoder import scanstring  # type: ignore[attr-defined]

_BLANKS = re.compile(r"[ \t\r\n]*")
_PLAIN = re.compile(r"[^\s,\]}]+")


def after_blanks(text: str, at: int) -> int:
    """Return where something stands that is no blank, from a position on."""
    match = _BLANKS.match(text, at)
    return match.end() if match else at


def end_of(text: str, at: int) -> int:
    """Return where the value that begins at ``at`` ends."""
    if text[at] == '"':
        end: int = scanstring(text, at + 1, False)[1]
        return end
    if text[at] not in "{[":
        match = _PLAIN.match(text, at)
        if match is None:
            raise ValueError("no value")
        return match.end()
    depth = 0
    while True:
        if text[at] == '"':
            at = scanstring(text, at + 1, False)[1]
            continue
        depth += text[at] in "{["
        depth -= text[at] in "}]"
        at += 1
        if not depth:
            return at
