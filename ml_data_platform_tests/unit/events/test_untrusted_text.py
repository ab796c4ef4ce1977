"""Text of producers: what a terminal or Markdown would obey is shown instead."""

from __future__ import annotations

import unicodedata

import pytest
from markdown_it import MarkdownIt

from ml_data_platform.events.untrusted_text import markdown, plain, plain_lines


def test_no_character_that_a_terminal_obeys_is_left() -> None:
    """Of all characters none of the categories Cc, Cf, Cs, Zl and Zp remains, and letters, marks and signs stay."""
    every = [chr(number) for number in range(0x11000)]
    obeyed = {each for each in every if unicodedata.category(each) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
    assert {"\x1b", "\x9b", "\x7f", "\n", "\r", "\u202e", "\u2066", "\u2028", "\u200b", "\udcff"} <= obeyed
    assert not obeyed & set(plain("".join(every)))
    kept = "".join(each for each in every if unicodedata.category(each)[0] in "LMNPS" or each == " ")
    assert plain(kept) == kept


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Größe 10 €.csv", "Größe 10 €.csv"),
        ("a\nlanded 5 files", "a\\nlanded 5 files"),
        ("\x1b[2J\x9b8m", "\\x1b[2J\\x9b8m"),
        ("invoice\u202excod.exe", "invoice\\u202excod.exe"),
        ("[red]all is well[/]", "[red]all is well[/]"),
    ],
)
def test_what_is_obeyed_is_written_out(text: str, shown: str) -> None:
    """One line, in which a person sees what is there."""
    assert plain(text) == shown


def test_lines_end_at_line_feeds_alone() -> None:
    """A text of several lines keeps them; no other character begins one."""
    assert plain_lines("a: 1\nb: \u2028\r\n") == "a: 1\nb: \\u2028\\r\n"


@pytest.mark.parametrize(
    "text",
    [
        "![x](http://elsewhere/a.png)",
        "[press here](http://elsewhere)",
        "<img src=http://elsewhere/a.png>",
        "`code` | *loud* | ~~gone~~ \\![x](y)",
        "x\n\n# A heading\n\n![x](y)",
        "&lt;b&gt;",
        "<http://elsewhere>",
    ],
)
def test_markdown_shows_the_text_itself(text: str) -> None:
    """A renderer of CommonMark makes one paragraph of it, with the text and not one element in it."""
    (_, inline, _) = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown(text))
    assert {each.type for each in inline.children} <= {"text", "text_special"}
    assert "".join(each.content for each in inline.children) == plain(text)
