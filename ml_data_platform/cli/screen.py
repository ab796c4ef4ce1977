"""What a person sees: messages, progress and JSON.

Belongs here: where and how to print. Does not belong here: tables (``tables``), or finding out what to print.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

PIPE_COLUMNS = 100
out = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_COLUMNS, highlight=False)
err = Console(stderr=True, highlight=False)


def fail(message: str) -> None:
    """Print an error; the terminal wraps it, not we, so that it can be searched and copied."""
    err.print("error:", style="bold red", end=" ")
    err.print(printable(message), markup=False, soft_wrap=True)


def note(message: str) -> None:
    """Print a remark beside the answer."""
    err.print("note:", style="yellow", end=" ")
    err.print(printable(message), markup=False, soft_wrap=True)


def say(text: str, *, style: str = "", tail: str = "") -> None:
    """Print one line of the answer, never cut or wrapped.

    Args:
        text: Printed in ``style``; no markup is read in it.
        style: A style of rich, e.g. ``green``.
        tail: Printed after it, plain.
    """
    out.print(printable(text), style=style or None, markup=False, soft_wrap=True, end="")
    out.print(printable(tail), markup=False, soft_wrap=True)


def printable(text: str) -> str:
    """Return a text that every stream can take: file names need not be UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


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
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
    with bar:
        yield bar, bar.add_task(description, total=None)
