"""The command ``suites``.

Belongs here: its arguments and output. Does not belong here: gathering, writing or running the suites.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from ml_data_platform.cli import screen
from ml_data_platform.cli.options import (
    JsonOption,
    RootOption,
    SourcesOption,
    day_argument,
    require_root,
    require_start,
    settings_of,
)


def suites(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the suites; below it `gx` is written.")],
    date: Annotated[
        dt.date | None,
        typer.Option("--date", metavar="DAY", parser=day_argument, help="Also run them over this UTC day, with pages."),
    ] = None,
    root: RootOption = None,
    sources: SourcesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write all rules as Great Expectations' own suites, and run them as its checkpoint with data docs.

    The rules are those of the platform, per asset, and those under `expect:` of each contract, per source. Tolerances
    become `mostly`. With a day, its rows are judged again and nothing is published; the pages show values as they are
    kept, at most 20 per rule. Rules on masked columns are written, and cannot be run again.
    """
    from ml_data_platform.stages.platform import open_platform
    from ml_data_platform.stages.suites_of_day import suites_of
    from ml_data_platform.validation.data_docs import write_suites

    settings = require_root(settings_of(root, sources))
    require_start(date, settings)
    found = suites_of(open_platform(settings), date)
    written = write_suites(out, found.suites)
    failed = {
        name: {rule: rows for rule, (holds, rows) in results.items() if not holds}
        for name, results in written.results.items()
    }
    if as_json:
        screen.print_json(
            {
                "folder": str(written.folder),
                "index": str(written.index) if written.index else None,
                "suites": [suite.name for suite in found.suites],
                "run": {
                    name: {rule: count for rule, (_, count) in each.items()} for name, each in written.results.items()
                },
                "failed": {name: sorted(rules) for name, rules in failed.items() if rules},
                "not_run": found.not_run,
            }
        )
        return
    screen.say(f"{screen.counted(len(found.suites), 'suite')} in {written.folder / 'expectations'}")
    for name, rules in failed.items():
        for rule, rows in sorted(rules.items()):
            screen.say(f"{name}: {rule} ", style="red", tail=f"is broken by {screen.counted(rows, 'row')}")
    for name, why in found.not_run.items() if date else ():
        screen.say(f"{name} was not run", style="yellow", tail=f": {why}")
    if written.index:
        screen.say("pages: ", style="bold", tail=str(written.index))
