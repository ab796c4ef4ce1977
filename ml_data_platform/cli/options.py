"""Options that several commands share, and how they become settings and days.

Belongs here: option types. Does not belong here: commands.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ml_data_platform.cli import screen
from ml_data_platform.errors import PartitionKeyError, SettingsError
from ml_data_platform.settings import Settings, load_settings
from ml_data_platform.storage.access import keep_private
from ml_data_platform.storage.layout import parse_day
from ml_data_platform.storage.opening import is_root

MAX_DAYS = 3_660
"""The longest range of days that one command takes: about ten years."""

RootOption = Annotated[
    str | None,
    typer.Option(
        "--root",
        help="Folder, or s3://BUCKET/PREFIX, that holds everything. Default: $ML_DATA_PLATFORM_ROOT or .platform",
    ),
]
SourcesOption = Annotated[
    Path | None,
    typer.Option("--sources", help="Folder with your own source contracts (*.yaml), beside the shipped ones."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document for scripts.")]


def day_argument(text: str | dt.date) -> dt.date:
    """Return the UTC day that an argument names; a default is one already."""
    try:
        return text if isinstance(text, dt.date) else parse_day(text)
    except PartitionKeyError as error:
        raise typer.BadParameter(f"a day is written YYYY-MM-DD, e.g. 2026-06-01; got {text!r}") from error


FromOption = Annotated[
    dt.date | None,
    typer.Option("--from", metavar="DAY", parser=day_argument, help="First UTC day. Alone: all known days from it on."),
]
ToOption = Annotated[
    dt.date | None,
    typer.Option("--to", metavar="DAY", parser=day_argument, help="Last UTC day. Alone: all known days up to it."),
]
StartOption = Annotated[
    dt.date, typer.Option("--start", metavar="DAY", parser=day_argument, help="First UTC day, YYYY-MM-DD.")
]
EventsOption = Annotated[int, typer.Option("--events-per-day", metavar="N", min=1, help="Mean number of events a day.")]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Same seed, same bytes.")]


@dataclass(frozen=True)
class Days:
    """The days that a command is about.

    Attributes:
        first: First day; none for an open beginning.
        last: Last day; none for an open end.
    """

    first: dt.date | None
    last: dt.date | None

    @property
    def is_range(self) -> bool:
        """Whether both ends are named, so that days without rows are asked for too."""
        return self.first is not None and self.last is not None

    def choose(self, known: Iterable[dt.date]) -> list[dt.date]:
        """Return the days: all of the range, or those of ``known`` that lie within the open range."""
        if self.first is not None and self.last is not None:
            return days_between(self.first, self.last)
        return [day for day in known if (self.first or day) <= day <= (self.last or day)]


def days_between(first: dt.date, last: dt.date, *, names: str = "--from and --to") -> list[dt.date]:
    """Return the days from ``first`` to ``last``, both included.

    Raises:
        BadParameter: There is none, or there are too many.
    """
    if last < first:
        raise typer.BadParameter(f"the range is empty: {last} is before {first}", param_hint=names)
    count = (last - first).days + 1
    if count > MAX_DAYS:
        raise typer.BadParameter(f"the range has {count:,} days; at most {MAX_DAYS:,} at once", param_hint=names)
    return [first + dt.timedelta(days=offset) for offset in range(count)]


def root_and_days(
    root: str | None, sources: Path | None, first: dt.date | None, last: dt.date | None
) -> tuple[Settings, Days]:
    """Return the settings of a root that exists, and the days that ``--from`` and ``--to`` name.

    Raises:
        BadParameter: The range is empty or too long.
        SettingsError: There is no such root, or the range begins before its first day.
    """
    if first is not None and last is not None:
        days_between(first, last)
    settings = require_root(settings_of(root, sources))
    require_start(first, settings)
    return settings, Days(first, last)


def require_start(first: dt.date | None, settings: Settings) -> None:
    """Refuse a range that begins before the first day of the root.

    Raises:
        SettingsError: It does.
    """
    if first is not None and first < settings.start_date:
        raise SettingsError(
            "the range begins before the first day of this root",
            remedy="Give a later day, or set an earlier `start_date` in platform.yaml: `land` then reads the rows again.",
            expected=f"{settings.start_date} or later",
            got=first,
        )


def settings_of(root: str | None, sources: Path | None = None, **overrides: Any) -> Settings:
    """Return the settings of a command.

    Raises:
        SettingsError: A setting cannot be used, or the root is a file.
    """
    settings = load_settings(os.environ, Path.cwd(), root=root, sources=sources, **overrides)
    folder = settings.local_folder
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        raise SettingsError(
            "the root is a file, or lies below one",
            remedy="Name a folder with --root.",
            root=str(settings.root),
            file=str(existing),
        )
    keep_private(settings.access)
    return settings


@contextmanager
def said_where_new(settings: Settings) -> Iterator[None]:
    """Say of a root that the block begins that it is a new one: its name may be mistyped."""
    if is_root(settings):
        yield
        return
    ended = None
    try:
        yield
    except typer.Exit as error:
        ended = error
    begun = is_root(settings)
    screen.note(f"a new root begins in {settings.root}" if begun else f"there is no root in {settings.root} yet")
    if ended is not None:
        raise ended


def require_root(settings: Settings) -> Settings:
    """Return the settings of a root that exists, so that looking at a mistyped one does not make it.

    Raises:
        SettingsError: There is no such folder, or nothing below that place in the bucket.
    """
    if not is_root(settings):
        raise SettingsError(
            "there is no root in this place",
            remedy=(
                "Name it with --root or $ML_DATA_PLATFORM_ROOT; make one with `ml-data-platform init`, or see one made "
                "with `ml-data-platform demo`."
            ),
            root=str(settings.root),
        )
    return settings
