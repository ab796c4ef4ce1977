"""Pages of what was found: names and values of producers are text in them, whatever they hold."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pandas as pd

from ml_data_platform.validation.data_docs import Suite, write_suites
from ml_data_platform.validation.rules import Rule

SCRIPT = "<script>alert(1)</script>"
HOSTILE = f"x{SCRIPT}<img src=http://elsewhere/x.png>\"' onload=alert(1) x='<br>"
HARMLESS = "x" * 9


class _Elements(HTMLParser):
    """Collects the elements of a page, with the names of their attributes, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        if tag != "br":
            self.elements.append((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data


def _pages(folder: Path, text: str) -> list[_Elements]:
    arguments = {"column": f"price{text}", "value_set": [f"taken{text}"]}
    rule = Rule("prices_are_known", "rows", "ExpectColumnValuesToBeInSet", arguments, "row", True, 0, f"Known{text}.")
    rows = pd.DataFrame({f"price{text}": [f"taken{text}", f"refused{text}"]})
    written = write_suites(folder, [Suite("of_rows", [rule], rows)])
    assert written.results == {"of_rows": {"prices_are_known": (False, 1)}}
    site = written.folder / "uncommitted" / "data_docs" / "local_site"
    found = []
    for page in sorted(site.rglob("*.html")):
        found.append(_Elements())
        found[-1].feed(page.read_text(encoding="utf-8"))
    return found


def test_names_and_values_make_no_elements(tmp_path: Path) -> None:
    """With hostile names and values the pages have the elements that they have with harmless ones, and show the text."""
    hostile, harmless = _pages(tmp_path / "hostile", HOSTILE), _pages(tmp_path / "harmless", HARMLESS)
    assert len(hostile) == len(harmless) == 3
    for here, there in zip(hostile, harmless, strict=True):
        assert here.elements == there.elements
    shown = "".join(page.text for page in hostile)
    assert all(f"{word}x{SCRIPT}" in shown for word in ("price", "taken", "refused"))
