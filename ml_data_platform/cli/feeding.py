"""Commands that bring events in: ``generate`` and ``land``.

Belongs here: their arguments and output. Does not belong here: generating and landing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ml_data_platform.cli import screen
from ml_data_platform.cli.options import JsonOption, RootOption, SourcesOption, StartOption, settings_of
from ml_data_platform.settings import Settings


def generate(
    out: Annotated[
        Path, typer.Option("--out", help="Folder to write into; DIR/demo_shop/*.jsonl. Can be the landing folder.")
    ],
    start: StartOption,
    days: Annotated[int, typer.Option("--days", min=1, max=3660, help="Number of days.")],
    events_per_day: Annotated[
        int, typer.Option("--events-per-day", min=1, help="Mean number of events a day.")
    ] = 2_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same bytes.")] = 7,
    poisoned_day: Annotated[
        str | None, typer.Option("--poisoned-day", metavar="DAY", help="A day with more broken rows than tolerated.")
    ] = None,
    row_truth: Annotated[
        bool, typer.Option(help="Also write what was planted per row; switch off for huge days.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Write sample shop events: hourly files, v1 and v2 mixed, with late, duplicate and broken rows.

    What was planted is written to DIR/_planted, which the platform never reads.
    """
    from ml_data_platform.generator.generate import generate as write_events
    from ml_data_platform.generator.options import GeneratorOptions
    from ml_data_platform.storage.layout import parse_day

    options = GeneratorOptions(row_truth=row_truth, poisoned_day=parse_day(poisoned_day) if poisoned_day else None)
    with screen.progress("generating events") as (bar, task):
        planted = write_events(
            out,
            start=start,
            days=days,
            events_per_day=events_per_day,
            seed=seed,
            options=options,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if as_json:
        screen.print_json({"files": len(planted.files), "unchanged": planted.unchanged, "out": str(out)})
    elif planted.unchanged:
        screen.out.print(f"{len(planted.files)} files are there already, byte for byte")
    else:
        screen.out.print(f"wrote {len(planted.files)} files to {out}; what was planted is in {out / '_planted'}")


def land(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files or folders. Without any: what lies ready in the landing folder.")
    ] = None,
    source: Annotated[str | None, typer.Option("--source", help="Whose files these are; needed with PATH.")] = None,
    root: RootOption = None,
    sources: SourcesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take files in: keep their bytes, note them in the ledger, route their rows to event days.

    The same bytes again change nothing. A file that cannot be read is recorded with the reason, and the others go on;
    the exit status is then 1.
    """
    if paths and source is None:
        raise typer.BadParameter("name whose files these are", param_hint="--source")
    land_ready(settings_of(root, sources), paths, source, as_json=as_json)


def land_ready(
    settings: Settings, paths: list[Path] | None = None, source: str | None = None, *, as_json: bool = False
) -> None:
    """Land the named paths, or what lies ready in the landing folder, and say what came of it."""
    from ml_data_platform.stages.landed_files import REFUSED, describe, land_inbox, land_named, summarise
    from ml_data_platform.stages.platform import open_platform

    platform = open_platform(settings)
    with screen.progress("landing") as (bar, task):

        def on_file(done: int, total: int, _result: object) -> None:
            bar.update(task, completed=done, total=total)

        results = land_named(platform, str(source), paths, on_file) if paths else land_inbox(platform, on_file)
    refused = [result for result in results if result.outcome in REFUSED]
    counts = summarise(results)
    if as_json:
        screen.print_json({**counts, "refused": [describe(result) for result in refused]})
    else:
        new = counts["files"] - counts.get("known_files", 0)
        screen.out.print(
            f"{counts['files']:,} files: {new:,} new with {counts['landed_rows']:,} rows on {counts['touched_days']:,} days, "
            f"{counts.get('known_files', 0):,} known already; {counts['undated_rows']:,} rows without a usable day"
        )
        for result in refused:
            screen.out.print(f"[red]not landed[/] {describe(result)}")
    if refused:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(generate)
    app.command()(land)
