"""Event times written in a producer's own format, e.g. ``%d.%m.%Y %H:%M``.

Belongs here: which strptime directives a contract may use, what is wrong with a format, and the SQL that reads a
text by it. Does not belong here: ISO-8601 and epochs (readings), and which column holds the text (contracts).

A text must match the format to the letter: it is guarded by a regular expression, because strptime implementations
differ in what they let pass (white space, short fields, trailing text).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from ml_data_platform.events.sql_text import sql_literal

_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"

DIRECTIVES: Mapping[str, str] = MappingProxyType(
    {
        "Y": "[0-9]{4}",
        "y": "[0-9]{2}",
        "m": "[0-9]{1,2}",
        "b": "|".join(month[:3] for month in _MONTHS.split("|")),
        "B": _MONTHS,
        "d": "[0-9]{1,2}",
        "H": "[0-9]{1,2}",
        "I": "[0-9]{1,2}",
        "M": "[0-9]{1,2}",
        "S": "[0-9]{1,2}",
        "f": "[0-9]+",
        "p": "am|pm",
        "z": "[+-](?:0[0-9]|1[0-4]):?[0-5][0-9]",
    }
)
"""Directive to the texts that it stands for, any case; the field's meaning is that of Python's ``strptime``."""

_TWO_DIGITS = frozenset("mdHIMS")
_DATE_PARTS = {"year": "Yy", "month": "mbB", "day": "d"}
# Within the pattern of a format with %f: what stands before, the digits that are read, and what stands behind.
_CUT = r"\1\2\3"
_PIECE = re.compile(r"%(.?)|([^%]+)", re.DOTALL)


def format_fault(text: str) -> str | None:
    """Return what is wrong with a format, or None.

    Args:
        text: The format as the contract has it.
    """
    found = [directive for directive, _ in _pieces(text) if directive]
    unknown = [name for name in found if name not in DIRECTIVES]
    repeated = [name for name in found if found.count(name) > 1]
    faults = [f"has the directive %{name}, which is not taken" for name in unknown]
    faults += [f"has %{name} more than once" for name in repeated]
    for meaning, names in _DATE_PARTS.items():
        if sum(name in found for name in names) != 1:
            faults.append(f"must have one directive of the {meaning}: {' or '.join(f'%{name}' for name in names)}")
    if "H" in found and {"I", "p"} & set(found):
        faults.append("has %H and also the hour of a 12-hour clock")
    if ("I" in found) != ("p" in found):
        faults.append("has only one of %I and %p")
    if "f" in found and "S" not in found:
        faults.append("has %f without %S")
    return faults[0] if faults else None


def read_formatted_instant(text: str, written_as: str, zone: str) -> str:
    """Return SQL for the TIMESTAMPTZ that a text in a format stands for, else NULL; ``%f`` is cut to microseconds.

    A local time that a zone skips or repeats is read as `readings.read_iso_instant` does.

    Args:
        text: SQL expression of the text.
        written_as: A format without fault (`format_fault`). Without a time of day, midnight is meant.
        zone: IANA zone of formats without ``%z``.
    """
    directives = {directive for directive, _ in _pieces(written_as)}
    pattern, read = sql_literal(_pattern(written_as)), text
    if "f" in directives:
        read = f"regexp_replace({text}, {pattern}, {sql_literal(_CUT)})"
    read = f"try_strptime({read}, {sql_literal(written_as)})"
    if "z" not in directives:
        read = f"TRY(timezone({sql_literal(zone)}, {read}))"
    return f"CASE WHEN regexp_full_match({text}, {pattern}) THEN {read} END"


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Yield (directive, "") and ("", literal text) in order."""
    for match in _PIECE.finditer(text):
        directive, literal = match.groups()
        yield ("", "%") if directive == "%" else (directive or ("" if literal else "%"), literal or "")


def _pattern(text: str) -> str:
    pieces = list(_pieces(text))
    pattern = ""
    for at, (directive, literal) in enumerate(pieces):
        if not directive:
            pattern += re.escape(literal)
            continue
        # Next to other digits a field has no end but its width.
        beside = [name for name, _ in (*pieces[max(at - 1, 0) : at], *pieces[at + 1 : at + 2])]
        is_tight = directive in _TWO_DIGITS and bool({*_TWO_DIGITS, "Y", "y", "f"}.intersection(beside))
        if directive == "f":
            is_ended = not pieces[at + 1 : at + 2] or pieces[at + 1][0] not in {*_TWO_DIGITS, "Y", "y"}
            pattern = f"({pattern})([0-9]{{1,6}}){'[0-9]*' if is_ended else ''}("
        else:
            pattern += f"(?:{'[0-9]{2}' if is_tight else DIRECTIVES[directive]})"
    closing = ")" if any(directive == "f" for directive, _ in pieces) else ""
    return f"(?is)^{pattern}{closing}$"
