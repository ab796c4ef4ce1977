"""Options that several commands share, and how they become settings.

Belongs here: option types. Does not belong here: commands.
"""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ml_data_platform.errors import PartitionKeyError, PlatformError
from ml_data_platform.settings import Settings, load_settings
from ml_data_platform.storage.layout import parse_day

RootOption = Annotated[
    Path | None,
    typer.Option("--root", help="Folder that holds everything. Default: $ML_DATA_PLATFORM_ROOT or .platform"),
]
SourcesOption = Annotated[
    Path | None,
    typer.Option("--sources", help="Folder with your own source contracts (*.yaml), beside the shipped ones."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document for scripts.")]


def day_argument(text: str) -> dt.date:
    """Return the UTC day that an argument names."""
    try:
        return parse_day(text)
    except PartitionKeyError as error:
        raise typer.BadParameter("a day is written YYYY-MM-DD, e.g. 2026-06-01") from error


FromOption = Annotated[
    dt.date | None, typer.Option("--from", metavar="DAY", parser=day_argument, help="First UTC day, YYYY-MM-DD.")
]
ToOption = Annotated[
    dt.date | None, typer.Option("--to", metavar="DAY", parser=day_argument, help="Last UTC day, included.")
]
StartOption = Annotated[
    dt.date, typer.Option("--start", metavar="DAY", parser=day_argument, help="First UTC day, YYYY-MM-DD.")
]
EndOption = Annotated[
    dt.date, typer.Option("--end", metavar="DAY", parser=day_argument, help="Last UTC day, included.")
]


def settings_of(root: Path | None, sources: Path | None = None, **overrides: Any) -> Settings:
    """Return the settings of a command."""
    return load_settings(os.environ, Path.cwd(), root=root, sources=sources, **overrides)


def days_of(first: dt.date | None, last: dt.date | None, settings: Settings) -> list[dt.date] | None:
    """Return the days of a range; none where no range was given.

    Raises:
        PlatformError: The range is empty or begins before the platform does.
    """
    if first is None and last is None:
        return None
    first = first or settings.start_date
    last = last or first
    if last < first:
        raise PlatformError("the range of days is empty", remedy="Give --from before --to.", got=f"{first} to {last}")
    if first < settings.start_date:
        raise PlatformError(
            "the range begins before the first day of this root",
            remedy="Set an earlier `start_date` in platform.yaml; rows before it are read again by `land`.",
            expected=f"{settings.start_date} or later",
            got=first,
        )
    return [first + dt.timedelta(days=offset) for offset in range((last - first).days + 1)]
