"""What a person sees: messages, progress and JSON; nothing in `cli` prints by another way.

Belongs here: where and how to print. Names and values of producers are in nearly all that is printed, so no text is
trusted: no markup is read in it, and its control characters are shown, not sent. Does not belong here: tables
(``tables``), or finding out what to print.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ml_data_platform.events.untrusted_text import plain, plain_lines

PIPE_COLUMNS = 100
_UNBOUNDED = 1_000


class _Console(Console):
    """A console that trusts no text: strings are escaped before they are laid out, all else before it is sent."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string as it may be shown; no markup and no names of emoji are read in it."""
        return super().render_str(plain(text), **{**options, "markup": False, "emoji": False, "highlight": False})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield what is sent; control sequences are those of rich alone."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control or text.isprintable() else Segment(plain_lines(text), style)


_out = _Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_COLUMNS)
_err = _Console(stderr=True)


def fail(message: str) -> None:
    """Print an error; the terminal wraps it, not we, so that it can be searched and copied."""
    _err.print("error:", style="bold red", end=" ")
    _err.print(message, soft_wrap=True)


def note(message: str) -> None:
    """Print a remark beside the answer."""
    _err.print("note:", style="yellow", end=" ")
    _err.print(message, soft_wrap=True)


def aside(message: str) -> None:
    """Print a line beside the answer, as it is."""
    _err.print(message, soft_wrap=True)


def say(text: str, *, style: str = "", tail: str = "") -> None:
    """Print one line of the answer, never cut or wrapped.

    Args:
        text: Printed in ``style``.
        style: A style of rich, e.g. ``green``.
        tail: Printed after it, plain.
    """
    _out.print(text, style=style or None, soft_wrap=True, end="")
    _out.print(tail, soft_wrap=True)


def leave_line() -> None:
    """Print an empty line."""
    _out.line()


def show(table: Table) -> None:
    """Print a table; in its cells no markup is read, see `coloured`."""
    _out.print(table)


def fits(table: Table) -> bool:
    """Tell whether the terminal is wide enough for a table."""
    wide = _out.options.update(max_width=_UNBOUNDED)
    return bool(_out.measure(table, options=wide).maximum <= _out.width)


def coloured(*parts: str | tuple[str, str]) -> Text:
    """Return a cell of a table: texts, or pairs of a text and its style."""
    return Text.assemble(*(plain(each) if isinstance(each, str) else (plain(each[0]), each[1]) for each in parts))


def print_document(text: str) -> None:
    """Print a text of several lines for a file, e.g. YAML."""
    sys.stdout.write(plain_lines(text))


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, e.g. ``1 file`` or ``2,000 files``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def print_json(value: object) -> None:
    """Print plain values for scripts: one JSON document, keys sorted."""
    sys.stdout.write(json.dumps(value, indent=2, sort_keys=True) + "\n")


@contextmanager
def progress(description: str) -> Iterator[tuple[Progress, TaskID]]:
    """Show a progress bar on standard error while the block runs; nothing where that is no terminal."""
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=_err,
        transient=True,
        disable=not _err.is_terminal,
    )
    with bar:
        yield bar, bar.add_task(description, total=None)


def print_traceback(text: str) -> None:
    """Print the traceback of an error that nobody foresaw."""
    sys.stderr.write(plain_lines(text))


def guard_other_text() -> None:
    """Let what libraries warn of, or log to standard error where nobody has set up logging, be escaped as well."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.format = lambda record: plain(record.getMessage())  # type: ignore[method-assign]
    logging.lastResort = handler
    form = warnings.formatwarning

    def formatted(*arguments: Any, **options: Any) -> str:
        return plain_lines(form(*arguments, **options))

    warnings.formatwarning = formatted
