"""Commands that set up and open: ``init``, ``dev`` and ``demo``.

Belongs here: their arguments and output. Does not belong here: what they call.
"""

from __future__ import annotations

import datetime as dt
import os
import shlex
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml

from ml_data_platform.cli import building, feeding, screen, tables
from ml_data_platform.cli.options import (
    EventsOption,
    RootOption,
    SeedOption,
    SourcesOption,
    StartOption,
    day_argument,
    days_between,
    require_start,
    said_where_new,
    settings_of,
)
from ml_data_platform.errors import SettingsError
from ml_data_platform.locations import Location
from ml_data_platform.settings import Settings
from ml_data_platform.settings_file import SETTINGS_FILE

HOST = "127.0.0.1"
DEFAULT_PORT = 3000
SERVICES = "ml_data_platform.defs.serving.services"
DEMO_START, DEMO_DAYS = dt.date(2026, 6, 1), 14


def init(
    root: RootOption = None,
    start_date: Annotated[
        dt.date | None,
        typer.Option("--start-date", metavar="DAY", parser=day_argument, help="First UTC day with partitions."),
    ] = None,
    landing: Annotated[
        str | None,
        typer.Option(
            "--landing", help="Folder, or s3://BUCKET/PREFIX, with one folder per source. Default: ROOT/landing"
        ),
    ] = None,
    sources: SourcesOption = None,
) -> None:
    """Make a root and write its settings file, platform.yaml; an existing one is never overwritten."""
    from ml_data_platform.stages.platform import load_sources
    from ml_data_platform.storage.opening import open_objects

    settings = settings_of(root, sources, start_date=start_date, landing=landing)
    target = settings.local_folder / SETTINGS_FILE
    if target.exists():
        raise SettingsError("this root has settings already", remedy="Edit the file.", file=str(target))
    known = sorted(load_sources(settings))
    kept: dict[str, object] = {"start_date": settings.start_date}
    kept |= {"landing": str(settings.landing)} if landing else {}
    kept |= {"sources": str(settings.sources)} if sources else {}
    settings.local_folder.mkdir(parents=True, exist_ok=True)
    open_objects(settings).prepare()
    target.write_text(yaml.safe_dump(kept, sort_keys=True), encoding="utf-8")
    if isinstance(settings.landing, Path):
        settings.landing.mkdir(parents=True, exist_ok=True)
    screen.say(f"wrote {target}")
    screen.say(f"Next: drop files into {settings.landing}/<source>/ (sources: {', '.join(known)}), then run")
    of_root = ["--root", str(root)] if root else []
    for command in ("land", "backfill", "status"):
        screen.say(f"  {shlex.join(['ml-data-platform', command, *of_root])}", style="cyan")


def dev(
    root: RootOption = None,
    sources: SourcesOption = None,
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=1, max=65_535, help="Port of the UI on 127.0.0.1.")
    ] = DEFAULT_PORT,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-host",
            metavar="NAME",
            help="Name under which a reverse proxy on this machine serves the UI; it passes the header Host on.",
        ),
    ] = None,
) -> None:
    """Open the Dagster UI on 127.0.0.1 over this root: its runs, checks, partitions, and the sensors."""
    from ml_data_platform.defs.instance import moved_ref, prepare_home
    from ml_data_platform.stages.platform import open_platform

    settings = settings_of(root, sources)
    hosts = [_as_host(name) for name in allowed_host or ()]
    # The UI is a first use too: where there is no root, one begins.
    with said_where_new(settings):
        open_platform(settings).store.objects.prepare()
    require_free_port(port)
    home = prepare_home(settings)
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        # what keeps the code from loading is told once and short, as by `dagster dev`
        "DAGSTER_IS_DEV_CLI": "1",
        "ML_DATA_PLATFORM_ROOT": str(settings.root),
        "ML_DATA_PLATFORM_LANDING": str(settings.landing),
        **({"ML_DATA_PLATFORM_HOME": str(settings.home)} if settings.home else {}),
        **({"ML_DATA_PLATFORM_SOURCES": str(settings.sources)} if settings.sources else {}),
    }
    # Not `dagster dev`, whose web server does what any page asks that a browser of this machine opens.
    command = [sys.executable, "-m", SERVICES, str(port), moved_ref(home), *hosts]
    screen.aside(f"root: {settings.root}")
    screen.aside(f"the UI opens at http://{HOST}:{port} in some seconds (Ctrl-C ends it)")
    # What runs write by a relative path does not land where the command was typed.
    os.chdir(home)
    os.execve(sys.executable, command, environment)  # noqa: S606 - no shell is wanted


def _as_host(name: str) -> str:
    from ml_data_platform.defs.serving.guard import host_name

    if host_name(name) != name.lower():
        raise typer.BadParameter("a name without scheme and port, e.g. platform.example", param_hint="--allowed-host")
    return name.lower()


def require_free_port(port: int) -> None:
    """Refuse a port that something listens on.

    Raises:
        SettingsError: It is taken, or this user may not use it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise SettingsError(
                f"port {port} cannot be used: {error.strerror}",
                remedy=f"Choose another: `ml-data-platform dev --port {port + 1}`, or `make dev PORT={port + 1}`.",
            ) from error


def demo(
    start: StartOption = DEMO_START,
    end: Annotated[
        dt.date | None,
        typer.Option(
            "--end", metavar="DAY", parser=day_argument, help="Last UTC day, included. Default: 14 days in all."
        ),
    ] = None,
    events_per_day: EventsOption = 2_000,
    seed: SeedOption = 7,
    root: RootOption = None,
) -> None:
    """Generate sample events, land them, build every stage, and show a table; again: there is nothing to do."""
    settings = settings_of(root)
    end = end or start + dt.timedelta(days=DEMO_DAYS - 1)
    days = len(days_between(start, end, names="--start and --end"))
    if end >= dt.datetime.now(dt.UTC).date():
        raise typer.BadParameter("the days must be over, or their rows lie in the future", param_hint="--end")
    require_start(start, settings)
    of_root = ["--root", str(root)] if root else []
    landing = _from_here(settings.landing)
    arguments = ["--out", landing, "--start", start, "--days", days, "--events-per-day", events_per_day, "--seed", seed]

    _announce(1, "generate", arguments)
    with said_where_new(settings):
        _generate(settings, start, days, events_per_day, seed)
    _announce(2, "land", ["--historical", *of_root])
    # Days of the past, of which nothing is late.
    is_landed = feeding.land_ready(settings.model_copy(update={"settle_seconds": 0.0}), is_historical=True)
    _announce(3, "backfill", of_root)
    report = building.run_backfill(settings, building.ALL_DAYS)
    tables.print_report(report)
    _announce(4, "status", of_root)
    is_usable = building.show_status(settings)
    screen.leave_line()
    screen.say("The tables are plain Parquet in ", tail=_from_here(settings.root / "data"))
    opener = shlex.join(["ml-data-platform", "dev", *of_root])
    screen.say(f"Open the UI over them: make dev (or {opener}), http://{HOST}:{DEFAULT_PORT}")
    if not (is_landed and report.is_successful and is_usable):
        raise typer.Exit(1)


def _announce(number: int, command: str, arguments: list[object] | list[str]) -> None:
    line = shlex.join(["ml-data-platform", command, *map(str, arguments)])
    screen.leave_line()
    screen.say(f"{number}/4 ", style="bold", tail=line)


def _generate(settings: Settings, start: dt.date, days: int, events_per_day: int, seed: int) -> None:
    if not isinstance(settings.landing, Path):
        raise SettingsError(
            "the demo generates files into a landing folder of this machine",
            remedy="Leave the setting `landing` out, or name a folder; the root may be in a bucket.",
            got=str(settings.landing),
        )
    try:
        feeding.generate(Path(_from_here(settings.landing)), start, days, events_per_day, seed)
    except SettingsError as error:
        remedy = f"{error.remedy} For a demo with other arguments name another --root (with make: ROOT=…)."
        raise SettingsError(error.what, remedy=remedy, **error.facts) from error


def _from_here(place: Location) -> str:
    """Return a path relative to the working folder where it lies below it, and a URL as it is."""
    here = Path.cwd()
    return str(place.relative_to(here) if isinstance(place, Path) and place.is_relative_to(here) else place)
