"""What Dagster shows of producers: Markdown loads nothing, and no text holds control characters."""

from __future__ import annotations

import dagster as dg
from markdown_it import MarkdownIt

from ml_data_platform.defs import shown_text

HOSTILE = "![x](http://elsewhere/a.png)<img src=http://elsewhere>`\x1b[2J\n# Heading\u202e"
SHOWN = "![x](http://elsewhere/a.png)<img src=http://elsewhere>`\\x1b[2J\\n# Heading\\u202e"


def test_a_list_holds_text_and_nothing_else() -> None:
    """Of two hostile lines two points are made, with the text itself: no image, no HTML, no heading."""
    found = shown_text.listed([HOSTILE, HOSTILE])
    assert isinstance(found, dg.MarkdownMetadataValue)
    tokens = MarkdownIt("commonmark").parse(found.md_str or "")
    lines = [token for token in tokens if token.type == "inline"]
    assert {token.type for token in tokens} <= {
        *("bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close"),
        *("paragraph_open", "paragraph_close", "inline"),
    }
    assert ["".join(each.content for each in line.children or ()) for line in lines] == [SHOWN, SHOWN]
    assert {each.type for line in lines for each in line.children or ()} <= {"text", "text_special"}
    assert shown_text.listed([]) == "none"


def test_tables_and_facts_hold_no_control_characters() -> None:
    """Texts are made plain, numbers and other metadata stay."""
    (record,) = shown_text.table([{"file": HOSTILE, "rows": 3}]).records  # type: ignore[attr-defined]
    assert dict(record.data) == {"file": SHOWN, "rows": 3}
    path = dg.MetadataValue.path("/data")
    assert shown_text.facts({"file": HOSTILE, "rows": 3, "path": path}) == {"file": SHOWN, "rows": 3, "path": path}
