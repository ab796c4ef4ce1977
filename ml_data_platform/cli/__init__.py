"""The command line: ``ml-data-platform``.

Belongs here: arguments, progress and tables. Does not belong here: anything that a sensor or an asset does too.
"""

from __future__ import annotations

import sys

import typer

from ml_data_platform.cli import building, feeding, serving
from ml_data_platform.cli.screen import fail
from ml_data_platform.errors import PlatformError

app = typer.Typer(
    name="ml-data-platform",
    help=(
        "Raw events in, training data that can be trusted out.\n\n"
        "A day's way: [bold]land[/bold] files, [bold]backfill[/bold] the days, look at [bold]status[/bold], open the UI "
        "with [bold]dev[/bold]. Try it on sample events: [bold]demo[/bold]."
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
for room in (feeding, building, serving):
    room.register(app)


def main() -> None:
    """Run the command line; an error of the platform is one clear message and exit status 1."""
    try:
        app()
    except PlatformError as error:
        fail(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        fail("stopped; what is published stays, and running the command again goes on from there")
        sys.exit(130)
