"""The border of the command line: what leaves it is one clear message and an exit status.

Belongs here: turning errors into messages. Does not belong here: raising them.
"""

from __future__ import annotations

import errno
from typing import Any

import typer
from typer.core import TyperGroup

from ml_data_platform.cli import screen
from ml_data_platform.errors import PlatformError

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

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the arguments name."""
        try:
            return super().invoke(ctx)
        except PlatformError as error:
            screen.fail(str(error))
            raise typer.Exit(FAILED) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # the reader of a pipe went away: nobody is there to be told
            screen.fail(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
            raise typer.Exit(FAILED) from error
        except KeyboardInterrupt as error:
            screen.fail("stopped; what is published stays, and running the command again goes on from there")
            raise typer.Exit(STOPPED) from error
