"""Pages of Great Expectations in which names and values are text and nothing else.

Belongs here: escaping what Great Expectations leaves as it is. Its templates escape the parameters of sentences, and
neither the names of columns above them nor the values in tables: a value of a producer could run a script in the
browser of who reads the pages. Does not belong here: writing the pages (``data_docs``).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Great Expectations' own markup in texts; it holds nothing that loads or runs.
_OWN_MARKUP = re.compile(r'<br>|<span class="mr-3 triangle"></span>')
_ESCAPED_ALREADY = "params"


@contextmanager
def escaped_pages() -> Iterator[None]:
    """Let pages that are written in the block hold no markup of names and values."""
    from great_expectations.render.view.view import DefaultJinjaPageView  # noqa: PLC0415 - Great Expectations is slow to load

    render = DefaultJinjaPageView.render

    def rendered(self: Any, document: Any, template: str | None = None, **options: Any) -> str:
        self._validate_document(document)
        page = self._get_template(self._template if template is None else template)
        return str(page.render(_escaped(document.to_json_dict()), **options))

    DefaultJinjaPageView.render = rendered
    try:
        yield
    finally:
        DefaultJinjaPageView.render = render


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: each if key == _ESCAPED_ALREADY else _escaped(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    return _escaped_text(value) if isinstance(value, str) else value


def _escaped_text(text: str) -> str:
    parts, begin = [], 0
    for own in _OWN_MARKUP.finditer(text):
        parts += [html.escape(text[begin : own.start()]), own[0]]
        begin = own.end()
    return "".join([*parts, html.escape(text[begin:])])
