"""The border of the command line: what leaves it is one clear message and an exit status.

Belongs here: turning errors into messages. Does not belong here: raising them.
"""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from ml_data_platform.cli import screen
from ml_data_platform.errors import PlatformError
from ml_data_platform.events.untrusted_text import plain
from ml_data_platform.storage.system_faults import explained, note_on_full_disk

FAILED = 1
STOPPED = 130


class OneMessage(TyperGroup):
    """A group of commands whose expected errors are one message on standard error, never a traceback.

    Exit status: 0 done; 1 an error of the platform or of the system, or the command's own "not all is well"; 2 wrong
    arguments; 130 stopped by Ctrl-C. An error that nobody foresaw keeps its traceback: it is a defect to report.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # Typer puts groups before commands; a newcomer needs the commands first.
        self.commands = dict(sorted(self.commands.items(), key=lambda item: isinstance(item[1], TyperGroup)))

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Read the arguments."""
        with _harmless_usage():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the arguments name."""
        try:
            with _harmless_usage():
                return super().invoke(ctx)
        except PlatformError as error:
            screen.fail(f"{error}{note_on_full_disk(str(error))}")
            raise typer.Exit(FAILED) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # the reader of a pipe went away: nobody is there to be told
            screen.fail(_said(explained(error)))
            raise typer.Exit(FAILED) from error
        except KeyboardInterrupt as error:
            screen.fail("stopped; what is published stays, and running the command again goes on from there")
            raise typer.Exit(STOPPED) from error


@contextmanager
def _harmless_usage() -> Iterator[None]:
    """Let messages on wrong arguments, which quote them and which typer prints, hold no control characters."""
    try:
        yield
    except Exception as error:
        # The class is in a private module of typer; what it prints is this attribute.
        if hasattr(error, "format_message"):
            error.message = plain(str(error.message))  # type: ignore[attr-defined]
        raise


@contextmanager
def unforeseen_errors() -> Iterator[None]:
    """Print the traceback of an error that nobody foresaw: its text may quote anything."""
    try:
        yield
    except Exception:  # noqa: BLE001 - all that is done with it is to print it
        screen.print_traceback(traceback.format_exc())
        sys.exit(FAILED)


def _said(error: OSError) -> str:
    if isinstance(error, PlatformError) or not error.filename:
        return str(error)
    return f"{error.strerror or error}: {error.filename}"
