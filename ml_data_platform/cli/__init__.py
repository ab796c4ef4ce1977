"""The command line: ``ml-data-platform``.

Belongs here: arguments, progress and tables. Does not belong here: anything that a sensor or an asset does too.
"""

from __future__ import annotations

import gc

import typer

from ml_data_platform.cli import (
    adopting,
    bindings,
    building,
    feeding,
    quarantine,
    rebuilding,
    replaying,
    retracting,
    screen,
    serving,
    sourcing,
    suites,
    tracing,
    training,
    verifying,
    versioning,
)
from ml_data_platform.cli.boundary import OneMessage, unforeseen_errors
from ml_data_platform.cli.lessons import lesson

OBJECTS_TO_A_LOOK = 50_000
"""New objects until garbage is looked for; Python's own 700 are a sixth of what importing costs."""

app = typer.Typer(
    name="ml-data-platform",
    cls=OneMessage,
    help=(
        "Raw events in, training data that can be trusted out.\n\n"
        "A day's way: [bold]land[/bold] files, [bold]backfill[/bold] the days, look at [bold]status[/bold], open the UI "
        "with [bold]dev[/bold]. Try it on sample events: [bold]demo[/bold]."
    ),
    epilog=(
        "Example: ml-data-platform demo --start 2026-06-01 --end 2026-06-03\n\n"
        "Exit status of every command: 0 done, 1 not all is well and a message says what, 2 wrong arguments."
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
for command in (
    serving.init,
    feeding.generate,
    feeding.land,
    building.backfill,
    building.plan,
    building.status,
    replaying.replay,
    retracting.retract,
    retracting.reinstate,
    training.train,
    tracing.trace,
    serving.dev,
    serving.demo,
    verifying.verify,
    verifying.gc,
    adopting.adopt,
    rebuilding.rebuild,
    suites.suites,
):
    app.command(epilog=lesson(command.__name__))(command)
app.add_typer(sourcing.app)
app.add_typer(quarantine.app)
app.add_typer(versioning.app)
app.add_typer(bindings.keys)
app.add_typer(bindings.history)


def main() -> None:
    """Run the command line."""
    gc.set_threshold(OBJECTS_TO_A_LOOK)
    screen.guard_other_text()
    with unforeseen_errors():
        app()
