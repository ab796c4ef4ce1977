"""Names that look alike and are not the same: blanks, invisible characters, normal forms, capitals.

Belongs here: finding them, and saying what cannot be seen. Does not belong here: names that are probably meant
(``column_roles.near_names``).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

MAX_SHOWN = 5


def alike_names(wanted: Iterable[str], found: Iterable[str]) -> tuple[str, ...]:
    r"""Say which names that exist look like a wanted one that does not, and in what they differ.

    Args:
        wanted: Names that do not exist.
        found: Names that exist.

    Returns:
        One text per pair, e.g. ``'user_id' stands there as 'user_id\xa0' (U+00A0 NO-BREAK SPACE at 8)``; at most
        ``MAX_SHOWN``.
    """
    by_look: dict[str, list[str]] = {}
    for name in found:
        by_look.setdefault(_look(name), []).append(name)
    pairs = [(name, other) for name in wanted for other in by_look.get(_look(name), ()) if other != name]
    return tuple(
        f"{name!r} stands there as {other!a} ({_difference(name, other)})" for name, other in pairs[:MAX_SHOWN]
    )


def _look(name: str) -> str:
    """Return what a reader sees: neither blanks at the ends nor what has no width, in one normal form and case."""
    seen = "".join(character for character in unicodedata.normalize("NFKC", name) if not _is_invisible(character))
    return " ".join(seen.split()).casefold()


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in {"Cf", "Cc"} and not character.isspace()


def _difference(wanted: str, found: str) -> str:
    if unicodedata.normalize("NFC", wanted) == unicodedata.normalize("NFC", found):
        form = next((form for form in ("NFC", "NFD") if unicodedata.is_normalized(form, found)), "no normal form")
        return f"the same letters in another Unicode normal form, {form}"
    odd = [
        f"{_named(character)} at {at}"
        for at, character in enumerate(found, start=1)
        if character not in wanted and (_is_invisible(character) or character.isspace())
    ]
    if odd:
        return ", ".join(odd[:MAX_SHOWN])
    if wanted.strip() == found.strip():
        return "blanks before or behind it"
    if wanted.casefold() == found.casefold():
        return "other capitals"
    return "characters that look alike"


def _named(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, 'control character')}"
