"""From landed text to a typed value, as SQL expressions that never raise.

Belongs here: the strict grammars of instants, numbers and integers. A text outside of its grammar gives
NULL; the caller tells "absent" from "unreadable" by the text. Does not belong here: which text belongs
to which field (parsing).

DuckDB's own casts are more lenient than a producer's mistake deserves (``0x10``, ``1_000``, ``1.5`` as an
integer, offsets ignored by TIMESTAMP), so each is guarded by a full match.
"""

from __future__ import annotations

from ml_data_platform.events.schema_versions import FieldType
from ml_data_platform.events.sql_text import sql_literal

NUMBER = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"
INTEGER = r"[+-]?[0-9]{1,19}"
_DAY, _HOUR = "[0-9]{4}-[0-9]{2}-[0-9]{2}", "([01][0-9]|2[0-3])"
_SHIFT = "[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?"
_PLAIN_LOCAL = rf"{_DAY}[T ]{_HOUR}:[0-5][0-9]:[0-5][0-9](\.[0-9]+)?"
_PLAIN_OFFSET = f"(Z|{_SHIFT})"
LOCAL_INSTANT = (
    rf"({_DAY}[Tt ]{_HOUR}:[0-5][0-9](:[0-5][0-9]([.,][0-9]+)?)?"
    rf"|[0-9]{{8}}[Tt]{_HOUR}[0-5][0-9]([0-5][0-9]([.,][0-9]+)?)?)"
)
OFFSET = rf"( ?((?i:Z|UTC|GMT)|{_SHIFT}|[+]00:?00 (UTC|GMT))(\[[A-Za-z0-9_+/-]+\])?)"
# The second form is that of floating-point numbers, which have 17 digits at most.
EPOCH_FRACTION = r"[+-]?[0-9]{1,19}(\.[0-9]{0,40}|(\.[0-9]{1,17})?[eE]\+?[0-9]{1,2})"
_FRACTION = "DECIMAL(38, 12)"
_FRACTION_MICROSECONDS = {"s": "1000000", "ms": "1000", "us": "1", "ns": "CAST(0.001 AS DECIMAL(4, 3))"}
MICROSECONDS_PER_UNIT = {"s": 1_000_000, "ms": 1_000, "us": 1}
NANOSECONDS_PER_MICROSECOND = 1_000
# 290309-12-22 (BC), the earliest timestamp by DuckDB's documentation; it takes earlier ones and fails on them later.
FIRST_INSTANT_MICROSECONDS = -9_223_372_022_400_000_000


def read_number(text: str) -> str:
    """Return SQL for the finite DOUBLE that ``text`` writes in decimal, else NULL."""
    value = f"CASE WHEN {_matches(text, NUMBER)} THEN TRY_CAST({text} AS DOUBLE) END"
    return f"nullif(nullif({value}, 'infinity'::DOUBLE), '-infinity'::DOUBLE)"


def read_integer(text: str) -> str:
    """Return SQL for the BIGINT that ``text`` writes in decimal digits, else NULL."""
    return f"CASE WHEN {_matches(text, INTEGER)} THEN TRY_CAST({text} AS BIGINT) END"


def read_binary(text: str) -> str:
    """Return SQL for the TINYINT 0 or 1 that ``text`` is, also as ``false`` or ``true``, else NULL."""
    return f"CASE WHEN {text} IN ('0', 'false') THEN 0::TINYINT WHEN {text} IN ('1', 'true') THEN 1::TINYINT END"


def read_epoch_instant(text: str, unit: str) -> str:
    """Return SQL for the TIMESTAMPTZ at a number of units since 1970-01-01T00:00:00Z, else NULL.

    A fraction, also one written with an exponent, is read in decimal: nothing is rounded, what is beyond microseconds is
    cut down to the one before.

    Args:
        text: SQL expression of the text.
        unit: ``s``, ``ms``, ``us`` or ``ns``.
    """
    count = f"TRY_CAST({text} AS HUGEINT)"
    if unit == "ns":
        # Division truncates towards zero, which would move instants before 1970 forward.
        step = NANOSECONDS_PER_MICROSECOND
        micros = f"(({count} - (({count} % {step}) + {step}) % {step}) // {step})"
    else:
        micros = f"({count} * {MICROSECONDS_PER_UNIT[unit]})"
    # What lies before the first instant is put right before it, and that taken for nothing: one pass, no second reading.
    outside = FIRST_INSTANT_MICROSECONDS - 1
    bounded = f"nullif(greatest(TRY_CAST({micros} AS BIGINT), {outside}), {outside})"
    # What is beyond the decimals that are read is cut, for it would be rounded.
    cut = f"regexp_replace({text}, '^([^.]+\\.[0-9]{{12}})[0-9]+$', '\\1')"
    fraction = f"TRY(CAST(floor(TRY_CAST({cut} AS {_FRACTION}) * {_FRACTION_MICROSECONDS[unit]}) AS BIGINT))"
    fraction = f"nullif(greatest({fraction}, {outside}), {outside})"
    return (
        f"CASE WHEN {_matches(text, INTEGER)} THEN TRY(make_timestamptz({bounded})) "
        f"WHEN {_matches(text, EPOCH_FRACTION)} THEN TRY(make_timestamptz({fraction})) END"
    )


def read_iso_instant(text: str, zone: str) -> str:
    """Return SQL for the TIMESTAMPTZ of an ISO-8601 date and time, else NULL.

    Fractions of any length are cut to microseconds. Seconds may be left out; the basic form (``20260601T100000``), a
    comma as the decimal mark, and ``UTC`` or ``GMT`` for the offset are read too, also with a blank before the offset.
    A local time that a zone skips is taken as if the clock had not yet been put forward; of one that it repeats, the
    later is meant.

    Args:
        text: SQL expression of the text.
        zone: IANA zone of texts without an offset.
    """
    # Most texts are written plainly, and what is not costs several replacements.
    plain = _plainly_written(text)
    return (
        f"CASE WHEN {_matches(text, _PLAIN_LOCAL + _PLAIN_OFFSET)} THEN TRY_CAST({text} AS TIMESTAMPTZ) "
        f"WHEN {_matches(text, _PLAIN_LOCAL)} THEN {_read_local(text, zone)} "
        f"WHEN {_matches(text, LOCAL_INSTANT + OFFSET)} THEN TRY_CAST({plain} AS TIMESTAMPTZ) "
        f"WHEN {_matches(text, LOCAL_INSTANT)} THEN {_read_local(plain, zone)} END"
    )


def _read_local(text: str, zone: str) -> str:
    if zone == "UTC":
        return f"TRY_CAST({text} || 'Z' AS TIMESTAMPTZ)"
    return f"TRY(timezone({sql_literal(zone)}, TRY_CAST({text} AS TIMESTAMP)))"


def _plainly_written(text: str) -> str:
    """Return SQL for a text of the grammar as the engine's cast takes it."""
    plain = f"replace(upper({text}), ',', '.')"
    for pattern, replacement in (
        (r"\[.*\]$", ""),
        (r" (UTC|GMT)$", "Z"),
        (r"(UTC|GMT)$", "Z"),
        (r"([+]00:?00)Z$", r"\1"),
        (r" (Z|[+-][0-9:]+)$", r"\1"),
        (r"^([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})", r"\1-\2-\3T\4:\5"),
        (r"(T[0-9]{2}:[0-9]{2})([0-9]{2})", r"\1:\2"),
    ):
        plain = f"regexp_replace({plain}, {sql_literal(pattern)}, {sql_literal(replacement)})"
    return plain


def read_value(text: str, kind: FieldType) -> str:
    """Return SQL for a value that is no instant.

    Args:
        text: SQL expression of the text.
        kind: TEXT, NUMBER, INTEGER or BINARY.
    """
    if kind is FieldType.NUMBER:
        return read_number(text)
    if kind is FieldType.INTEGER:
        return read_integer(text)
    return read_binary(text) if kind is FieldType.BINARY else text


def _matches(text: str, pattern: str) -> str:
    return f"regexp_full_match({text}, {sql_literal(pattern)})"
