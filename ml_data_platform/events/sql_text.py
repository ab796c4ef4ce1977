"""Writing values into SQL text: the only two ways in which text from outside gets into a query.

Belongs here: quoting of literals and identifiers, and small pieces every query uses. Does not belong here:
what a query means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime

from ml_data_platform.errors import SettingsError

# ASCII white space; a text of nothing else counts as absent.
BLANKS = " \t\n\r\f\v"


def sql_literal(value: str | int | None) -> str:
    """Return an SQL literal that evaluates to ``value``; texts may hold anything that UTF-8 can."""
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(int(value))
    return "'" + value.replace("'", "''") + "'"


def sql_identifier(name: str) -> str:
    """Return ``name`` quoted, so that it names a column or table whatever it consists of; NUL excepted."""
    return '"' + name.replace('"', '""') + '"'


def sql_instant(instant: datetime) -> str:
    """Return a TIMESTAMPTZ literal that means the same in every session time zone.

    Raises:
        SettingsError: The instant has no time zone.
    """
    if instant.tzinfo is None:
        raise SettingsError("An instant has no time zone.", remedy="Pass an aware datetime.", got=instant.isoformat())
    return f"TIMESTAMPTZ {sql_literal(instant.astimezone(UTC).isoformat(sep=' ', timespec='microseconds'))}"


def sql_day_start(day: date) -> str:
    """Return a TIMESTAMPTZ literal of the first instant of a UTC day."""
    return sql_instant(datetime(day.year, day.month, day.day, tzinfo=UTC))


def sql_list(expressions: Iterable[str]) -> str:
    """Return an SQL list of expressions; an empty one is a list of texts."""
    return f"[{', '.join(expressions)}]::VARCHAR[]"


def json_pointer(path: tuple[str, ...]) -> str:
    """Return the JSON pointer (RFC 6901) of the value under these keys."""
    return "".join(f"/{key.replace('~', '~0').replace('/', '~1')}" for key in path)


def present(expression: str) -> str:
    """Return an SQL expression for the text, NULL where it is empty or blank."""
    return f"CASE WHEN trim({expression}, {sql_literal(BLANKS)}) <> '' THEN {expression} END"


def by_version(expressions: Mapping[int, str]) -> str:
    """Return an SQL expression that takes the one of the row's ``schema_version``."""
    if len(set(expressions.values())) == 1:
        return next(iter(expressions.values()))
    cases = " ".join(f"WHEN {version} THEN {value}" for version, value in sorted(expressions.items()))
    return f"CASE schema_version {cases} END"
