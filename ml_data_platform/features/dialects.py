"""The few expressions that SQL engines spell differently.

Belongs here: one table of primitives per engine, and the expansion of ``@name(argument, …)`` and ``$slot``
in a query's text. Does not belong here: queries. A query is written once; everything outside a primitive
must mean the same on every engine, so the text keeps to these rules: window orders are total and state
where nulls go, money is integer cents, sums are cast to BIGINT, both sides of a division are DOUBLE,
instants are compared as microseconds since 1970-01-01T00:00Z.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ml_data_platform.errors import QueryTextError

_PRIMITIVE = re.compile(r"@([a-z][a-z0-9_]*)\(")
_SLOT = re.compile(r"\$\{([a-z][a-z0-9_]*)\}")
_LITERAL = re.compile(r"'(?:[^']|'')*'")


@dataclass(frozen=True)
class Dialect:
    """One engine's spelling of the primitives.

    Attributes:
        name: The engine.
        primitives: Name of a primitive to its expression, with ``{0}``, ``{1}`` … for the arguments.
    """

    name: str
    primitives: Mapping[str, str]


DUCKDB = Dialect(
    "duckdb",
    {
        # Instants: never through the session's time zone, which would make the result depend on it.
        "micros": "epoch_us({0})",
        "instant": "make_timestamptz(CAST({0} AS BIGINT))",
        "hour": "CAST(hour(make_timestamp(epoch_us({0}))) AS TINYINT)",
        "weekday": "CAST(isodow(make_timestamp(epoch_us({0}))) - 1 AS TINYINT)",
        # A keyed 32-bit hash as BIGINT, from the first 8 hex digits of md5.
        "hash32": "CAST('0x' || substr(md5({0}), 1, 8) AS BIGINT)",
        "shift_right": "(({0}) >> {1})",
    },
)

SPARK = Dialect(
    "spark",
    {
        # These need spark.sql.session.timeZone=UTC: Spark has no zone-free hour of an instant.
        "micros": "unix_micros({0})",
        "instant": "timestamp_micros(CAST({0} AS BIGINT))",
        "hour": "CAST(hour({0}) AS TINYINT)",
        "weekday": "CAST(weekday({0}) AS TINYINT)",
        "hash32": "CAST(conv(substr(md5({0}), 1, 8), 16, 10) AS BIGINT)",
        "shift_right": "shiftright({0}, {1})",
    },
)


def render(text: str, dialect: Dialect, slots: Mapping[str, str] | None = None) -> str:
    """Turn portable text into a query of one engine.

    Args:
        text: SQL with ``@primitive(argument, …)`` and ``${slot}``. Neither is looked for inside quotes.
        dialect: The engine.
        slots: Slot name to SQL text. The text may hold primitives, but no slots.

    Returns:
        The query.

    Raises:
        QueryTextError: A primitive or a slot is unknown, or a parenthesis is not closed.
    """
    values = slots or {}

    def fill(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise QueryTextError("a query has a slot without a value", slot=match[1], expected=sorted(values))
        return values[match[1]]

    return _expand(_SLOT.sub(fill, text), dialect)


def _expand(text: str, dialect: Dialect) -> str:
    """Expand primitives from the left; arguments first, so that primitives nest."""
    pieces: list[str] = []
    position = 0
    quoted = [match.span() for match in _LITERAL.finditer(text)]
    for match in _PRIMITIVE.finditer(text):
        if match.start() < position or any(start < match.start() < end for start, end in quoted):
            continue
        if match[1] not in dialect.primitives:
            raise QueryTextError(
                "a query uses a primitive that the dialect lacks",
                remedy="Add it to every dialect.",
                primitive=match[1],
                dialect=dialect.name,
            )
        arguments, end = _arguments(text, match.end())
        expanded = [_expand(argument, dialect) for argument in arguments]
        pieces += [text[position : match.start()], dialect.primitives[match[1]].format(*expanded)]
        position = end
    return "".join([*pieces, text[position:]])


def _arguments(text: str, start: int) -> tuple[list[str], int]:
    """Split the arguments that begin at ``start``; returns them and the place after the closing parenthesis."""
    depth, quoted, begin = 0, False, start
    arguments: list[str] = []
    for place in range(start, len(text)):
        character = text[place]
        if character == "'":
            quoted = not quoted
        elif quoted:
            continue
        elif character == "(":
            depth += 1
        elif character == "," and depth == 0:
            arguments.append(text[begin:place].strip())
            begin = place + 1
        elif character == ")":
            if depth == 0:
                return [*arguments, text[begin:place].strip()], place + 1
            depth -= 1
    raise QueryTextError("a query has a primitive whose parenthesis is not closed", near=text[start : start + 80])
