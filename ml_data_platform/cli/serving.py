"""Commands that set up and open: ``init``, ``dev`` and ``demo``.

Belongs here: their arguments and output. Does not belong here: what they call.
"""

from __future__ import annotations

import datetime as dt
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml

from ml_data_platform.cli import building, feeding, screen
from ml_data_platform.cli.options import EndOption, RootOption, SourcesOption, StartOption, day_argument, settings_of
from ml_data_platform.errors import SettingsError
from ml_data_platform.settings import SETTINGS_FILE


def init(
    root: RootOption = None,
    start_date: Annotated[
        dt.date | None,
        typer.Option("--start-date", metavar="DAY", parser=day_argument, help="First UTC day with partitions."),
    ] = None,
    landing: Annotated[Path | None, typer.Option("--landing", help="Folder with one subfolder per source.")] = None,
    sources: SourcesOption = None,
) -> None:
    """Make a root and write its settings; an existing settings file is never overwritten."""
    settings = settings_of(root, sources, start_date=start_date, landing=landing)
    target = settings.root / SETTINGS_FILE
    if target.exists():
        raise SettingsError("this root has settings already", remedy="Edit the file.", file=str(target))
    settings.root.mkdir(parents=True, exist_ok=True)
    chosen = {"start_date": settings.start_date, "landing": str(landing) if landing else None}
    chosen["sources"] = str(settings.sources) if settings.sources else None
    kept = {name: value for name, value in chosen.items() if value is not None}
    target.write_text(yaml.safe_dump(kept, sort_keys=True), encoding="utf-8")
    settings.landing.mkdir(parents=True, exist_ok=True)
    screen.out.print(f"wrote {target}; drop files into {settings.landing}/<source>/")


def dev(
    root: RootOption = None,
    sources: SourcesOption = None,
    port: Annotated[int, typer.Option("--port", min=1, max=65_535, help="Port of the UI on 127.0.0.1.")] = 3000,
) -> None:
    """Open the Dagster UI on 127.0.0.1 over this root: its runs, checks, partitions, and the landing sensor."""
    from ml_data_platform.defs.instance import prepare_home

    settings = settings_of(root, sources)
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(prepare_home(settings)),
        "ML_DATA_PLATFORM_ROOT": str(settings.root),
        **({"ML_DATA_PLATFORM_SOURCES": str(settings.sources)} if settings.sources else {}),
    }
    command = [sys.executable, "-m", "dagster", "dev", "-m", "ml_data_platform.definitions"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    screen.err.print(f"the UI opens at http://127.0.0.1:{port} (Ctrl-C ends it)")
    os.execve(sys.executable, command, environment)  # noqa: S606 - no shell is wanted


def demo(
    start: StartOption,
    end: EndOption,
    events_per_day: Annotated[
        int, typer.Option("--events-per-day", min=1, help="Mean number of events a day.")
    ] = 2_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same bytes.")] = 7,
    root: RootOption = None,
) -> None:
    """Generate sample events, land them, build every stage, and show a table; again: there is nothing to do."""
    settings = settings_of(root)
    days = (end - start).days + 1
    steps = [
        f"generate --out {settings.landing} --start {start} --days {days} --events-per-day {events_per_day} --seed {seed}",
        "land",
        "backfill",
        "status",
    ]

    def announce(number: int) -> None:
        screen.out.print(
            f"\n[bold]{number}/4[/] [cyan]ml-data-platform {shlex.join(shlex.split(steps[number - 1]))}[/]"
        )

    announce(1)
    feeding.generate(settings.landing, start, days, events_per_day, seed)
    announce(2)
    settled = settings.model_copy(update={"settle_seconds": 0.0})
    feeding.land_ready(settled)
    announce(3)
    report = building.run_backfill(settings, None)
    building.print_report(report)
    announce(4)
    building.show_status(settings, None)
    screen.out.print(f"\nThe tables are plain Parquet in [bold]{settings.root / 'data'}[/].")
    screen.out.print(
        "Open the UI over them: [bold]make dev[/] (or [bold]ml-data-platform dev[/]), http://127.0.0.1:3000"
    )
    if not report.is_successful:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(init)
    app.command()(demo)
    app.command()(dev)
