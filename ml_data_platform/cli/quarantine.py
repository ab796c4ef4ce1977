"""Commands about what is kept and not published: ``quarantine list`` and ``quarantine show``.

Belongs here: their arguments and output. Does not belong here: finding the rows (``stages.quarantine``).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table

from ml_data_platform.cli import screen
from ml_data_platform.cli.lessons import lesson
from ml_data_platform.cli.options import FromOption, JsonOption, RootOption, SourcesOption, ToOption, root_and_days
from ml_data_platform.errors import SettingsError, bounded
from ml_data_platform.settings import Settings

if TYPE_CHECKING:
    from ml_data_platform.stages.quarantine import Group, Wanted
    from ml_data_platform.stages.quarantined_rows import Row

SHOWN_GROUPS = 50
SHOWN_LANDED = 500
app = typer.Typer(
    name="quarantine",
    help="Look at rows and files that are kept, but not published: why, of which day and file, and what was landed.",
    no_args_is_help=True,
)
ReasonOption = Annotated[
    str,
    typer.Option(
        "--reason",
        metavar="REASON",
        help="A rule (e.g. event_types_are_known), why a row has no day, file_refused, file_unreadable, or a"
        " kind: rejected, duplicate, undated, too_late, file, retracted.",
    ),
]
SourceOption = Annotated[str, typer.Option("--source", metavar="NAME", help="Only rows of this source.")]


@app.command(name="list", epilog=lesson("quarantine list"))
def list_(
    reason: ReasonOption = "",
    source: SourceOption = "",
    first: FromOption = None,
    last: ToOption = None,
    root: RootOption = None,
    sources: SourcesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count what is quarantined, by reason, source and day, or file; and say where the rows lie."""
    from ml_data_platform.stages.platform import open_platform
    from ml_data_platform.stages.quarantine import list_quarantine

    settings, wanted = wanted_part(root, sources, reason, source, first, last)
    groups = list_quarantine(open_platform(settings), wanted)
    if as_json:
        screen.print_json([group.to_json() for group in groups])
    elif groups:
        print_groups(groups)
    else:
        screen.say("nothing is quarantined", style="green", tail=described(wanted))


@app.command(epilog=lesson("quarantine show"))
def show(
    reason: ReasonOption = "",
    source: SourceOption = "",
    first: FromOption = None,
    last: ToOption = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=100_000, help="At most so many rows.")] = 20,
    root: RootOption = None,
    sources: SourcesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print quarantined rows: what was landed, why it is not published, and where it came from."""
    from ml_data_platform.stages.platform import open_platform
    from ml_data_platform.stages.quarantine import list_quarantine
    from ml_data_platform.stages.quarantined_rows import show_quarantine

    settings, wanted = wanted_part(root, sources, reason, source, first, last)
    platform = open_platform(settings)
    rows = show_quarantine(platform, wanted, limit + 1)
    if as_json:
        screen.print_json({"rows": [row.to_json() for row in rows[:limit]], "is_cut": len(rows) > limit})
        return
    for row in rows[:limit]:
        _print_row(row)
    files = [group for group in list_quarantine(platform, wanted) if group.kind in {"file", "retracted"}]
    for group in files[:limit]:
        screen.say(group.reason, style="red", tail=f" {group.source}/{group.file}: {group.detail}")
    if not rows and not files:
        screen.say("nothing is quarantined", style="green", tail=described(wanted))
    elif len(rows) > limit:
        screen.say(f"… only the first {screen.counted(limit, 'row')}; --limit N shows more", style="dim")


def print_groups(groups: list[Group]) -> None:
    """Print one line per group, bounded, and what the numbers mean."""
    table = Table(box=box.SIMPLE, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for name in ("reason", "source", "day or file", "rows"):
        table.add_column(name, justify="right" if name == "rows" else "left", overflow="fold")
    for group in groups[:SHOWN_GROUPS]:
        place = " ".join(filter(None, (group.day, bounded(group.file, 60))))
        refused = " refused" if group.kind in {"rejected", "duplicate"} and group.detail else ""
        rows = f"{group.rows:,}" if group.kind != "file" else "-"
        table.add_row(group.reason, group.source, screen.coloured(place, (refused, "red")), rows)
    screen.show(table)
    if len(groups) > SHOWN_GROUPS:
        screen.say(f"… and {screen.counted(len(groups) - SHOWN_GROUPS, 'line')} more; --json prints all", style="dim")
    for kind, text in _PLACES.items():
        if any(group.kind == kind for group in groups):
            screen.say(text, style="dim")


_PLACES = {
    "rejected": "rejected rows, once per rule that they broke: data/quarantined_events/dt=DAY/disposition=rejected",
    "duplicate": "duplicates, with the row that was kept: data/quarantined_events/dt=DAY/disposition=duplicate",
    "undated": "rows without a usable day: data/undated_rows/source=SOURCE",
    "too_late": "rows that came too late: data/too_late_rows/source=SOURCE; `replay --reason too_late` lets them in",
    "retracted": "files that were taken back, whose rows count on no day: bytes lie in raw/; `reinstate` brings one back",
    "file": "files that were not landed: see why with `quarantine show --reason file`; kept bytes lie in raw/",
}


def _print_row(row: Row) -> None:
    where = row.day or "no day"
    screen.say(", ".join(row.reasons), style="yellow", tail=f"  {where}  {row.source}")
    facts = [f"file {row.file or row.source_file[:12]} row {row.source_row}"]
    facts += [f"event {row.event_id}"] if row.event_id else []
    facts += [f"time {row.event_time}"] if row.event_time else []
    facts += [f"kept {row.kept[:12]}…{row.kept[64:]}"] if row.kept else []
    screen.say(f"  {', '.join(facts)}", style="dim")
    screen.say(f"  {bounded(row.landed, SHOWN_LANDED)}")


def wanted_part(
    root: str | None,
    sources: Path | None,
    reason: str,
    source: str,
    first: dt.date | None,
    last: dt.date | None,
) -> tuple[Settings, Wanted]:
    """Return the settings of a root and the part of its quarantine that options name.

    Raises:
        BadParameter: The range is empty or too long.
        SettingsError: There is no such root, source or reason.
    """
    from ml_data_platform.stages.platform import load_sources
    from ml_data_platform.stages.quarantine import Wanted, require_reason

    settings, days = root_and_days(root, sources, first, last)
    contracts = load_sources(settings)
    require_reason(reason, contracts)
    known = sorted({*contracts, *contracts.broken})
    if source and source not in known:
        raise SettingsError(
            "there is no source of this name", remedy="Name one of these.", expected=", ".join(known), got=source
        )
    return settings, Wanted(reason, source, days.first, days.last)


def described(wanted: Wanted) -> str:
    """Return which part of the quarantine is meant, to stand behind a sentence."""
    parts = [f"reason {wanted.reason}" if wanted.reason else "", f"source {wanted.source}" if wanted.source else ""]
    parts += [f"from {wanted.first}" if wanted.first else "", f"to {wanted.last}" if wanted.last else ""]
    named = ", ".join(part for part in parts if part)
    return f" for {named}" if named else ""
