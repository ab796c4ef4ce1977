"""What the texts of ids say: which stand for no id, and which are the same id.

Belongs here: null markers, blanks, integers that are written as decimals, placeholders, as SQL and in Python; both
agree. Does not belong here: what platform ids are made of (ids), and which columns hold ids (contract_model).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ml_data_platform.events.evolution import LARGEST_EXACT_INTEGER
from ml_data_platform.events.sql_text import sql_literal

NULL_MARKERS = (
    *("null", "(null)", "[null]", "<null>", "\\n", "nil", "none", "(none)", "undefined", "(undefined)"),
    *("nan", "-nan", "nat", "na", "<na>", "n/a", "#n/a", "#na", "(not set)", "not set", "(not provided)", "-", "--"),
    "00000000-0000-0000-0000-000000000000",
)
"""Texts that stand for no id where a contract says nothing else, in lower case: what databases, data frames, scripts
and web analytics write, and the nil UUID (RFC 9562, section 5.9)."""

PLACEHOLDERS = (
    *("anonymous", "anon", "guest", "unknown", "(unknown)", "test", "testuser", "test user", "user", "username"),
    *("default", "dummy", "deleted", "(deleted)", "empty", "missing", "other", "(other)", "false", "true"),
    *(
        "[object object]",
        "object object",
        "nobody",
        "no user",
        "nouser",
        "user_id",
        "userid",
        "session_id",
        "sessionid",
    ),
    *("[]", "{}", "''", '""', "xxx", "foo", "foobar", "asdf", "error", "#ref!", "#value!", "#name?", "#div/0!", "inf"),
    *("infinity", "-infinity", "-inf", "unidentified", "unassigned", "unset", "?", ".", "-1"),
)
"""Texts in place of an id that some people may still have as one: they are told, not taken for absent."""

_PLAIN_BLANKS = " \t\n\r\f\v\x1c\x1d\x1e\x1f"
BLANKS = (
    f"{_PLAIN_BLANKS}\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\u180e\u200b\u200c\u200d\u2060\ufeff"
)
"""White space of Unicode, and characters that take no room: an id of nothing else is none."""

_DECIMAL = r"(0|-?[1-9][0-9]*)\.0+"
# As programs write doubles. Spreadsheets write a capital E, and have lost digits; what is cut at an E may be a hash.
_EXPONENT = r"-?[1-9](\.[0-9]{1,16})?e\+[0-9]{2}"


def absent_texts(null_markers: Iterable[str], sentinels: Iterable[str]) -> tuple[str, ...]:
    """Return the texts that stand for no id as they are compared: trimmed, in lower case, sorted, each once."""
    texts = (text.strip(BLANKS).lower() for text in (*null_markers, *sentinels))
    return tuple(sorted({text for text in texts if text}))


def id_text_sql(text: str, absent: Iterable[str]) -> str:
    """Return SQL for the id that a text writes, NULL where it stands for none.

    An integer that is written as a decimal, as data frames do with a column that has once held a null, is the integer.
    Blanks around an id, with which databases fill up columns of fixed width, are none of it.

    Args:
        text: SQL column of the text.
        absent: `absent_texts` of the contract.
    """
    bare = trimmed_sql(text)
    exact = f"TRY_CAST({bare} AS DOUBLE)"
    written = (
        f"CASE WHEN NOT contains({text}, '.') AND NOT contains({text}, 'e+') THEN {bare} "
        f"WHEN regexp_full_match({bare}, {sql_literal(_DECIMAL)}) THEN split_part({bare}, '.', 1) "
        f"WHEN regexp_full_match({bare}, {sql_literal(_EXPONENT)}) AND {exact} = trunc({exact}) "
        f"AND abs({exact}) <= {LARGEST_EXACT_INTEGER} THEN CAST(CAST({exact} AS BIGINT) AS VARCHAR) ELSE {bare} END"
    )
    nothing = ", ".join(sql_literal(each) for each in ("", *absent))
    return f"CASE WHEN lower({written}) NOT IN ({nothing}) THEN {written} END"


def trimmed_sql(text: str) -> str:
    """Return SQL for a text without `BLANKS` around it; most texts are ASCII, where that is cheap."""
    plain, other = (f"trim({text}, {sql_literal(blanks)})" for blanks in (_PLAIN_BLANKS, BLANKS))
    return f"CASE WHEN strlen({text}) = length({text}) THEN {plain} ELSE {other} END"


def id_text(text: str, absent: Iterable[str]) -> str | None:
    """Return what `id_text_sql` gives for a text."""
    text = text.strip(BLANKS)
    if re.fullmatch(_DECIMAL, text):
        text = text.partition(".")[0]
    elif re.fullmatch(_EXPONENT, text):
        exact = float(text)
        if exact.is_integer() and abs(exact) <= LARGEST_EXACT_INTEGER:
            text = str(int(exact))
    return None if not text or text.lower() in absent else text


def placeholder_sql(text: str, words: Iterable[str], *, is_whole: bool = True) -> str:
    """Return SQL for what an id is a placeholder by, which is no producer's own text; NULL where it is none.

    Args:
        text: SQL column of the landed text.
        words: Texts as `absent_texts` gives them.
        is_whole: The column is the id, and no part of one: a part may well be 0.
    """
    trimmed = f"lower({trimmed_sql(text)})"
    zeros = f"WHEN {text} <> '' AND trim({text}, '0-') = '' THEN left({text}, 36) " if is_whole else ""
    listed = ", ".join(sql_literal(word) for word in sorted(words))
    # An exponent in a spreadsheet's manner stands for all ids that begin with its digits.
    rounded = r"-?[0-9](\.[0-9]+)?E\+[0-9]{2,}"
    return (
        f"CASE WHEN {trimmed} IN ({listed}) THEN {trimmed} WHEN {text}[1] = '<' THEN '<…' "
        f"{zeros}WHEN contains({text}, 'E+') AND regexp_full_match({text}, {sql_literal(rounded)}) THEN '…E+…' END"
    )


def placeholder_of_sql(places: Sequence[int], words: Iterable[str], *, is_first_of: bool) -> str:
    """Return SQL for what the id of some columns is a placeholder by; NULL where it is none.

    Args:
        places: Their texts are ``t<n>``, the ids that these write ``i<n>``.
        words: Texts as `absent_texts` gives them.
        is_first_of: The first of them that is an id is the id, and only that column counts; else they are its parts.
    """
    words = tuple(words)
    told = {at: placeholder_sql(f"t{at}", words, is_whole=is_first_of or len(places) == 1) for at in places}
    of_any = f"coalesce({', '.join(told.values())}, NULL)"
    chosen = " ".join(f"WHEN i{at} IS NOT NULL THEN {text}" for at, text in told.items())
    return f"CASE {chosen} ELSE {of_any} END" if is_first_of else of_any
