"""Text of producers where people see it: in a terminal, a log, and in Markdown.

Belongs here: making such text harmless. A file name, a column name or a quoted value may hold sequences that move a
terminal's cursor, turn the direction of writing, forge a line of an answer, or load an image from elsewhere when
Markdown is shown. Does not belong here: where it is shown (``cli.screen``, ``defs.shown_text``), or text in SQL
(``sql_text``).
"""

from __future__ import annotations

import re

_MEANS_SOMETHING = re.compile(r"[\\`*~\[\]<>#|&!]")


def plain(text: str) -> str:
    r"""Return a text as one line that shows what is in it.

    Control characters, line breaks, marks of direction, characters of no width and bytes that are no UTF-8 are written
    as Python writes them, e.g. ``\x1b`` or ``\u202e``; everything else stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _written(each) for each in text)


def plain_lines(text: str) -> str:
    """Return a text of several lines, each as `plain` returns it; only a line feed ends a line."""
    return "\n".join(map(plain, text.split("\n")))


def markdown(text: str) -> str:
    """Return a text that Markdown shows as it is, on one line: no link, no image, no HTML, no code, no cell of a table.

    A bare address may still be shown as a link, which loads nothing by itself.

    Source: CommonMark 0.31, section 2.4: a backslash before ASCII punctuation makes it that character and nothing else.
    """
    return _MEANS_SOMETHING.sub(r"\\\g<0>", plain(text))


def _written(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
