"""The command ``adopt``: take over a root that earlier code made.

Belongs here: its arguments and output, and the steps of all layers. Does not belong here: what a step does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ml_data_platform.cli import screen
from ml_data_platform.cli.options import JsonOption, RootOption, require_root, settings_of

if TYPE_CHECKING:
    from ml_data_platform.stages.adoption import Step


def adopt(
    root: RootOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done; changes nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take over a root that an earlier release made: note what it keeps in a form of before, so that no change passes.

    Run it once after an upgrade; `verify` says when it is due. Nothing that tables are built from is rewritten, and no day
    becomes due. It can be stopped and repeated at any time.
    """
    from ml_data_platform.stages.adoption import take_over
    from ml_data_platform.stages.platform import open_platform

    platform = open_platform(require_root(settings_of(root)))
    taken = take_over(platform, _steps(), is_dry_run=dry_run)
    problems = [problem for each in taken for problem in each.problems]
    if as_json:
        screen.print_json({"is_dry_run": dry_run, "steps": [each.to_json() for each in taken]})
    else:
        for each in taken:
            if each.count:
                screen.say(f"{each.count:,}", style="green", tail=f" {each.what}{' (dry run)' if dry_run else ''}")
        if not problems and not any(each.count for each in taken):
            screen.say("nothing to do", style="green", tail=": this root is of the present form")
        for problem in problems:
            screen.say(problem, style="red")
    if problems:
        raise typer.Exit(1)


def _steps() -> list[Step]:
    """Return the steps of all layers, in order."""
    from ml_data_platform.cli.version_looks import name_remote, note_runs
    from ml_data_platform.stages.adoption import STEPS

    return [*STEPS, note_runs, name_remote]
