"""Marks within numbers: what stands before the decimals, and between the thousands.

Belongs here: texts that are numbers under a pair of marks, the SQL that reads them, and guessing the pair. Does not
belong here: plain numbers (readings).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ml_data_platform.events.sql_text import sql_literal

_GUESSED = ((",", "."), (".", ","), (" ", ","), (" ", "."), ("\u00a0", ","), ("\u202f", ","), ("'", "."))
"""Thousands and decimal marks that are told from texts, the most frequent first."""


def grouped_number(thousands: str, decimal: str) -> str:
    """Return the regular expression of numbers whose thousands are parted; hundreds of thousands may be, as in India.

    Args:
        thousands: What stands between the groups, one character.
        decimal: What stands before the decimals, one character.
    """
    mark, point = re.escape(thousands), re.escape(decimal)
    return rf"[+-]?[0-9]{{1,3}}({mark}[0-9]{{2,3}})*{mark}[0-9]{{3}}({point}[0-9]*)?"


def plain_number(text: str, *, thousands: str | None, decimal: str) -> str:
    """Return SQL for a number's text with a decimal point and nothing between thousands; NULL where it is none.

    What is grouped otherwise than a number stays as it is, and so cannot be read.

    Args:
        text: SQL expression of the text.
        thousands: What may stand between the thousands; None: nothing.
        decimal: What stands before the decimals.
    """
    if thousands is not None:
        is_grouped = f"regexp_full_match({text}, {sql_literal(grouped_number(thousands, decimal))})"
        text = f"(CASE WHEN {is_grouped} THEN replace({text}, {sql_literal(thousands)}, '') ELSE {text} END)"
    if decimal == ",":
        # A point is no decimal point here, and so it is not read as one.
        text = f"(CASE WHEN NOT contains({text}, '.') THEN replace({text}, ',', '.') END)"
    return text


def guess_marks(texts: Iterable[str]) -> tuple[str, str] | None:
    """Return the thousands mark and the decimal mark of some numbers; None where they have no thousands mark.

    ``1,234`` alone says nothing: it takes a number with decimals behind its thousands, or with two marks between them.

    Args:
        texts: Different texts of a column.
    """
    looked_at = list(texts)
    for thousands, decimal in _GUESSED:
        grouped = re.compile(grouped_number(thousands, decimal))
        plain = re.compile(rf"[+-]?[0-9]+({re.escape(decimal)}[0-9]*)?")
        found = [text for text in looked_at if grouped.fullmatch(text)]
        telling = [text for text in found if decimal in text or text.count(thousands) > 1 or thousands not in ",."]
        if telling and all(grouped.fullmatch(text) or plain.fullmatch(text) for text in looked_at):
            return thousands, decimal
    return None
