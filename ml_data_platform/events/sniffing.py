"""Which format the beginning of a file is in.

Belongs here: telling JSON from CSV, and a delimiter from the characters of the cells. Does not belong here:
reading files.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ml_data_platform.errors import LandingError

DELIMITERS = (",", ";", "\t", "|")
ESCAPE = "\\"
MAX_RECORDS = 300
_PARQUET = b"PAR1"


@dataclass(frozen=True)
class FormatGuess:
    """The format of a file.

    Attributes:
        format: ``csv``, ``jsonl`` or ``parquet``.
        delimiter: Of CSV.
        quote: Of CSV.
        escape: Of CSV; None: there is none.
    """

    format: str
    delimiter: str = ","
    quote: str = '"'
    escape: str | None = None

    def keys(self) -> dict[str, Any]:
        """Return the keys of a contract that say so; defaults are left out."""
        dialect = {"delimiter": self.delimiter} if self.delimiter != "," else {}
        dialect.update({"quote": self.quote} if self.quote != '"' else {})
        dialect.update({"escape": self.escape} if self.escape is not None else {})
        return {"format": self.format, **({"csv": dialect} if self.format == "csv" and dialect else {})}


def sniff_format(head: bytes) -> FormatGuess:
    """Guess a file's format from its beginning.

    Args:
        head: The first bytes, decompressed, UTF-8.

    Raises:
        LandingError: It is neither CSV nor JSON nor Parquet as far as can be seen; what it is, is said.
    """
    if head.startswith(_PARQUET):
        return FormatGuess("parquet")
    text = head.decode("utf-8-sig", "replace").lstrip()
    if text.startswith(("{", "[", "\x1e")):
        return FormatGuess("jsonl")
    if text.startswith("<"):
        raise _refusal("XML or HTML", "Export it as CSV, JSON lines or Parquet.")
    return _delimited(text)


def _delimited(text: str) -> FormatGuess:
    # The last line may have been cut off in the middle.
    lines = text.splitlines()
    if not text.endswith(("\n", "\r")) and len(lines) > 2:
        lines.pop()
    best, best_score = FormatGuess("csv"), 0.0
    for delimiter in DELIMITERS:
        for quote in ('"', "'"):
            # Quotes are escaped only where one stands behind a backslash and ends no cell.
            is_escaped = re.search(rf"\\{quote}(?!\s*({re.escape(delimiter)}|\n|\Z|{quote}))", text) is not None
            guess = FormatGuess("csv", delimiter, quote, ESCAPE if is_escaped else None)
            score = _consistency("\n".join(lines), guess)
            if score > best_score:
                best, best_score = guess, score
    return best


def _consistency(text: str, form: FormatGuess) -> float:
    """How well a dialect cuts all lines into the same number of cells, 0 = into one cell."""
    delimiter, quote = form.delimiter, form.quote
    if quote == "'" and not re.search(rf"(^|[\n{re.escape(delimiter)}])'", text):
        return 0.0
    try:
        reader = csv.reader(io.StringIO(text), delimiter=delimiter, quotechar=quote, escapechar=form.escape)
        widths = Counter(len(row) for _, row in zip(range(MAX_RECORDS), reader, strict=False) if row)
    except csv.Error:
        return 0.0
    width, count = max(widths.items(), key=lambda item: (item[1], item[0]), default=(1, 0))
    # Between dialects that cut evenly, more cells are better; a quote that takes nothing away is no reason.
    return count / widths.total() * (1 - 1 / width) + (0.001 if quote == '"' else 0.0) if width > 1 else 0.0


def lacks_header(names: Sequence[str]) -> bool:
    """Return whether a first line looks like values instead of column names."""
    values = [
        name for name in names if re.fullmatch(r"[+-]?[0-9][0-9.,:\- TZ/]*|[0-9a-f]{8}-[0-9a-f-]{27}", name.strip())
    ]
    return bool(values)


def _refusal(got: str, remedy: str) -> LandingError:
    return LandingError(
        "No contract can be drafted for this file.", expected="CSV, JSON lines or Parquet", got=got, remedy=remedy
    )
